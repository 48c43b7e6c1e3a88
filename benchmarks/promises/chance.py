"""Random sequences of events around runs, in this process and with real processes."""

import errno
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.promises.lab import Lab, over, processes_of
from benchmarks.promises.row import Row, Size, TooLong
from core.errors import StateConflict
from core.jobs import actions
from core.storage.job import ACTIVE, Job, JobState
from tests.support.faults.sequences import PLAN, Sequences, Tally, World, seed_of
from tests.support.faults.staged_world import StagedWorld

STEPS = 15
LONGEST_SECONDS = 0.6  # a simulated worker takes about that from start to end


def sequences(size: Size) -> Row:
    """Launch, kill, stop, resume, restart, change the clock, fill disk or database in any order;
    then complete each run.
    """
    row = Row("random sequences")
    size.home.mkdir()
    worlds: tuple[tuple[str, Callable[[Path], World], int], ...] = (
        ("in process", StagedWorld, size.of(15, 500)),
        ("with real processes", LabWorld, size.of(1, 30)),
    )
    for name, world, number in worlds:
        machine = _make_machine(world, size.home)
        seed(size.draw.randrange(2**32))(machine)
        failure = _run(machine, number)
        row.tries += machine.tally.sequences
        row.injected += machine.tally.faults
        row.failures += [failure] if failure else []
        row.figure += f"{machine.tally.sequences} {name}, "
    row.figure = row.figure.removesuffix(", ")
    return row


def _make_machine(world: Callable[[Path], World], home: Path) -> type[Sequences]:
    """Build the state machine for this world, with its own counts."""

    class Machine(Sequences):
        make_world = staticmethod(world)
        tally = Tally()
        below = home

    return Machine


def _run(machine: type[Sequences], number: int) -> str:
    """Return the error of the sequences; the first failure ends them."""
    some = settings(
        max_examples=number,
        stateful_step_count=STEPS,
        phases=[Phase.generate],  # the seed repeats a failure; to shrink one takes many minutes
        suppress_health_check=list(HealthCheck),
        deadline=None,
        database=None,
    )
    try:
        run_state_machine_as_test(machine, settings=some)
    except (AssertionError, TooLong) as error:
        return "\n".join([str(error), *getattr(error, "__notes__", [])])
    return ""


class LabWorld:
    """World of real processes. A fault waits for the next attempt; ``work`` lets time pass."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        self.clock = home / "clock"
        self.clock.write_text("0")
        self.plan = replace(PLAN, step_seconds=0.005, clock_file=str(self.clock))
        self.lab = Lab(home, self.plan)
        self.store = self.lab.store
        self.draw = random.Random(0)
        self.lab.supervise()

    def launch(self, key: str) -> None:
        """Queue a run."""
        self.lab.launch(key, seed=seed_of(key))

    def work(self, fault: str, nth: int) -> bool:
        """Let workers meet the fault from the next attempt on, then let time pass.

        It is unknown which attempt met the fault, so none is counted.
        """
        plans = {
            "kill": replace(self.plan, nth=nth, kill=True),
            "EIO": replace(self.plan, nth=nth, code=errno.EIO),
            "disk full": replace(self.plan, nth=nth, code=errno.ENOSPC, lasting=True),
        }
        self.lab.direct(plans.get(fault, self.plan))
        time.sleep(self.draw.random() * LONGEST_SECONDS)
        for job in self.store.list_jobs(states=ACTIVE) if fault == "stop" else ():
            with suppress(StateConflict):  # it has ended meanwhile
                self.stop(job)
        return False

    def kill(self, job: Job) -> bool:
        """Kill the worker; return whether it was alive."""
        return self.lab.kill(job)

    def restart(self) -> None:
        """Kill the supervisor and start another one after a moment."""
        assert self.lab.supervisor is not None
        self.lab.supervisor.kill()
        self.lab.supervisor.wait()
        time.sleep(self.draw.random() * 0.2)
        self.lab.supervise()

    def set_clock(self, ahead: int) -> None:
        """Set the wall clock of the workers."""
        temporary = self.clock.with_suffix(".new")
        temporary.write_text(str(ahead))
        os.replace(temporary, self.clock)

    def fill(self, after: int, writes: int) -> None:
        """Do nothing: a full database is only simulated in one process."""

    def stop(self, job: Job) -> None:
        """Stop the run, as the button does."""
        self.lab.supervise()
        actions.stop(self.store, job)

    def resume(self, job: Job) -> None:
        """Resume the run, as the button does."""
        self.lab.supervise()
        actions.resume(self.store, job)

    def finish(self) -> int:
        """Complete every run on a healthy machine. Raises TooLong."""
        self.lab.direct(self.plan)
        for job in self.store.list_jobs():
            while self.lab.wait(job, over).state is not JobState.COMPLETED:
                self.resume(self.store.read_job(job.id))
        deadline = time.monotonic() + 5
        while (left := processes_of(self.lab)) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left, f"left behind: {left}"
        return 0

    def complaint(self, job: Job) -> str:
        """Return an error if a run that should have completed did not."""
        return self.lab.complaint(job)

    def close(self) -> None:
        """End the processes."""
        self.lab.close()
