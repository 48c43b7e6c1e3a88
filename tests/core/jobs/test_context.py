from typing import Unpack

from core.errors import NotEnoughRoom
from core.jobs.context import JobContext
from core.progress import Phase, Progress
from core.storage.database import Metric
from core.storage.job import Job, JobChanges, JobKind, JobState
from core.storage.store import Store


class FullStore(Store):
    """A database that has room for points, but not for progress, until it is emptied."""

    full = True

    def update(self, job: Job, **changes: Unpack[JobChanges]) -> bool:
        if self.full:
            raise NotEnoughRoom("The disk is full.", "Delete files.")
        return super().update(job, **changes)


def test_points_and_progress_are_written_together(store: Store) -> None:
    job = store.create(JobKind.TRAIN, "run", {}, "key")
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.RUNNING)
    full = FullStore(store.settings)
    context = JobContext(full, store.read_job(job.id))

    context.report(Progress(Phase.TRAINING, 1, 9))
    context.add_metric(Metric(1, "train", 0.1, 0.5, 0.0))
    assert store.read_metrics(job.id) == []

    full.full = False
    context.flush()
    assert [metric.step for metric in store.read_metrics(job.id)] == [1]
    assert store.read_job(job.id).done == 1
