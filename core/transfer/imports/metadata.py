"""Read and validate the metadata of an imported adapter: class names, training configuration,
scores.

Shapes: n texts, C classes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from core.access import sanitize_name
from core.config import RunConfig
from core.data.files.table import clean
from core.errors import ArtifactDamaged, DataError
from core.evaluation.predictions import Predictions
from core.models.architecture import ModelShape
from core.storage.job_record import check_types
from core.storage.schema import Metric
from core.transfer.imports.archive import LABELS, MODEL, PREDICTIONS, RUN, AdapterArchive
from core.transfer.imports.peft_adapter import AdapterConfig, read_object

LONGEST_NAME, LONGEST_CLASS = 120, 80  # letters
MOST_POINTS, MOST_LINES = 200_000, 1_000_000
FIGURES = (
    "train_seconds",
    "rows_per_second",
    "peak_memory_mb",
    "trained_rows",
    "steps",
    "best_step",
)
COUNTS = ("trained_rows", "steps", "best_step")  # the whole numbers among them
AGAIN = "Export the run again, or leave this file out."


def read_metadata(parcel: AdapterArchive) -> dict[str, Any]:
    """Read ``run.json``; empty if it is missing. Raises DataError."""
    return read_object(parcel.files[RUN], RUN) if RUN in parcel.files else {}


def with_revision(config: AdapterConfig, parcel: AdapterArchive) -> AdapterConfig:
    """Add the revision stored by an export, a folder's fingerprint, if PEFT's own file has none."""
    beside = read_object(parcel.files[LABELS], LABELS) if LABELS in parcel.files else {}
    told = beside.get("revision")
    same = beside.get("base") == config.base_model_name_or_path and not config.revision
    return (
        config.model_copy(update={"revision": told[:200]})
        if same and isinstance(told, str)
        else config
    )


def read_name(story: Mapping[str, Any], wanted: str, parcel: AdapterArchive) -> str:
    """Choose the name of the run: the requested one, otherwise the stored one, otherwise the file
    name.
    """
    told = story.get("name")
    chosen = (
        wanted.strip()
        or (told if isinstance(told, str) else "")
        or parcel.name.rpartition(".")[0]
        or parcel.name
    )
    return sanitize_name(chosen, LONGEST_NAME) or "imported"


def read_classes(parcel: AdapterArchive, wanted: Sequence[str], classes: int) -> tuple[str, ...]:
    """Return C class names in the order of their ids: the requested ones, otherwise the stored
    ones. Raises DataError.
    """
    names = list(wanted) or _names_beside(parcel)
    if not names:
        message = f"It does not say what its {classes} classes are called."
        raise DataError(
            message, f"Give {classes} names in the order of their ids, separated by commas."
        )
    if len(names) != classes:
        raise DataError(
            f"Its classifier tells {classes} classes apart, and {len(names)} are named.",
            f"Give {classes} names.",
        )
    plain = tuple(sanitize_name(str(name), LONGEST_CLASS + 1) for name in names)
    if bad := [name for name in plain if not 1 <= len(name) <= LONGEST_CLASS]:
        raise DataError(
            f"A class is called {bad[0][:20]!r}: names have 1 to {LONGEST_CLASS} letters.",
            "Give other names.",
        )
    if len(set(plain)) < len(plain):
        raise DataError("Two of its classes have one name.", "Give each class a name of its own.")
    return plain


def read_run_config(
    story: Mapping[str, Any],
    config: AdapterConfig,
    model: str,
    parcel: AdapterArchive,
    shape: ModelShape,
) -> RunConfig:
    """Build the run configuration from the stored one; values of the adapter take precedence.
    Raises DataError.
    """
    told = story.get("config")
    known = (
        {name: value for name, value in told.items() if name in RunConfig.model_fields}
        if isinstance(told, dict)
        else {}
    )
    if LABELS in parcel.files and isinstance(
        tokens := read_object(parcel.files[LABELS], LABELS).get("max_tokens"), int
    ):
        known["max_tokens"] = tokens
    try:
        made = RunConfig.model_validate({**known, **config.fields(), "model": model})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DataError(
            f"{RUN}: {'.'.join(map(str, first['loc']))} is wrong. {first['msg']}.", AGAIN
        ) from error
    if shape.max_positions and made.max_tokens > shape.max_positions:
        raise DataError(
            f"{RUN}: the base reads at most {shape.max_positions} tokens, not {made.max_tokens}.",
            AGAIN,
        )
    return made


def read_metrics(story: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Read the points of the curves. Raises DataError."""
    rows = story.get("metrics", [])
    try:
        if not isinstance(rows, list) or len(rows) > MOST_POINTS:
            raise TypeError("no list of points")
        metrics = [Metric(**row) for row in rows]
        for metric in metrics:
            check_types(metric)
            if metric.split not in ("train", "validation") or not all(
                map(_is_number, asdict(metric).values())
            ):
                raise ValueError(f"step {metric.step}")
        return [asdict(metric) for metric in metrics]
    except (TypeError, ValueError) as error:
        raise DataError(f"{RUN}: its curves are damaged ({str(error)[:80]}).", AGAIN) from error


def read_figures(story: Mapping[str, Any]) -> dict[str, object]:
    """Read seconds, MB and counts where they are valid numbers."""
    amounts = {name: value for name in FIGURES if _is_amount(value := story.get(name))}
    return {
        name: value
        for name, value in amounts.items()
        if name not in COUNTS or isinstance(value, int)
    }


def read_data(story: Mapping[str, Any]) -> tuple[str, str]:
    """Read name and fingerprint of the data; empty if missing."""
    told = story.get("data")
    told = told if isinstance(told, dict) else {}
    name, mark = (
        sanitize_name(str(told.get(key) or ""), LONGEST_NAME) for key in ("name", "fingerprint")
    )
    return name, mark if mark.isalnum() and len(mark) <= 64 else ""


def read_predictions(parcel: AdapterArchive, classes: Sequence[str]) -> pd.DataFrame | None:
    """Read the test predictions with their texts; None if there are none. Raises DataError."""
    if PREDICTIONS not in parcel.files:
        return None
    lines = parcel.files[PREDICTIONS].splitlines()
    numbers = {name: index for index, name in enumerate(classes)}
    try:
        if len(lines) > MOST_LINES:
            raise ValueError(f"{len(lines):,} lines")
        rows = [json.loads(line) for line in lines if line.strip()]
        shares = np.array(
            [[row["probabilities"][name] for name in classes] for row in rows], dtype=np.float32
        ).reshape(-1, len(classes))
        labels = np.array([numbers[row["label"]] for row in rows], dtype=np.int64)
        frame = pd.DataFrame(
            {"row": np.array([row["row"] for row in rows], dtype=np.int64), "label": labels}
        )
        frame = frame.assign(**{f"p{index}": shares[:, index] for index in range(len(classes))})
        frame["loss"] = -np.log(np.maximum(shares[np.arange(len(rows)), labels], 1e-12))
        frame["text"] = [clean(row["text"]) for row in rows]
        return Predictions.of(frame, len(classes)).frame
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
        RecursionError,
        ArtifactDamaged,
    ) as error:
        raise DataError(
            f"{PREDICTIONS} is damaged ({type(error).__name__}: {str(error)[:100]}).", AGAIN
        ) from error


def _names_beside(parcel: AdapterArchive) -> list[str]:
    """Read names from ``labels.json`` of an export, or ``config.json`` of transformers."""
    for name in (LABELS, MODEL):
        if name in parcel.files:
            names = read_object(parcel.files[name], name).get("id2label")
            if isinstance(names, dict) and all(
                str(number) in names for number in range(len(names))
            ):
                return [str(names[str(number)]) for number in range(len(names))]
    return []


def _is_number(value: object) -> bool:
    """Whether ``value`` is not a number, or a finite one: JSON allows NaN and very large
    numbers.
    """
    return not isinstance(value, int | float) or abs(value) < 1e12


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
