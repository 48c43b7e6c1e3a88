"""Whole runs through store, supervisor and worker, with a fault at some step of the disk.

``benchmarks/faults.py`` tries every step.
"""

import errno
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from core.jobs import worker
from core.jobs.context import JobContext
from core.progress import Phase, Progress
from core.runs import artifacts
from core.settings import PROJECT
from core.storage.database import Metric
from core.storage.files import Disk
from core.storage.job import FailureCause, Job, JobState
from tests.support.faults.disks import CountingDisk, CuttingDisk, FailingDisk
from tests.support.faults.lab import InProcessLab, outcome
from tests.support.faults.plan import FaultPlan

pytestmark = pytest.mark.slow

PLAN = FaultPlan(steps=12, step_seconds=0.0, validate_every=5, checkpoint_every=3)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[str], InProcessLab]:
    return lambda name: InProcessLab(tmp_path / name, PLAN)


@pytest.fixture
def undisturbed(make: Callable[[str], InProcessLab]) -> tuple[int, dict[str, str]]:
    """Return the number of disk steps of a run, and its results."""
    stage, disk = make("undisturbed"), CountingDisk()
    job = stage.launch()
    stage.play(disk)
    assert stage.complaint(job) == ""
    return disk.steps, outcome(stage.store.get_folder(job))


def test_a_simulating_worker_loads_neither_numpy_nor_pandas_nor_ml() -> None:
    program = "import sys, core.jobs.worker, tests.support.faults.stand_in; print(*sys.modules)"

    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout.split()

    forbidden = {"numpy", "pandas", "torch", "transformers", "peft", "datasets"}
    assert not forbidden & set(loaded)


def test_a_simulation_ends_like_a_training(make: Callable[[str], InProcessLab]) -> None:
    stage = make("home")
    job = stage.launch()
    stage.play()

    assert stage.complaint(job) == ""
    folder = stage.store.get_folder(job)
    assert artifacts.list_checkpoints(folder)[-1] == 12
    assert set(outcome(folder)) >= {
        "adapter/adapter_model.safetensors",
        "predictions-test.parquet",
        "predictions-untrained.parquet",
    }


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("luck", [None, 1, 2])
def test_a_run_goes_on_after_a_power_cut_as_if_nothing_had_been(
    share: float,
    luck: int | None,
    make: Callable[[str], InProcessLab],
    undisturbed: tuple[int, dict[str, str]],
) -> None:
    steps, expected = undisturbed
    stage = make("home")
    job = stage.launch()
    stage.play(
        CuttingDisk(
            stage.settings.jobs, round(share * steps), None if luck is None else random.Random(luck)
        )
    )
    assert stage.store.read_job(job.id).state is JobState.INTERRUPTED

    stage.resume(job)
    stage.play()

    assert stage.complaint(job) == ""
    assert outcome(stage.store.get_folder(job)) == expected


@pytest.mark.parametrize("share", [0.05, 0.4, 0.8, 0.99])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("lasting", [False, True])
def test_a_disk_that_fails_ends_the_run_with_its_cause_and_it_resumes(
    share: float,
    code: int,
    lasting: bool,
    make: Callable[[str], InProcessLab],
    undisturbed: tuple[int, dict[str, str]],
) -> None:
    steps, expected = undisturbed
    stage = make("home")
    job = stage.launch()
    disk = FailingDisk(round(share * steps), code, lasting)
    stage.play(disk)
    ended = stage.store.read_job(job.id)

    assert disk.failed
    if ended.state is not JobState.COMPLETED:
        assert ended.cause == (
            FailureCause.DISK_FULL if code == errno.ENOSPC else FailureCause.DISK_ERROR
        )
        stage.resume(job)
        stage.play()
    assert stage.complaint(job) == ""
    assert outcome(stage.store.get_folder(job)) == expected


@pytest.mark.parametrize(
    ("error", "cause", "proposal"),
    [
        ("memory", FailureCause.OUT_OF_MEMORY, {"batch_size": 8}),
        ("diverged", FailureCause.DIVERGED, {"learning_rate": 0.003}),
        ("bug", FailureCause.BUG, {}),
    ],
)
def test_a_failure_is_recorded_with_its_cause_and_keeps_the_last_good_checkpoint(
    error: str,
    cause: FailureCause,
    proposal: dict[str, object],
    make: Callable[[str], InProcessLab],
) -> None:
    stage = make("home")
    stage.direct(
        FaultPlan(
            steps=12,
            step_seconds=0.0,
            validate_every=5,
            checkpoint_every=3,
            error=error,
            error_step=8,
        )
    )
    job = stage.launch()
    stage.play()

    failed = stage.store.read_job(job.id)
    assert (failed.state, failed.cause, failed.proposal) == (JobState.FAILED, cause, proposal)
    assert bool(failed.error_id) == (cause is FailureCause.BUG)
    assert artifacts.list_checkpoints(stage.store.get_folder(job)) == [5, 6]


def test_other_data_on_resume_is_refused_and_nothing_is_lost(
    make: Callable[[str], InProcessLab],
) -> None:
    stage = make("home")
    job = stage.launch()
    stage.play(CuttingDisk(stage.settings.jobs, 90))
    stored = artifacts.list_checkpoints(stage.store.get_folder(job))
    stage.direct(
        FaultPlan(steps=12, step_seconds=0.0, validate_every=5, checkpoint_every=3, data="other")
    )
    stage.resume(job)
    stage.play()

    refused = stage.store.read_job(job.id)
    assert (refused.state, refused.cause) == (JobState.FAILED, FailureCause.DATA)
    assert "other data: fingerprint simulation then, other now" in refused.message
    assert artifacts.list_checkpoints(stage.store.get_folder(job)) == stored != []


def test_a_killed_supervisor_is_replaced_and_takes_over_the_living_worker(
    make: Callable[[str], InProcessLab],
) -> None:
    stage = make("home")
    job = stage.launch()
    stage.look()

    stage.restart_supervisor()
    stage.look()
    assert stage.store.read_job(job.id).state is JobState.STARTING
    assert stage.store.read_job(job.id).attempt == 1
    stage.finish(Disk())
    stage.look()

    assert stage.complaint(job) == ""


def test_a_stale_attempt_writes_neither_rows_nor_files(
    make: Callable[[str], InProcessLab], undisturbed: tuple[int, dict[str, str]]
) -> None:
    stage = make("home")
    job = stage.launch()
    stage.look()
    stale = replace(
        stage.store.read_job(job.id), request_json='{"config": {"seed": 2}}'
    )  # so that its output differs from that of the other attempt
    rows: list[tuple[Job, list[Metric]]] = []

    def read_rows() -> tuple[Job, list[Metric]]:
        return stage.store.read_job(job.id), stage.store.read_metrics(job.id)

    class ReplacedContext(JobContext):
        """Context of an attempt that another one replaces before its first step, unnoticed."""

        def report(self, progress: Progress) -> None:
            if progress.phase is Phase.TOKENIZING:
                stage.kill()
                stage.look()
                stage.resume(job)
                stage.look()
                stage.finish()
                rows.append(read_rows())
            super().report(progress)

        def should_stop(self) -> bool:
            return False

    assert worker.perform(stage.store, stale, new_context=ReplacedContext) == 0

    assert rows == [read_rows()]
    assert outcome(stage.store.get_folder(job)) == undisturbed[1]
    assert stage.complaint(job) == ""
