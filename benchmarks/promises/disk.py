"""Faults of the disk and the database at every step, in this process, with the real store,
supervisor and worker code.
"""

import errno
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import cast

from benchmarks.promises.row import Row, Size
from core.errors import ArtifactDamaged
from core.runs import artifacts
from core.storage import files
from core.storage.files import Disk, read_verified
from core.storage.job import Job, JobState, read_record
from tests.support.faults.disks import CountingDisk, CuttingDisk, FailingDisk
from tests.support.faults.full_disk import FillableStore
from tests.support.faults.lab import ImpatientContext, InProcessLab, outcome
from tests.support.faults.plan import FaultPlan

PLAN = FaultPlan(steps=12, step_seconds=0.0, validate_every=5, checkpoint_every=3)
LONGER = FaultPlan(
    steps=60, step_seconds=0.0, validate_every=5, checkpoint_every=3
)  # enough rows for the database to grow
LUCK = (None, 1, 2)  # all unsynced data is lost, or some of it (twice)


def power_cuts(size: Size) -> Row:
    """Cut the power at each step of the disk; the resumed run must end as an undisturbed one."""
    row = Row("nothing half-written after a power cut")
    steps, expected = _undisturbed(size.home / "undisturbed", PLAN)
    for nth in _every(steps, size):
        for luck in LUCK:
            stage = InProcessLab(size.home / f"{nth}-{luck}", PLAN)
            seed = None if luck is None else random.Random(luck)
            cut = partial(CuttingDisk, stage.settings.jobs, nth, seed)
            row.count(_survive(stage, cut, expected))
    return row


def failing_disk(size: Size) -> Row:
    """Raise EIO and ENOSPC at each step, once and repeatedly; then use a full or locked database,
    briefly and for long.
    """
    row = Row("every I/O error is survived")
    steps, expected = _undisturbed(size.home / "undisturbed", PLAN)
    for nth in _every(steps, size):
        for code in (errno.EIO, errno.ENOSPC):
            for lasting in (False, True):
                stage = InProcessLab(size.home / f"{nth}-{code}-{lasting}", PLAN)
                disk = partial(FailingDisk, nth, code, lasting)
                row.count(_survive(stage, disk, expected))
    steps, expected = _undisturbed(size.home / "longer", LONGER)
    for number in range(size.of(6, 60)):
        row.count(
            *_fill(
                size.home / f"full-{number}",
                size.draw,
                lasting=number % 2 == 1,
                expected=expected,
            )
        )
        row.count(
            *_hold(
                size.home / f"held-{number}",
                size.draw.randrange(1, steps),
                lasting=number % 2 == 1,
                expected=expected,
            )
        )
    return row


def _undisturbed(home: Path, plan: FaultPlan) -> tuple[int, dict[str, str]]:
    stage, disk = InProcessLab(home, plan), CountingDisk()
    job = stage.launch()
    stage.play(disk)
    return disk.steps, outcome(stage.store.get_folder(job))


def _every(steps: int, size: Size) -> Iterator[int]:
    stride = size.of(12, 1)
    return iter(range(1 + size.draw.randrange(stride), steps + 1, stride))


def _survive(stage: InProcessLab, make_disk: Callable[[], Disk], expected: dict[str, str]) -> str:
    """Return errors after a run met the disk's fault, was resumed on a healthy disk, and ended."""
    job = stage.launch()
    stage.play(make_disk())
    if torn := _torn(stage, job, expected):
        return torn
    if stage.store.read_job(job.id).state is not JobState.COMPLETED:
        stage.resume(job)
        stage.play()
    stage.restart_supervisor()
    stage.supervisor.tidy()
    return stage.complaint(job) or (
        ""
        if outcome(stage.store.get_folder(job)) == expected
        else "the adapter or a table is another one"
    )


def _torn(stage: InProcessLab, job: Job, expected: dict[str, str]) -> str:
    """Return files that are partly written right after the fault, before anything repairs them.

    Each table must be the same whenever it exists.
    """
    folder = stage.store.get_folder(job)
    try:
        read_record(folder)
        if (folder / "config.json").exists():
            files.read_json(folder / "config.json")
        if (folder / "adapter").exists():
            artifacts.find_adapter(folder)
        for step in artifacts.list_checkpoints(folder):
            read_verified(folder / "checkpoints" / f"{step:08d}")
    except ArtifactDamaged as error:
        return f"right after the fault: {error}"
    tables = {
        name: digest for name, digest in outcome(folder).items() if name.startswith("predictions-")
    }
    return next(
        (
            f"right after the fault {name} is torn"
            for name, digest in tables.items()
            if expected[name] != digest
        ),
        "",
    )


def _fill(
    home: Path, draw: random.Random, lasting: bool, expected: dict[str, str]
) -> tuple[str, int]:
    """Run with a database that is full from some write on, for a few writes or until the run fails;
    return (error, 1 if it was met).
    """
    stage = InProcessLab(home, LONGER, FillableStore, ImpatientContext)
    full = cast(FillableStore, stage.store)
    job = stage.launch()
    full.fill(after=draw.randrange(5, 80), writes=10**9 if lasting else draw.randrange(1, 4))
    stage.play_through_refusals()
    full.make_room()
    return _go_on(stage, job, expected), min(1, full.refused)


def _hold(home: Path, nth: int, lasting: bool, expected: dict[str, str]) -> tuple[str, int]:
    """Run while another connection locks the database at a step of the disk, briefly or until the
    run fails.
    """
    stage = InProcessLab(home, LONGER, new_context=ImpatientContext, busy_seconds=0.02)
    job = stage.launch()
    disk = HoldingDisk(nth, stage.settings.database, 0 if lasting else 0.03)
    stage.play_through_refusals(disk)
    disk.let_go()
    return _go_on(stage, job, expected), int(disk.held)


def _go_on(stage: InProcessLab, job: Job, expected: dict[str, str]) -> str:
    """Return errors after the end of the fault, with the run resumed if it had failed."""
    stage.play()
    if stage.store.read_job(job.id).state is not JobState.COMPLETED:
        stage.resume(job)
        stage.play()
    differs = (
        ""
        if outcome(stage.store.get_folder(job)) == expected
        else "the adapter or a table is another one"
    )
    return stage.complaint(job) or differs


class HoldingDisk(CountingDisk):
    """Disk at whose ``nth`` step another connection locks the database for some seconds or until
    ``let_go``.
    """

    def __init__(self, nth: int, database: Path, seconds: float) -> None:
        super().__init__()
        self.nth, self.seconds = nth, seconds
        self.held = False
        self.other = sqlite3.connect(database, check_same_thread=False, isolation_level=None)

    def let_go(self) -> None:
        """Free the lock."""
        self.other.close()

    def _meet(self) -> None:
        super()._meet()
        if self.steps == self.nth:
            self.other.execute("BEGIN IMMEDIATE")
            self.held = True
            if self.seconds:
                threading.Timer(self.seconds, self.let_go).start()
