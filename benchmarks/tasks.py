"""The task that ``benchmarks/training.py`` gives each side, and what a side measures.

Free of ML libraries, so that the process which starts the sides does not import them, too.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Literal

from core.config import RunConfig

MAX_TOKENS = 512
BATCH_SIZE = 16
SCORED_STEPS = 25
Format = Literal["fp32", "bf16"]
SIDES: dict[str, tuple[str, Format]] = {  # module and function, and its number format
    "reference": ("benchmarks.trainer_side:reference", "fp32"),
    "reference_bf16": ("benchmarks.trainer_side:reference", "bf16"),
    "ours": ("benchmarks.sides:ours", "fp32"),
    "ours_bf16": ("benchmarks.sides:ours", "bf16"),
}


@dataclass(frozen=True)
class Task:
    """The task of both sides: model, rows, seed, and dataset folder ("" for the default); ``home``
    stores prepared data. With ``until`` a side scores the test rows after every ``SCORED_STEPS``
    steps, and stops once that accuracy is reached; 0 for neither.
    """

    model: str
    rows: int
    test_rows: int
    seed: int
    data: str
    home: str
    until: float = 0.0

    def with_seed(self, seed: int) -> "Task":
        """Return the task with another seed."""
        return replace(self, seed=seed)

    def as_dict(self) -> dict[str, object]:
        """Return the fields by name."""
        return asdict(self)

    def make_config(self, precision: Format) -> RunConfig:
        """Return the recipe's hyperparameters."""
        return RunConfig(
            train_rows=self.rows, test_rows=1, seed=self.seed, max_tokens=MAX_TOKENS, warmup=0.0,
            evaluation_interval=SCORED_STEPS if self.until else 100_000,
            validation_rows=self.test_rows if self.until else 1, precision=precision,
        )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Figures of one side, without loading and tokenization; ``gemm_share`` is 0 if not measured.
    ``seconds_to_accuracy`` are those of the steps, 0 if it was not reached. ``timed_seconds`` are
    those that the two rates were computed from.

    ``gemm_share`` is the fraction of the peak of ``torch.mm``, and ``onednn_share`` that of
    oneDNN: the library chosen by a training may be the faster one.
    """

    rows_per_second: float
    evaluated_rows_per_second: float
    accuracy: float
    macro_f1: float
    peak_memory_mb: float
    timed_seconds: float
    seconds_to_accuracy: float = 0.0
    gemm_share: float = 0.0
    gemm_peak_gflops: float = 0.0
    onednn_share: float = 0.0
    onednn_peak_gflops: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the fields."""
        return [field.name for field in fields(cls)]
