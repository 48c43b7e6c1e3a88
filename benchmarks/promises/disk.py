"""Faults of the disk and the database, at every step, in this process: store, supervisor and worker are the real ones."""

import errno
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from core.disk import Disk
from core.jobs import context
from core.rehearsal.disks import CountingDisk, CuttingDisk, FailingDisk
from core.rehearsal.full import FillableStore
from core.rehearsal.plan import Plan
from core.rehearsal.stage import Stage, outcome
from core.states import JobState
from promises.row import Row, Size

PLAN = Plan(steps=12, step_seconds=0.0, validate_every=5, checkpoint_every=3)
LONGER = Plan(steps=60, step_seconds=0.0, validate_every=5, checkpoint_every=3)  # enough rows for the database to grow
LUCK = (None, 1, 2)  # nothing unsynced is left; some of it is, twice


def power_cuts(size: Size) -> Row:
    """The power goes at each step of the disk; the run is resumed and must end as if nothing had been."""
    row = Row("nothing half-written after a power cut")
    steps, expected = _undisturbed(size.home / "undisturbed", PLAN)
    for nth in _every(steps, size):
        for luck in LUCK:
            stage = Stage(size.home / f"{nth}-{luck}", PLAN)
            seed = None if luck is None else random.Random(luck)
            row.count(_survive(stage, lambda: CuttingDisk(stage.settings.jobs, nth, seed), expected))  # noqa: B023 - called at once
    return row


def failing_disk(size: Size) -> Row:
    """EIO and ENOSPC at each step, once and lasting; then a database without room, for a moment and for longer than anyone waits."""
    row = Row("every I/O error is survived")
    steps, expected = _undisturbed(size.home / "undisturbed", PLAN)
    for nth in _every(steps, size):
        for code in (errno.EIO, errno.ENOSPC):
            for lasting in (False, True):
                stage = Stage(size.home / f"{nth}-{code}-{lasting}", PLAN)
                row.count(_survive(stage, lambda: FailingDisk(nth, code, lasting), expected))  # noqa: B023
    _, expected = _undisturbed(size.home / "longer", LONGER)
    patience, context.PATIENCE_SECONDS = context.PATIENCE_SECONDS, 0.05
    retry, context.RETRY_SECONDS = context.RETRY_SECONDS, 0.01
    for number in range(size.of(6, 60)):
        complaint, met = _fill(size.home / f"full-{number}", size.draw, lasting=number % 2 == 1, expected=expected)
        row.count(complaint, met)
    context.PATIENCE_SECONDS, context.RETRY_SECONDS = patience, retry
    return row


def _undisturbed(home: Path, plan: Plan) -> tuple[int, dict[str, str]]:
    stage, disk = Stage(home, plan), CountingDisk()
    job = stage.launch()
    stage.play(disk)
    return disk.steps, outcome(stage.store.folder(job))


def _every(steps: int, size: Size) -> Iterator[int]:
    stride = size.of(12, 1)
    return iter(range(1 + size.draw.randrange(stride), steps + 1, stride))


def _survive(stage: Stage, make_disk: Callable[[], Disk], expected: dict[str, str]) -> str:
    """What is wrong after a run met that disk, was resumed on a healthy one, and ended."""
    job = stage.launch()
    stage.play(make_disk())
    if stage.store.job(job.id).state is not JobState.COMPLETED:
        stage.resume(job)
        stage.play()
    stage.restart_supervisor()
    stage.supervisor.tidy()
    return stage.complaint(job) or ("" if outcome(stage.store.folder(job)) == expected else "the adapter or a table is another one")


def _fill(home: Path, draw: random.Random, lasting: bool, expected: dict[str, str]) -> tuple[str, int]:
    """A run whose database is full from some write on, for a few writes or until the run has given up: (complaint, writes refused)."""
    stage = Stage(home, LONGER, FillableStore)
    store = cast(FillableStore, stage.store)
    job = stage.launch()
    store.fill(after=draw.randrange(5, 80), writes=10**9 if lasting else draw.randrange(1, 4))
    stage.play_through_refusals()
    store.make_room()
    stage.play()
    if store.job(job.id).state is not JobState.COMPLETED:
        stage.resume(job)
        stage.play()
    differs = "" if outcome(store.folder(job)) == expected else "the adapter or a table is another one"
    return stage.complaint(job) or differs, min(1, store.refused)
