"""What a training tells its caller while it runs. Free of torch, so that tests and fakes can speak
it too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.progress import Progress

if TYPE_CHECKING:
    import pandas as pd


Split = Literal["validation", "test", "untrained"]


@dataclass(frozen=True, slots=True)
class TrainMetric:
    """One optimiser step: mean loss of its rows, learning rate used, rows per second since training
    began.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    rows_per_second: float


@dataclass(frozen=True, slots=True)
class ValidationMetric:
    """Scores on the fixed validation subset after ``step``; ``predictions`` as in
    ``Evaluation``.
    """

    step: int
    epoch: float
    loss: float
    accuracy: float
    macro_f1: float
    best: bool
    predictions: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Predictions on a split: columns row, label, p0 … p{C-1} (probabilities), loss (nats); one
    line a text.
    """

    split: Split
    predictions: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that a resumed training needs to go on after ``step``: file name to content, safetensors
    and JSON only.
    """

    step: int
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class AdapterSaved:
    """The best adapter so far in PEFT's format: file name to content."""

    step: int
    files: Mapping[str, bytes]


Event = Progress | TrainMetric | ValidationMetric | Evaluation | Checkpoint | AdapterSaved


@dataclass(frozen=True, slots=True)
class TrainResult:
    """What a finished or stopped training comes to. ``best_step`` counts optimiser steps from 1; 0
    means untrained.

    ``train_seconds`` are those of the steps (``step_seconds``) and of the validations between them.
    """

    steps: int
    best_step: int
    stopped: bool
    early_stopped: bool
    trained_rows: int
    train_seconds: float
    step_seconds: float
    rows_per_second: float
    peak_memory_mb: float
    precision: str
    device: str
    threads: int
