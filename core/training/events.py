"""Events that a training reports to its caller.

Does not import torch, so that tests and fakes can use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.config import Precision
from core.progress import Progress

if TYPE_CHECKING:
    import pandas as pd


UNTRAINED_ROWS = 1000  # test texts on which the untrained model is scored
EvaluatedSplit = Literal["validation", "test", "untrained"]
LEAST_AGREEMENT = 0.995  # of labels in bf16 with those in fp32, or predictions stay in fp32
COMPARED_TEXTS = 200  # at least; fewer show no agreement


@dataclass(frozen=True, slots=True)
class TrainMetric:
    """One optimizer step: mean loss of its rows, its learning rate, and rows per second since the
    start of training.
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
    """Predictions on a split, one row per text: row, label, p0 … p{C-1} (probabilities), loss
    (nats).
    """

    split: EvaluatedSplit
    predictions: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The files that a training needs to resume after ``step``: name to content, safetensors and
    JSON only.
    """

    step: int
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class AdapterSaved:
    """The best adapter so far in PEFT's format: file name to content."""

    step: int
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """How many of ``texts`` validation texts have the same label in bf16 as in fp32."""

    equal: int
    texts: int

    @property
    def suffices(self) -> bool:
        """Whether predictions in bf16 may stand for those in fp32."""
        return self.texts >= COMPARED_TEXTS and self.equal >= LEAST_AGREEMENT * self.texts


Event = Progress | TrainMetric | ValidationMetric | Evaluation | Checkpoint | AdapterSaved


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Result of a finished or stopped training. ``best_step`` counts optimizer steps from 1; 0
    means untrained.

    ``train_seconds`` is the time of the steps (``step_seconds``) and of the validations. Those were
    computed in ``validation_precision``, and the predictions of validation and test split at the
    end in ``evaluation_precision``, None if there are none; ``agreement`` decided on it.
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
    validation_precision: Precision = "fp32"
    evaluation_precision: Precision | None = None
    agreement: LabelAgreement | None = None
