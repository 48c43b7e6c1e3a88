"""Runs side by side: which is better, by how much, and whether that is more than chance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.evaluation.class_scores import f1_differences
from core.evaluation.predictions import Predictions
from core.evaluation.significance import LEVEL, Paired, holm


@dataclass(frozen=True, eq=False)
class Result:
    """What a finished run predicted. ``fingerprint`` is its data's, ``classes`` their names."""

    id: str
    name: str
    fingerprint: str
    classes: tuple[str, ...]
    predictions: Predictions


@dataclass(frozen=True, eq=False)
class Pair:
    """``first`` and ``second`` on the texts that both were scored on. ``problem`` says why they
    cannot be compared, and then ``paired`` is None. ``p_value`` is corrected for the number of
    ``pairs`` that were compared together.
    """

    first: Result
    second: Result
    paired: Paired | None
    p_value: float = 1.0
    pairs: int = 1
    problem: str = ""

    def aligned(self) -> tuple[Predictions, Predictions]:
        """Both on the rows that both have, in the order of the row ids."""
        first, second = self.first.predictions, self.second.predictions
        return (
            (first, second)
            if np.array_equal(first.rows, second.rows)
            else (first.only(second.rows), second.only(first.rows))
        )

    @property
    def decided(self) -> bool:
        """Whether the difference is more than chance at the 5 % level."""
        return self.paired is not None and self.p_value < LEVEL

    @cached_property
    def verdict(self) -> str:
        """In a sentence or two, for a reader who knows the names of the runs."""
        if self.paired is None:
            return f"{self.second.name} and {self.first.name} are not compared: {self.problem}"
        low, high = (100 * edge for edge in self.paired.interval)
        points = 100 * self.paired.difference
        better = (
            f"{abs(points):.1f} points {'better' if points > 0 else 'worse'} than"
            if round(points, 1)
            else "as good as"
        )
        corrected = f", corrected for {self.pairs} pairs" if self.pairs > 1 else ""
        found = f"95 % interval {_signed(low)} to {_signed(high)}, p {_p(self.p_value)}{corrected}"
        sentence = (
            f"{self.second.name} is {better} {self.first.name} on {self.paired.n:,} texts ({found};"
            " one seed each)."
        )
        return sentence if self.decided else f"{sentence} {self._undecided()}"

    def _undecided(self) -> str:
        assert self.paired is not None
        needed = self.paired.texts_needed
        if needed is None:
            return "Too close to call."
        if needed <= self.paired.n:
            return "Too close to call once the number of pairs is counted."
        return f"Too close to call: about {_round(needed):,} test texts would be needed to decide."


def compare(results: Sequence[Result]) -> list[Pair]:
    """Each pair, in the order of ``results``; p-values are corrected by Holm's method."""
    return _corrected([_pair(first, second) for first, second in combinations(results, 2)])


def _corrected(pairs: list[Pair]) -> list[Pair]:
    told = [pair for pair in pairs if pair.paired]
    corrected = iter(holm([pair.p_value for pair in told]))
    return [
        replace(pair, p_value=next(corrected), pairs=len(told)) if pair.paired else pair
        for pair in pairs
    ]


def compare_with(results: Sequence[Result], references: Sequence[Result]) -> list[Pair]:
    """Each of ``results`` as ``second`` with each of ``references`` as ``first``; p-values are
    corrected for all of them together.
    """
    return _corrected([_pair(reference, result) for result in results for reference in references])


def told_apart(pair: Pair) -> pd.DataFrame:
    """The texts that one of the two has right and the other wrong: row, text, true, first, second
    (class names), right.
    """
    first, second = pair.aligned()
    names = np.array(pair.first.classes)
    first_right, second_right = _right(first), _right(second)
    frame = pd.DataFrame(
        {
            "row": first.rows,
            "text": first.frame["text"].to_numpy() if "text" in first.frame else "",
            "true": names[first.true],
            "first": names[first.predicted],
            "second": names[second.predicted],
            "right": np.where(first_right, pair.first.name, pair.second.name),
        }
    )
    apart: pd.DataFrame = frame[first_right != second_right]
    return apart.reset_index(drop=True)


def class_differences(pair: Pair) -> pd.DataFrame:
    """F1 of each class in both runs and its change, as ``f1_differences``; for a pair that is
    compared.
    """
    first, second = pair.aligned()
    return f1_differences(first.true, first.predicted, second.predicted, pair.first.classes)


def _pair(first: Result, second: Result) -> Pair:
    if problem := _problem(first, second):
        return Pair(first, second, None, problem=problem)
    mine, theirs = Pair(first, second, None).aligned()
    if not len(mine):
        return Pair(first, second, None, problem="they were scored on different texts.")
    paired = Paired.of(_right(mine), _right(theirs))
    return Pair(first, second, paired, paired.p_value)


def _problem(first: Result, second: Result) -> str:
    if first.classes != second.classes:
        return "they have different classes."
    if first.fingerprint != second.fingerprint:
        return (
            f"their data differ (fingerprints {first.fingerprint[:6]} and"
            f" {second.fingerprint[:6]})."
        )
    return ""


def _right(predictions: Predictions) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = predictions.predicted == predictions.true
    return found


def _signed(points: float) -> str:
    return f"{points:.1f}".replace("-", "−")


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _round(number: int) -> int:
    """To two significant digits, up."""
    size = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // size) * size
