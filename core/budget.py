"""Budget first: given minutes, the rows, epochs, batch and evaluation interval that fit."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.config import RunConfig
from core.errors import ConfigError
from core.estimate import Estimate, Speed, estimate
from core.facts import DataFacts, ModelFacts

BUDGETS = (5, 15, 45)  # minutes that are offered


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an earlier run on the same data and model came to: rows of its training set, epochs, accuracy on the test split."""

    rows: int
    epochs: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """A configuration that fits, its estimate, the lowest and highest accuracy that earlier runs suggest, and a sentence about it."""

    config: RunConfig
    estimate: Estimate
    accuracy: tuple[float, float] | None
    note: str


def propose(
    minutes: float, config: RunConfig, data: DataFacts, model: ModelFacts, speed: Speed, history: Sequence[Outcome] = ()
) -> Proposal:
    """``config`` with rows, epochs, batch size, evaluation interval and test rows that fit into ``minutes``.

    Raises ConfigError if not even the smallest run fits.
    """
    rows = data.train_rows
    while rows >= max(100, data.classes):
        values = config.model_dump() | {"train_rows": rows, "epochs": 1, "evaluation_interval": max(1, rows // config.batch_size // 10)}
        proposed = RunConfig.model_validate(values)
        expected = estimate(proposed, data, model, speed)
        if expected.high_seconds <= 60 * minutes:
            return Proposal(proposed, expected, None, f"{rows:,} rows fit into {minutes:g} minutes.")
        rows = int(rows * 0.9)
    raise ConfigError(f"No run fits into {minutes:g} minutes.", "Give more minutes.")
