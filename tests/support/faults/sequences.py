"""Random sequences of actions and faults of runs: no file is ever partly written, and each run can
be completed.
"""

import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from core.errors import NotEnoughRoom, StateConflict
from core.storage.job import ACTIVE, Job, JobState
from core.storage.store import Store
from tests.support.faults.lab import InProcessLab, outcome
from tests.support.faults.plan import FaultPlan

PLAN = FaultPlan(steps=12, step_seconds=0.001, validate_every=5, checkpoint_every=3)
DISK_STEPS = 130  # of a whole run; a fault past its end does not happen
HOUR = 3600
FAULTS = ("none", "kill", "power cut", "lucky power cut", "EIO", "disk full", "stop")


@dataclass
class Tally:
    """Counts of the tried steps over all sequences."""

    sequences: int = 0
    faults: int = 0


class World(Protocol):
    """Environment of the sequences: one process, or real processes."""

    @property
    def store(self) -> Store: ...

    def launch(self, key: str) -> None: ...
    def work(self, fault: str, nth: int) -> bool: ...
    def kill(self, job: Job) -> bool: ...
    def restart(self) -> None: ...
    def set_clock(self, ahead: int) -> None: ...
    def fill(self, after: int, writes: int) -> None: ...
    def stop(self, job: Job) -> None: ...
    def resume(self, job: Job) -> None: ...
    def finish(self) -> int: ...
    def complaint(self, job: Job) -> str: ...
    def close(self) -> None: ...


class Sequences(RuleBasedStateMachine):
    """One sequence in the world of ``make_world``, counted in ``tally``."""

    make_world: Callable[[Path], World]
    below: Path | None = None  # where its folder is made
    tally: Tally

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(prefix="sequence-", dir=self.below))
        self.world = type(self).make_world(self.home / "home")
        self.tally.sequences += 1

    @initialize()
    def begin(self) -> None:
        """Start with one run, as every fault needs one."""
        self.world.launch("a")

    @rule(key=st.sampled_from(["a", "b", "c"]))
    def launch(self, key: str) -> None:
        """Launch again with the same key, as a second click does."""
        with suppress(NotEnoughRoom):
            self.world.launch(key)

    @rule(fault=st.sampled_from(FAULTS), nth=st.integers(1, DISK_STEPS))
    def work(self, fault: str, nth: int) -> None:
        self.tally.faults += self.world.work(fault, nth)

    @rule(fault=st.sampled_from(FAULTS), nth=st.integers(1, DISK_STEPS))
    def try_again(self, fault: str, nth: int) -> None:
        """Resume the newest run, which meets the next fault."""
        self.resume(0)
        self.work(fault, nth)

    @rule(which=st.integers(0, 2))
    def kill(self, which: int) -> None:
        for job in self._job(which, *ACTIVE):
            self.tally.faults += self.world.kill(job)

    @rule(which=st.integers(0, 2))
    def stop(self, which: int) -> None:
        for job in self._job(which):
            with suppress(StateConflict, NotEnoughRoom):
                self.world.stop(job)

    @rule(which=st.integers(0, 2))
    def resume(self, which: int) -> None:
        for job in self._job(which):
            with suppress(StateConflict, NotEnoughRoom):
                self.world.resume(job)

    @rule()
    def restart(self) -> None:
        self.world.restart()
        self.tally.faults += 1

    @rule(ahead=st.sampled_from([-HOUR, 0, HOUR]))
    def set_clock(self, ahead: int) -> None:
        self.world.set_clock(ahead)
        self.tally.faults += ahead != 0

    @rule(after=st.integers(0, 60), writes=st.sampled_from([1, 3, 10**9]))
    def fill(self, after: int, writes: int) -> None:
        self.world.fill(after, writes)

    @invariant()
    def a_key_has_one_run(self) -> None:
        names = [job.name for job in self.world.store.list_jobs()]
        assert len(set(names)) == len(names), names

    @invariant()
    def the_curve_has_each_step_once_and_no_gap(self) -> None:
        for job in self.world.store.list_jobs():
            steps = [
                metric.step
                for metric in self.world.store.read_metrics(job.id)
                if metric.split == "train"
            ]
            assert steps == list(range(1, len(steps) + 1)), f"{job.name} {job.state}: {steps}"

    def teardown(self) -> None:
        try:
            self.tally.faults += self.world.finish()
            for job in self.world.store.list_jobs():
                assert not (complaint := self.world.complaint(job)), complaint
                assert outcome(self.world.store.get_folder(job)) == undisturbed(job.name), (
                    f"{job.name} ends with another adapter or table"
                )
        finally:
            self.world.close()
            shutil.rmtree(self.home)

    def _job(self, which: int, *states: JobState) -> list[Job]:
        return self.world.store.list_jobs(states=states)[which : which + 1]


def seed_of(key: str) -> int:
    """Return a different seed for each key."""
    return ord(key[-1])


@cache
def undisturbed(name: str) -> dict[str, str]:
    """Return the results of the run of that name without faults."""
    with tempfile.TemporaryDirectory() as home:
        stage = InProcessLab(Path(home) / "home", PLAN)
        job = stage.launch(name, seed=seed_of(name))
        stage.play()
        return outcome(stage.store.get_folder(job))
