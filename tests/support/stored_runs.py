"""Runs written straight to the store, in the states that a page may meet."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from core.config import RunConfig
from core.data.sources import Source
from core.evaluation.predictions import Predictions
from core.runs import artifacts
from core.runs.requests import TrainRequest
from core.runs.run import SplitScores
from core.settings import BUNDLED_RUNS
from core.storage import files
from core.storage.database import Metric
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from core.training.events import EvaluatedSplit

CLASSES = ("World", "Sports", "Business", "Sci/Tech")
FINGERPRINT = "0123456789ab"
ADAPTER = BUNDLED_RUNS / "example" / "adapter"


def make_run(store: Store, source: Source, name: str, **fields: object) -> Job:
    """Create a queued run."""
    request = TrainRequest(
        config=RunConfig(**{"train_rows": 800, **fields}), source=source, preset="taste"
    )
    return store.create(JobKind.TRAIN, name, request.model_dump(mode="json"), launch_key=name)


def start(store: Store, job: Job) -> Job:
    """Move the run to the state after its worker has loaded the data."""
    now = store.clock()
    store.transition(job, JobState.STARTING, started_at=now - 30, heartbeat_at=now)
    store.transition(job, JobState.RUNNING)
    store.update(job, fingerprint=FINGERPRINT)
    return store.read_job(job.id)


def make_finished(
    store: Store,
    source: Source,
    name: str,
    rows: int = 40,
    right: int = 34,
    classes: Sequence[str] = CLASSES,
    absent: bool = False,
) -> Job:
    """Create a completed run with all its files, but without a real adapter.

    With ``absent`` its last class is never predicted.
    """
    job = start(store, make_run(store, source, name))
    folder = store.get_folder(job)
    result: dict[str, object] = {
        "classes": list(classes),
        "train_seconds": 25.0,
        "rows_per_second": 32.0,
        "trained_rows": 800,
        "peak_memory_mb": 900.0,
    }
    right_in: dict[EvaluatedSplit, int] = {
        "test": right,
        "validation": right - 1,
        "untrained": rows // 4,
    }
    for split, hits in right_in.items():
        frame = predictions(rows, hits, len(classes), absent).assign(
            text=texts("test", rows)["text"]
        )
        files.write_parquet(artifacts.predictions_path(folder, split), frame)
        result[split] = SplitScores.of(Predictions.of(frame, len(classes))).model_dump()
    files.write_folder(
        folder / "adapter",
        {"adapter_model.safetensors": b"not really", "adapter_config.json": b"{}"},
    )
    add_curves(store, job, steps=50, rows=rows, classes=len(classes))
    store.update(job, result_json=json.dumps(result))
    store.transition(job, JobState.COMPLETED, ended_at=store.clock(), phase="")
    return store.read_job(job.id)


def add_curves(
    store: Store, job: Job, steps: int, rows: int = 40, classes: int = len(CLASSES)
) -> None:
    """Add a metric per step, and a validation with predictions every tenth step."""
    now = store.clock()
    for step in range(1, steps + 1):
        metrics = [
            Metric(
                step,
                "train",
                step / 50,
                1.4 - step / 60,
                now + step / 2,
                learning_rate=2e-3,
                rows_per_second=32.0,
            )
        ]
        if step % 10 == 0:
            right = min(rows, 16 + step // 2, 36)
            frame = predictions(rows, right, classes)
            files.write_parquet(
                artifacts.predictions_path(store.get_folder(job), "validation", step), frame
            )
            metrics.append(
                Metric(
                    step,
                    "validation",
                    step / 50,
                    1.3 - step / 80,
                    now + step / 2,
                    right / rows,
                    right / rows,
                    best=True,
                )
            )
        store.add_metrics(job, metrics)


def texts(split: str, rows: int) -> pd.DataFrame:
    """Return short texts with alternating classes."""
    labels = np.arange(rows) % len(CLASSES)
    words = [
        f"{CLASSES[label]} news, item {row} of the {split} split: **bold** <b>tags</b>"
        for row, label in enumerate(labels)
    ]
    counts = {
        "characters": [len(text) for text in words],
        "words": [len(text.split()) for text in words],
        "tokens": 14,
    }
    return pd.DataFrame({"row": range(rows), "text": words, "label": labels, **counts})


def predictions(
    rows: int, right: int, classes: int = len(CLASSES), absent: bool = False
) -> pd.DataFrame:
    """Return predictions: the first ``right`` texts correct with 0.7, the others as the next class;
    ``absent``: the last class as the first one.
    """
    true = np.arange(rows) % classes
    predicted = np.where(np.arange(rows) < right, true, (true + 1) % classes)
    if absent:
        predicted[predicted == classes - 1] = 0
    shares = np.full((rows, classes), 0.3 / (classes - 1))
    shares[np.arange(rows), predicted] = 0.7
    loss = -np.log(shares[np.arange(rows), true])
    columns: Mapping[str, object] = {f"p{index}": shares[:, index] for index in range(classes)}
    return pd.DataFrame({"row": range(rows), "label": true, **columns, "loss": loss})


def store_test_predictions(store: Store, job: Job, rows: int) -> None:
    """Replace the test predictions of the run by the first ``rows`` of 40."""
    path = artifacts.predictions_path(store.get_folder(job), "test")
    files.write_parquet(path, predictions(40, 34).head(rows))
