"""Budget first: given minutes, the rows, epochs, batch and evaluation interval that fit, and what
earlier runs suggest it will reach.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.config import RunConfig
from core.errors import ConfigError
from core.estimate.estimate import Estimate, Speed, estimate
from core.estimate.inputs import DataFacts, ModelFacts

BUDGETS = (5, 15, 45)  # minutes that are offered
MOST_MINUTES = 24 * 60
FEWEST_ROWS = 100
MOST_EPOCHS = 3  # further passes over the same rows rarely help an adapter
VALIDATIONS = 10  # enough for a curve and to find the best step
EVALUATION_SHARE, VALIDATION_SHARE = (
    0.25,
    0.15,
)  # of the budget, for the final evaluation and for all validations
FEWEST_TEST_ROWS, FEWEST_VALIDATION_ROWS = 200, 100  # ±4 and ±6 points at 90 %
BATCHES = (
    (8, 40),
    (16, 1500),
    (32, math.inf),
)  # the first of them with at most so many steps, few rows need small batches
# an earlier run tells something if it trained on at most so many times the rows, or so many times
# fewer
LIKE = 2.0
NEAREST = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an earlier run on the same data and model came to: rows of its training set, epochs,
    accuracy on the test split.
    """

    rows: int
    epochs: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class BudgetProposal:
    """A configuration that fits, its estimate, the lowest and highest accuracy that earlier runs
    suggest, and a sentence about it.
    """

    config: RunConfig
    estimate: Estimate
    accuracy: tuple[float, float] | None
    note: str


def propose(
    minutes: float,
    config: RunConfig,
    data: DataFacts,
    model: ModelFacts,
    speed: Speed,
    history: Sequence[Outcome] = (),
) -> BudgetProposal:
    """``config`` with the most rows, then epochs, that fit into ``minutes`` from launch to end; all
    else but batch and evaluation stays.

    A speed measured here must fit with its high estimate, a typical one with the likely one. Raises
    ConfigError if nothing fits.
    """
    budget = _Budget(60 * minutes, config, data, model, speed)
    fewest = min(data.train_rows, max(FEWEST_ROWS, data.classes))
    smallest = budget.with_rows(fewest, 1)
    if not budget.fits(smallest):
        raise _too_short(budget, minutes, fewest)
    chosen = _most_rows(budget, fewest, data.train_rows)
    if data.used_rows(chosen) == data.train_rows:
        more = (budget.with_rows(data.train_rows, epochs) for epochs in range(MOST_EPOCHS, 1, -1))
        chosen = next((longer for longer in more if budget.fits(longer)), chosen)
    expected = estimate(chosen, data, model, speed)
    alike = _alike(history, data.used_rows(chosen))
    reached = (min(alike), max(alike)) if alike else None
    return BudgetProposal(chosen, expected, reached, _note(chosen, data, expected, minutes, alike))


@dataclass(frozen=True, slots=True)
class _Budget:
    seconds: float
    config: RunConfig
    data: DataFacts
    model: ModelFacts
    speed: Speed

    def with_rows(self, rows: int, epochs: int) -> RunConfig:
        """The configuration on so many rows, with batch, validations and final evaluation to
        match.
        """
        batch = next(size for size, most in BATCHES if math.ceil(rows / size) * epochs <= most)
        steps = math.ceil(rows / batch) * epochs
        changes = {
            "train_rows": rows,
            "epochs": epochs,
            "batch_size": batch,
            "evaluation_interval": max(1, math.ceil(steps / VALIDATIONS)),
        }
        plain = self.config.model_copy(update=changes)
        expected = estimate(plain, self.data, self.model, self.speed)
        share = VALIDATION_SHARE * self.seconds / max(expected.validation_seconds, 1e-9)
        validated = min(plain.validation_rows, self.data.validation_rows)
        if share < 1:
            changes["validation_rows"] = min(
                validated, max(FEWEST_VALIDATION_ROWS, _round_down(share * validated))
            )
        return self.config.model_copy(update={**changes, "test_rows": self._test_rows(expected)})

    def _test_rows(self, expected: Estimate) -> int:
        """As many rows as a quarter of the budget evaluates: those of the validation split count,
        too.
        """
        all_rows = max(self.data.test_rows, self.data.validation_rows)
        wanted = min(self.config.test_rows or all_rows, all_rows)
        share = EVALUATION_SHARE * self.seconds / max(expected.evaluation_seconds, 1e-9)
        if share >= 1:
            return self.config.test_rows
        evaluated = self.data.used_test_rows(self.config) * share
        each = max(evaluated / 2, evaluated - min(self.data.validation_rows, self.data.test_rows))
        return min(wanted, max(FEWEST_TEST_ROWS, _round_down(each)))

    def seconds_of(self, config: RunConfig) -> float:
        expected = estimate(config, self.data, self.model, self.speed)
        return expected.high_seconds if expected.measured else expected.likely_seconds

    def fits(self, config: RunConfig) -> bool:
        return self.seconds_of(config) <= self.seconds


def _too_short(budget: _Budget, minutes: float, fewest: int) -> ConfigError:
    message = (
        f"Not even {fewest:,} rows fit into {_minutes(minutes)}: starting, training and scoring"
        " take longer."
    )
    wider = (
        replace(budget, seconds=60.0 * more) for more in range(math.ceil(minutes), MOST_MINUTES)
    )
    enough = next(
        (each.seconds / 60 for each in wider if each.fits(each.with_rows(fewest, 1))), None
    )
    give = f"Give {enough:.0f} minutes or more, or choose" if enough else "Choose"
    return ConfigError(message, f"{give} a smaller base model or fewer tokens.")


def _most_rows(budget: _Budget, fewest: int, most: int) -> RunConfig:
    """One pass over as many rows as fit, between ``fewest``, which do, and ``most``."""
    if budget.fits(everything := budget.with_rows(most, 1)):
        return everything
    while most - fewest > max(1, fewest // 50):
        middle = (fewest + most) // 2
        fewest, most = (
            (middle, most) if budget.fits(budget.with_rows(middle, 1)) else (fewest, middle)
        )
    rounded = budget.with_rows(_round_down(fewest), 1)
    return rounded if budget.fits(rounded) else budget.with_rows(fewest, 1)


def _alike(history: Sequence[Outcome], rows: int) -> list[float]:
    """Accuracies of the earlier runs that are nearest in rows."""
    near = [
        outcome for outcome in history if outcome.rows and 1 / LIKE <= outcome.rows / rows <= LIKE
    ]
    near.sort(key=lambda outcome: abs(math.log(outcome.rows / rows)))
    return [outcome.accuracy for outcome in near[:NEAREST]]


def _note(
    config: RunConfig, data: DataFacts, expected: Estimate, minutes: float, alike: list[float]
) -> str:
    rows = data.used_rows(config)
    epochs = "1 epoch" if config.epochs == 1 else f"{config.epochs} epochs"
    scope = "all " if rows == data.train_rows else ""
    verb = "allows" if minutes == 1 else "allow"
    fits = f"{_minutes(minutes)} {verb} {epochs} over {scope}{rows:,} rows"
    if not expected.measured:
        fits += " (on a typical machine; this one has not been measured)"
    if not alike:
        return f"{fits}. No earlier run on this data to predict accuracy from."
    runs = "An earlier run" if len(alike) == 1 else f"{len(alike)} earlier runs"
    span = f"{min(alike):.1%}" if len(alike) == 1 else f"{min(alike):.1%} to {max(alike):.1%}"
    return f"{fits}. {runs} with about as many rows reached {span}."


def _minutes(minutes: float) -> str:
    return "1 minute" if minutes == 1 else f"{minutes:g} minutes"


def _round_down(number: float) -> int:
    """To two digits that count."""
    digits = 10 ** max(0, int(math.log10(max(1, number))) - 1)
    return int(number // digits * digits)
