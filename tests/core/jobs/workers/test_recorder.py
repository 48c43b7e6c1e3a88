import pytest

from core.jobs.context import JobContext
from core.jobs.workers.recorder import Recorder
from core.runs.artifacts import TrainingIdentity
from core.storage.job import JobKind, JobState
from core.storage.store import Store
from core.training.events import Checkpoint, TrainMetric
from tests.support.faults.disks import DyingDisk, SimulatedCrash, writing_to


def test_rows_are_in_the_database_before_the_checkpoint_that_is_past_them(
    store: Store,
) -> None:
    job = store.create(JobKind.TRAIN, "run", {}, "key")
    store.transition(job, JobState.STARTING)
    record = Recorder(
        JobContext(store, job),
        TrainingIdentity("config", "data", "model", {}),
        keep=lambda evaluation: None,
    )
    record(TrainMetric(2, 0.1, 0.5, 1e-3, 30.0))
    assert store.read_metrics(job.id) == []

    with writing_to(DyingDisk(1)), pytest.raises(SimulatedCrash):
        record(Checkpoint(2, {"position.json": b"{}"}))

    assert [metric.step for metric in store.read_metrics(job.id)] == [2]
