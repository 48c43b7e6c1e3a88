"""Files stored next to an exported model: run as JSON, predictions as JSON lines, curves as event
files.

An import reads them.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tensorboardX import SummaryWriter

from core.models.catalog import MODELS
from core.transfer.export.write_model import ExportSource

KEPT = (
    *(
        "name",
        "config",
        "data",
        "classes",
        "test",
        "untrained",
        "validation",
        "per_class",
        "confusion",
        "metrics",
    ),
    *("train_seconds", "rows_per_second", "peak_memory_mb", "trained_rows", "steps", "best_step"),
)
CURVES = ("loss", "accuracy", "macro_f1", "learning_rate", "rows_per_second")
READ_CURVES = """# Curves

Loss, accuracy, macro-F1, learning rate and speed of the run, with the time of each measurement.
To view them:

    pip install tensorboard
    tensorboard --logdir .
"""


def write_run(details: Mapping[str, Any], source: ExportSource, path: Path) -> None:
    """Write configuration, data, scores and curves of the run, without any local path."""
    kept = {name: details[name] for name in KEPT if name in details}
    config = details["config"]
    if config["model"] not in MODELS:
        kept["config"] = {**config, "model": f"{source.identity}@{source.revision}"}
    path.write_text(
        json.dumps(kept, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8"
    )


def write_predictions(frame: pd.DataFrame, classes: Sequence[str], path: Path) -> None:
    """Write one line per test text: row, text, true class, and the probability of each class."""
    columns = [f"p{index}" for index in range(len(classes))]
    with path.open("w", encoding="utf-8") as file:
        for row, text, label, *shares in frame[["row", "text", "label", *columns]].itertuples(
            index=False
        ):
            told = {
                name: round(float(share), 7) for name, share in zip(classes, shares, strict=True)
            }
            line = {
                "row": int(row),
                "text": text,
                "label": classes[label],
                "predicted": max(told, key=told.__getitem__),
            }
            file.write(json.dumps({**line, "probabilities": told}, ensure_ascii=False) + "\n")


def write_curves(details: Mapping[str, Any], folder: Path) -> None:
    """Write TensorBoard event files for training and validation; test scores are at the last
    step.
    """
    writers = {
        split: SummaryWriter(str(folder / split), max_queue=1000)
        for split in ("train", "validation")
    }
    for point in details["metrics"]:
        for name in CURVES:
            if point[name] is not None:
                writers[point["split"]].add_scalar(
                    name, point[name], point["step"], walltime=point["at"]
                )
    last = max((point["step"] for point in details["metrics"]), default=0)
    if "test" in details:
        writers["test"] = SummaryWriter(str(folder / "test"))
        for name in ("accuracy", "macro_f1"):
            writers["test"].add_scalar(name, details["test"][name], last)
    for writer in writers.values():
        writer.close()
    (folder / "README.md").write_text(READ_CURVES, encoding="utf-8")
