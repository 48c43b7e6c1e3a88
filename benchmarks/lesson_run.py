"""A run of a simulated lesson, in place of a training (``LORALAB_TRAIN_MODULE`` names this module).

The first two runs of a home train for real: the first as "Prepare a lesson" does, which stores what
the base model computes for the untrained score, the second as a student's, with another seed. Each
later one takes the seconds of the second divided by ``SPEED``, the start of its process included,
and keeps all threads of a training busy with matrix products. Queue, worker process, progress,
metrics, predictions and result are real; which texts are right is drawn from the seed, and there is
no adapter.
"""

import os
import pkgutil

import numpy as np
import pandas as pd

from core.data.dataset import Dataset
from core.data.preparation import find_prepared
from core.data.sources import Split
from core.errors import Stopped
from core.evaluation.predictions import Predictions, build_prediction_frame
from core.jobs.context import JobContext
from core.jobs.kinds import find_kind
from core.progress import Phase, Progress
from core.runs.requests import read_train_request
from core.runs.run import RunResult, SplitScores
from core.storage import files
from core.storage.database import Metric
from core.storage.job import JobKind, JobState
from core.storage.recovery import EXAMPLE_ID
from core.storage.store import Store

SPEED = "LESSON_SPEED"  # the environment variable with the speed of the lesson
REAL_RUNS = 2
STEPS, TEST_ROWS, UNTRAINED_ROWS, SAMPLE_SEED = 40, 500, 1000, 42
ACCURACY, CONFIDENCE = 0.87, 0.9
SPLITS = ("untrained", "validation", "test")


def prepare(store: Store) -> Store:
    """Return the store as it is."""
    return store


def read_seconds(store: Store) -> float | None:
    """Return the seconds of the last real run of this home, from the start of its process to its
    end; None before all of them have finished.
    """
    jobs = store.list_jobs(JobKind.TRAIN, states=[JobState.COMPLETED])
    own = sorted(
        (job for job in jobs if job.id != EXAMPLE_ID), key=lambda job: job.started_at or 0.0
    )
    if len(own) < REAL_RUNS:
        return None
    last = own[REAL_RUNS - 1]
    return (last.ended_at or 0.0) - (last.started_at or 0.0)


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
    dataset = find_prepared(context.settings, request.source)
    assert dataset is not None
    context.store.update(context.job, fingerprint=dataset.fingerprint)
    context.update_result(RunResult(classes=dataset.classes, data=dataset.name))
    tables = {split: _draw_predictions(dataset, split, request.config.seed) for split in SPLITS}
    matrix = np.ones((400, 400))
    for step in range(1, STEPS + 1):
        if step == STEPS:  # what is written is a part of the last step
            _save(context, tables, len(dataset.classes))
        while now() < began + seconds * step / STEPS:
            matrix @ matrix  # releases the lock, and uses the threads that a training has
        if context.should_stop():
            raise Stopped("The run was stopped.")
        context.add_metric(Metric(step, "train", 1 / step, 1.0, now()))
        context.report(Progress(Phase.TRAINING, step, STEPS))
    context.flush()


def _draw_predictions(dataset: Dataset, split: str, seed: int) -> pd.DataFrame:
    """Draw predictions of rows of the split, with their texts, as a training stores them."""
    untrained = split == "untrained"
    rows, accuracy = (
        (UNTRAINED_ROWS, 1 / len(dataset.classes)) if untrained else (TEST_ROWS, ACCURACY)
    )
    held_out: Split = "validation" if split == "validation" else "test"
    texts = dataset.draw_sample(held_out, rows, SAMPLE_SEED)
    draw = np.random.default_rng([seed, SPLITS.index(split)])
    labels, classes = texts["label"].to_numpy(np.int64), len(dataset.classes)
    wrong = draw.random(len(labels)) > accuracy
    predicted = (labels + wrong * draw.integers(1, classes, len(labels))) % classes
    probabilities = np.full((len(labels), classes), (1 - CONFIDENCE) / (classes - 1))
    probabilities[np.arange(len(labels)), predicted] = CONFIDENCE
    frame = build_prediction_frame(
        texts["row"].to_numpy(np.int64), labels, probabilities.astype(np.float32)
    )
    return frame.assign(text=texts["text"].to_numpy())


def _save(context: JobContext, tables: dict[str, pd.DataFrame], classes: int) -> None:
    for split, frame in tables.items():
        files.write_parquet(context.folder / f"predictions-{split}.parquet", frame)
        scores = SplitScores.of(Predictions.of(frame, classes))
        context.update_result(RunResult.model_validate({split: scores}))
