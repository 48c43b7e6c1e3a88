"""A run of a simulated lesson, in place of a training (``LORALAB_TRAIN_MODULE`` names this module).

The first run of a home trains for real. Each later one takes the seconds of that one divided by
``SPEED``, the start of its process included, and keeps all threads of a training busy with matrix
products. Queue, worker process, progress, metrics and result are real; the accuracy is drawn from
the seed, and there is no adapter.
"""

import os
import pkgutil

import numpy as np

from core.errors import Stopped
from core.jobs.context import JobContext
from core.jobs.kinds import find_kind
from core.progress import Phase, Progress
from core.runs.requests import read_train_request
from core.runs.run import RunResult, SplitScores
from core.storage.database import Metric
from core.storage.job import JobKind, JobState
from core.storage.recovery import EXAMPLE_ID
from core.storage.store import Store

SPEED = "LESSON_SPEED"  # the environment variable with the speed of the lesson
STEPS, TEST_ROWS = 40, 500


def prepare(store: Store) -> Store:
    """Return the store as it is."""
    return store


def read_seconds(store: Store) -> float | None:
    """Return the seconds of the first run that has finished in this home, from the start of its
    process to its end; None before there is one.
    """
    jobs = store.list_jobs(JobKind.TRAIN, states=[JobState.COMPLETED])
    first = next((job for job in reversed(jobs) if job.id != EXAMPLE_ID), None)
    if first is None or first.started_at is None or first.ended_at is None:
        return None
    return first.ended_at - first.started_at


def run(context: JobContext) -> None:
    """Keep the cores busy until the time is over, with a metric for each step."""
    real = read_seconds(context.store)
    if real is None:
        pkgutil.resolve_name(find_kind(context.job).worker)(context)
        return
    if context.job.started_at is None:
        raise RuntimeError("the run has not started")
    request = read_train_request(context.job)
    began, now = context.job.started_at, context.store.clock
    seconds = real / float(os.environ[SPEED])
    context.set_running()
    matrix = np.ones((400, 400))
    for step in range(1, STEPS + 1):
        while now() < began + seconds * step / STEPS:
            matrix @ matrix  # releases the lock, and uses the threads that a training has
        if context.should_stop():
            raise Stopped("The run was stopped.")
        context.add_metric(Metric(step, "train", 1 / step, 1.0, now()))
        context.report(Progress(Phase.TRAINING, step, STEPS))
    hits = int(np.random.default_rng(request.config.seed).binomial(TEST_ROWS, 0.87))
    accuracy = hits / TEST_ROWS
    scores = SplitScores(accuracy=accuracy, macro_f1=accuracy, rows=TEST_ROWS, hits=hits)
    context.update_result(RunResult(test=scores))
    context.flush()
