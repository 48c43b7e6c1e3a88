"""Compare runs on the same texts: which is better, by how much, and whether that is significant."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.evaluation.class_scores import compare_f1
from core.evaluation.predictions import Predictions
from core.evaluation.significance import LEVEL, Paired, correct_p_values
from core.translation import localize, mark, translate


@dataclass(frozen=True, eq=False)
class Result:
    """Predictions of a finished run, with the fingerprint of its data and its class names."""

    id: str
    name: str
    fingerprint: str
    classes: tuple[str, ...]
    predictions: Predictions


@dataclass(frozen=True, eq=False)
class Pair:
    """Comparison of ``first`` and ``second`` on the texts that both were scored on.

    ``problem`` is the reason if they cannot be compared, a message of this module, and ``paired``
    is None then. ``p_value`` is corrected for the number of ``pairs`` compared together.
    """

    first: Result
    second: Result
    paired: Paired | None
    p_value: float = 1.0
    pairs: int = 1
    problem: str = ""

    def align(self) -> tuple[Predictions, Predictions]:
        """Return both predictions for their common rows, sorted by row id."""
        first, second = self.first.predictions, self.second.predictions
        return (
            (first, second)
            if np.array_equal(first.rows, second.rows)
            else (first.select_rows(second.rows), second.select_rows(first.rows))
        )

    @property
    def decided(self) -> bool:
        """Whether the difference is significant at the 5 % level."""
        return self.paired is not None and self.p_value < LEVEL

    @property
    def verdict(self) -> str:
        """Describe the result in one or two sentences, in the language of the visit."""
        if self.paired is None:
            return translate(
                "{second} and {first} are not compared: {problem}",
                second=self.second.name,
                first=self.first.name,
                problem=translate(
                    self.problem,
                    first=self.first.fingerprint[:6],
                    second=self.second.fingerprint[:6],
                ),
            )
        low, high = (100 * edge for edge in self.paired.interval)
        points = 100 * self.paired.difference
        details = translate(
            "95 % interval {low} to {high}, p {p}",
            low=_format_points(low),
            high=_format_points(high),
            p=localize(_format_p(self.p_value)),
        )
        if self.pairs > 1:
            details += ", " + translate("corrected for {n:,} pairs", n=self.pairs)
        sentence = translate(
            "{second} is as good as {first} on {n:,} texts ({details}; one seed each)."
            if not round(points, 1)
            else "{second} is {points} points better than {first} on {n:,} texts ({details}; one"
            " seed each)."
            if points > 0
            else "{second} is {points} points worse than {first} on {n:,} texts ({details}; one"
            " seed each).",
            second=self.second.name,
            points=_format_points(abs(points)),
            first=self.first.name,
            n=self.paired.n,
            details=details,
        )
        return sentence if self.decided else f"{sentence} {self._undecided()}"

    def _undecided(self) -> str:
        assert self.paired is not None
        needed = self.paired.texts_needed
        if needed is None:
            return translate("Too close to call.")
        if needed <= self.paired.n:
            return translate("Too close to call once the number of pairs is counted.")
        return translate(
            "Too close to call: about {n:,} test texts would be needed to decide.",
            n=_round_up(needed),
        )


def leave_out(result: Result, rows: Collection[int]) -> Result:
    """Return the result without the predictions of ``rows``."""
    return replace(result, predictions=result.predictions.leave_out(rows))


def compare(results: Sequence[Result]) -> list[Pair]:
    """Compare all pairs in the order of ``results``; p-values are Holm-corrected."""
    return _correct_pairs(
        [_compare_pair(first, second) for first, second in combinations(results, 2)]
    )


def _correct_pairs(pairs: list[Pair]) -> list[Pair]:
    comparable = [pair for pair in pairs if pair.paired]
    corrected = iter(correct_p_values([pair.p_value for pair in comparable]))
    return [
        replace(pair, p_value=next(corrected), pairs=len(comparable)) if pair.paired else pair
        for pair in pairs
    ]


def compare_with(results: Sequence[Result], references: Sequence[Result]) -> list[Pair]:
    """Compare each of ``results`` (second) with each of ``references`` (first); p-values are
    corrected for all pairs.
    """
    return _correct_pairs(
        [_compare_pair(reference, result) for result in results for reference in references]
    )


def list_disagreements(pair: Pair) -> pd.DataFrame:
    """List the texts that exactly one of the two runs classifies correctly.

    Columns: row, text, true, first and second (class names), right (name of the run).
    """
    first, second = pair.align()
    names = np.array(pair.first.classes)
    first_correct, second_correct = _is_correct(first), _is_correct(second)
    frame = pd.DataFrame(
        {
            "row": first.rows,
            "text": first.frame["text"].to_numpy() if "text" in first.frame else "",
            "true": names[first.true],
            "first": names[first.predicted],
            "second": names[second.predicted],
            "right": np.where(first_correct, pair.first.name, pair.second.name),
        }
    )
    disagreements: pd.DataFrame = frame[first_correct != second_correct]
    return disagreements.reset_index(drop=True)


def compare_classes(pair: Pair) -> pd.DataFrame:
    """Compare the F1 of each class (see ``compare_f1``) for a pair that can be compared."""
    first, second = pair.align()
    return compare_f1(first.true, first.predicted, second.predicted, pair.first.classes)


def _compare_pair(first: Result, second: Result) -> Pair:
    if problem := _find_problem(first, second):
        return Pair(first, second, None, problem=problem)
    aligned_first, aligned_second = Pair(first, second, None).align()
    if not len(aligned_first):
        return Pair(first, second, None, problem=mark("they were scored on different texts."))
    paired = Paired.of(_is_correct(aligned_first), _is_correct(aligned_second))
    return Pair(first, second, paired, paired.p_value)


def _find_problem(first: Result, second: Result) -> str:
    if first.classes != second.classes:
        return mark("they have different classes.")
    if first.fingerprint != second.fingerprint:
        return mark("their data differ (fingerprints {first} and {second}).")
    return ""


def _is_correct(predictions: Predictions) -> NDArray[np.bool_]:
    correct: NDArray[np.bool_] = predictions.predicted == predictions.true
    return correct


def _format_points(points: float) -> str:
    return localize(f"{points:.1f}").replace("-", "−")


def _format_p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"= {value:.3f}"


def _round_up(number: int) -> int:
    """Round up to two significant digits."""
    size = int(10 ** max(0, len(str(number)) - 2))
    return -(-number // size) * size
