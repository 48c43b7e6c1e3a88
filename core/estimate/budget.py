"""Choose rows, epochs, batch size and evaluation interval that fit a time budget, and predict the
accuracy from earlier runs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.config import RunConfig
from core.errors import ConfigError
from core.estimate.estimate import Estimate, Speed, estimate
from core.estimate.inputs import DataFacts, ModelFacts
from core.translation import localize, mark, translate, translate_plural

BUDGETS = (5, 15, 45)  # minutes offered by the form
MAX_MINUTES = 24 * 60
MIN_ROWS = 100
MAX_EPOCHS = 3  # further passes over the same rows rarely help an adapter
VALIDATIONS = 10  # enough for a curve and to find the best step
# parts of the budget for the final evaluation and for all validations
EVALUATION_SHARE, VALIDATION_SHARE = 0.25, 0.15
MIN_TEST_ROWS, MIN_VALIDATION_ROWS = 200, 100  # ±4 and ±6 points at 90 %
# (batch size, maximum steps): the first that fits is used, because few rows need small batches
BATCHES = ((8, 40), (16, 1500), (32, math.inf))
MAX_ROW_RATIO = 2.0  # between the rows of an earlier run and those of the new one
NEAREST = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of an earlier run on the same data and model: training rows, epochs, test accuracy."""

    rows: int
    epochs: int
    accuracy: float


@dataclass(frozen=True, slots=True)
class BudgetProposal:
    """A configuration that fits, its estimate, the range of accuracies that earlier runs suggest,
    and a note.
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
    """Change ``config`` to the most rows, then epochs, that fit into ``minutes`` from launch to
    end.

    Only rows, epochs, batch size and evaluation settings change. A speed measured on this machine
    must fit with its high estimate, a typical one with the likely one. Raises ConfigError if
    nothing fits.
    """
    budget = _Budget(60 * minutes, config, data, model, speed)
    fewest = min(data.train_rows, max(MIN_ROWS, data.classes))
    smallest = budget.with_rows(fewest, 1)
    if not budget.fits(smallest):
        raise _too_short_error(budget, minutes, fewest)
    chosen = _find_most_rows(budget, fewest, data.train_rows)
    if data.used_rows(chosen) == data.train_rows:
        more = (budget.with_rows(data.train_rows, epochs) for epochs in range(MAX_EPOCHS, 1, -1))
        chosen = next((longer for longer in more if budget.fits(longer)), chosen)
    expected = estimate(chosen, data, model, speed)
    similar = _find_similar(history, data.used_rows(chosen))
    accuracy = (min(similar), max(similar)) if similar else None
    return BudgetProposal(
        chosen, expected, accuracy, _write_note(chosen, data, expected, minutes, similar)
    )


@dataclass(frozen=True, slots=True)
class _Budget:
    seconds: float
    config: RunConfig
    data: DataFacts
    model: ModelFacts
    speed: Speed

    def with_rows(self, rows: int, epochs: int) -> RunConfig:
        """Return the configuration for ``rows``, with batch size, validations and final evaluation
        to match.
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
        affordable = VALIDATION_SHARE * self.seconds / max(expected.validation_seconds, 1e-9)
        validation_rows = min(plain.validation_rows, self.data.validation_rows)
        if affordable < 1:
            changes["validation_rows"] = min(
                validation_rows, max(MIN_VALIDATION_ROWS, _round_down(affordable * validation_rows))
            )
        return self.config.model_copy(update={**changes, "test_rows": self._test_rows(expected)})

    def _test_rows(self, expected: Estimate) -> int:
        """Return the test rows that the final evaluation can score in its part of the budget,
        validation rows included.
        """
        all_rows = max(self.data.test_rows, self.data.validation_rows)
        requested = min(self.config.test_rows or all_rows, all_rows)
        affordable = EVALUATION_SHARE * self.seconds / max(expected.evaluation_seconds, 1e-9)
        if affordable >= 1:
            return self.config.test_rows
        evaluated = sum(self.data.held_out_rows(self.config)) * affordable
        each = max(evaluated / 2, evaluated - min(self.data.validation_rows, self.data.test_rows))
        return min(requested, max(MIN_TEST_ROWS, _round_down(each)))

    def seconds_of(self, config: RunConfig) -> float:
        expected = estimate(config, self.data, self.model, self.speed)
        return expected.high_seconds if expected.measured else expected.likely_seconds

    def fits(self, config: RunConfig) -> bool:
        return self.seconds_of(config) <= self.seconds


def _too_short_error(budget: _Budget, minutes: float, fewest: int) -> ConfigError:
    wider = (
        replace(budget, seconds=60.0 * seconds)
        for seconds in range(math.ceil(minutes), MAX_MINUTES)
    )
    enough = next(
        (each.seconds / 60 for each in wider if each.fits(each.with_rows(fewest, 1))), None
    )
    return ConfigError(
        mark(
            "{minutes} cannot hold a run on {rows:,} rows: starting, training and scoring take"
            " longer."
        ),
        mark("Allow at least {enough}, or choose a smaller base model or fewer tokens.")
        if enough
        else mark("Choose a smaller base model or fewer tokens."),
        minutes=_format_minutes(minutes),
        rows=fewest,
        enough=_format_minutes(round(enough or 0)),
    )


def _find_most_rows(budget: _Budget, fewest: int, most: int) -> RunConfig:
    """Find the most rows between ``fewest``, which fit, and ``most`` for one epoch."""
    if budget.fits(all_rows := budget.with_rows(most, 1)):
        return all_rows
    while most - fewest > max(1, fewest // 50):
        middle = (fewest + most) // 2
        fewest, most = (
            (middle, most) if budget.fits(budget.with_rows(middle, 1)) else (fewest, middle)
        )
    rounded = budget.with_rows(_round_down(fewest), 1)
    return rounded if budget.fits(rounded) else budget.with_rows(fewest, 1)


def _find_similar(history: Sequence[Outcome], rows: int) -> list[float]:
    """Return the accuracies of the earlier runs with the most similar number of rows."""
    near = [
        outcome
        for outcome in history
        if outcome.rows and 1 / MAX_ROW_RATIO <= outcome.rows / rows <= MAX_ROW_RATIO
    ]
    near.sort(key=lambda outcome: abs(math.log(outcome.rows / rows)))
    return [outcome.accuracy for outcome in near[:NEAREST]]


def _write_note(
    config: RunConfig, data: DataFacts, expected: Estimate, minutes: float, similar: list[float]
) -> str:
    rows = data.used_rows(config)
    fits = translate(
        "{minutes} allows {epochs} over {rows}"
        if minutes == 1
        else "{minutes} allow {epochs} over {rows}",
        minutes=_format_minutes(minutes),
        epochs=translate_plural("{n:,} epoch", "{n:,} epochs", config.epochs),
        rows=translate(
            "all {rows:,} rows" if rows == data.train_rows else "{rows:,} rows", rows=rows
        ),
    )
    if not expected.measured:
        typical = translate("(on a typical machine; this one has not been measured)")
        fits = f"{fits} {typical}"
    if not similar:
        none = translate("No earlier run on this data to predict accuracy from.")
        return f"{fits}. {none}"
    low, high = (localize(f"{accuracy:.1%}") for accuracy in (min(similar), max(similar)))
    reached = translate(
        "An earlier run with about as many rows reached {low}."
        if len(similar) == 1
        else "{runs} earlier runs with about as many rows reached {low} to {high}.",
        runs=len(similar),
        low=low,
        high=high,
    )
    return f"{fits}. {reached}"


def _format_minutes(minutes: float) -> str:
    return translate("1 minute" if minutes == 1 else "{minutes:g} minutes", minutes=minutes)


def _round_down(number: float) -> int:
    """Round down to two significant digits."""
    digits = 10 ** max(0, int(math.log10(max(1, number))) - 1)
    return int(number // digits * digits)
