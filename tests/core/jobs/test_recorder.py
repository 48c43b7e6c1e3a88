import pytest

from core import files
from core.jobs.checkpoints import Identity
from core.jobs.context import JobContext
from core.jobs.recorder import Recorder
from core.rehearsal.disks import Death, DyingDisk
from core.states import JobState, Kind
from core.store import Store
from core.training.events import Checkpoint, TrainMetric


def test_rows_are_in_the_database_before_the_checkpoint_that_is_past_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    job = store.create(Kind.TRAIN, "run", {}, "key")
    store.transition(job, JobState.STARTING)
    record = Recorder(JobContext(store, job), Identity("config", "data", "model", {}), keep=lambda evaluation: None)
    record(TrainMetric(2, 0.1, 0.5, 1e-3, 30.0))
    assert store.read_metrics(job.id) == []

    monkeypatch.setattr(files, "disk", DyingDisk(1))
    with pytest.raises(Death):
        record(Checkpoint(2, {"position.json": b"{}"}))

    assert [metric.step for metric in store.read_metrics(job.id)] == [2]
