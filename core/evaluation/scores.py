"""Scores of a classifier derived from its confusion matrix, the order of the classes in a matrix
without room for all, and the comparison of a guess.

Shapes: C classes; ``counts[i, j]`` is the number of texts of true class i predicted as class j.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.translation import translate

Z_95 = 1.959964  # 0.975 quantile of the standard normal distribution
ClassOrder = Literal["as in the data", "most errors first", "similar together"]
CLASS_ORDERS: tuple[ClassOrder, ...] = get_args(ClassOrder)


@dataclass(frozen=True, slots=True)
class Proportion:
    """``hits`` of ``n`` texts, with a 95 % interval."""

    hits: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.n:
            raise ValueError(f"{self.hits} of {self.n} is not a proportion")

    @property
    def value(self) -> float:
        """The proportion from 0 to 1; NaN without texts."""
        return self.hits / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson score interval (Wilson 1927), within [0, 1] even for few texts; (0, 1) without
        texts.
        """
        if not self.n:
            return 0.0, 1.0
        z2 = Z_95**2
        center = (self.hits + z2 / 2) / (self.n + z2)
        half = Z_95 / (self.n + z2) * sqrt(self.hits * (self.n - self.hits) / self.n + z2 / 4)
        return max(0.0, center - half), min(1.0, center + half)

    @property
    def half_width(self) -> float:
        """Half the width of the interval."""
        low, high = self.interval
        return (high - low) / 2

    def __str__(self) -> str:
        return f"{self.value * 100:.1f} % ± {self.half_width * 100:.1f}" if self.n else "no texts"


def compute_difference_interval(first: Proportion, second: Proportion) -> tuple[float, float]:
    """Return the 95 % interval of ``second`` minus ``first``, measured on different texts (method
    10 of Newcombe 1998, from the Wilson intervals). Not for proportions without texts.
    """
    (low, high), (other_low, other_high) = first.interval, second.interval
    difference = second.value - first.value
    return (
        difference - sqrt((second.value - other_low) ** 2 + (high - first.value) ** 2),
        difference + sqrt((other_high - second.value) ** 2 + (first.value - low) ** 2),
    )


@dataclass(frozen=True)
class Scores:
    """Scores of a confusion matrix ``counts`` (C, C), as scikit-learn defines them.

    A class that occurs has a precision of 0 if it was never predicted, and a recall of 0 without
    texts. A class that neither a label nor a prediction has is not scored: NaN.
    """

    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.counts.ndim != 2 or self.counts.shape[0] != self.counts.shape[1]:
            raise ValueError(f"a confusion matrix is square, not {self.counts.shape}")

    @classmethod
    def of(cls, true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> "Scores":
        """Count the pairs of class ids, both (n,).

        Raises ValueError if lengths differ or an id is outside [0, classes).
        """
        if true.shape != predicted.shape:
            raise ValueError(f"{true.size} true labels but {predicted.size} predictions")
        for ids in (true, predicted):
            if ids.size and not (ids.min() >= 0 and ids.max() < classes):
                raise ValueError(
                    f"class ids must be in [0, {classes}), but go from {ids.min()} to {ids.max()}"
                )
        cells = true.astype(np.int64) * classes + predicted  # (n,), row-major cell of each text
        return cls(
            np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.int64)
        )

    @cached_property
    def accuracy(self) -> Proportion:
        """Proportion of texts predicted correctly."""
        return Proportion(int(self.counts.trace()), int(self.counts.sum()))

    @cached_property
    def occurs(self) -> NDArray[np.bool_]:
        """Whether a label or a prediction has the class (C,)."""
        occurs: NDArray[np.bool_] = self.counts.sum(axis=0) + self.support > 0
        return occurs

    @cached_property
    def precision(self) -> NDArray[np.float64]:
        """Proportion of the texts predicted as a class that belong to it (C,)."""
        return self._score(self.counts.diagonal(), self.counts.sum(axis=0))

    @cached_property
    def recall(self) -> NDArray[np.float64]:
        """Proportion of the texts of a class predicted as such (C,)."""
        return self._score(self.counts.diagonal(), self.support)

    @cached_property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of precision and recall (C,)."""
        return self._score(2 * self.counts.diagonal(), self.counts.sum(axis=0) + self.support)

    @cached_property
    def support(self) -> NDArray[np.int64]:
        """Number of texts of each true class (C,)."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.int64)

    @property
    def macro_f1(self) -> float:
        """Unweighted mean of F1 over the classes that occur; NaN without texts."""
        return float(self.f1[self.occurs].mean()) if self.macro_f1_classes else float("nan")

    @property
    def macro_f1_classes(self) -> int:
        """Number of classes that occur, over which ``macro_f1`` is the mean."""
        return int(self.occurs.sum())

    @property
    def described_classes(self) -> str:
        """``over 4 classes``, or ``over 3 of 4 classes`` where one does not occur."""
        all_classes = len(self.counts)
        return translate(
            "over {all:,} classes"
            if self.macro_f1_classes == all_classes
            else "over {part:,} of {all:,} classes",
            part=self.macro_f1_classes,
            all=all_classes,
        )

    @property
    def row_shares(self) -> NDArray[np.float64]:
        """Proportion of each true class predicted as each class (C, C); 0 in a row without
        texts.
        """
        return _divide(self.counts, self.support[:, None])

    def tabulate_classes(self, classes: Sequence[str]) -> pd.DataFrame:
        """Tabulate class, precision, recall, f1, support, one row per class; NaN in the scores of
        a class that does not occur.
        """
        return pd.DataFrame(
            {
                "class": list(classes),
                "precision": self.precision,
                "recall": self.recall,
                "f1": self.f1,
                "support": self.support,
            }
        )

    def _score(self, part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
        """Divide (C,) counts; 0 for 0 / 0, and NaN for a class that does not occur."""
        return np.where(self.occurs, _divide(part, whole), np.nan)


def _divide(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def list_errors(counts: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    """List texts, true class and predicted class of each cell with errors, most texts first."""
    errors = [
        (texts, true, predicted)
        for true, row in enumerate(counts)
        for predicted, texts in enumerate(row)
        if texts and true != predicted
    ]
    return sorted(errors, key=lambda error: -error[0])


def compare_guess(guess: float, test: Proportion) -> str:
    """Describe how a guess, from 0 to 1, compares with the test accuracy.

    The guess counts as correct anywhere in the 95 % interval.
    """
    low, high = (100 * edge for edge in test.interval)
    if is_inside(guess, test):
        return translate(
            "You guessed {guess:.1f} %, which is within the 95 % interval, {low:.1f} to"
            " {high:.1f} %: consistent with the test result.",
            guess=100 * guess,
            low=low,
            high=high,
        )
    points = 100 * (guess - test.value)
    return translate(
        "You guessed {guess:.1f} %: {points:.1f} points too high. It is outside the 95 % interval,"
        " {low:.1f} to {high:.1f} %."
        if points > 0
        else "You guessed {guess:.1f} %: {points:.1f} points too low. It is outside the 95 %"
        " interval, {low:.1f} to {high:.1f} %.",
        guess=100 * guess,
        points=abs(points),
        low=low,
        high=high,
    )


def is_inside(guess: float, test: Proportion) -> bool:
    """Return whether ``guess`` is in the 95 % Wilson interval of the test accuracy."""
    low, high = test.interval
    return low <= guess <= high


def count_errors(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the errors (C,) that involve each class, as true or as predicted class."""
    errors = _mask_diagonal(counts)
    total: NDArray[np.int64] = errors.sum(axis=0) + errors.sum(axis=1)
    return total


def choose_confused(counts: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Choose at most ``most`` classes, those with the most errors, in the order of their ids."""
    return np.sort(np.argsort(-count_errors(counts), kind="stable")[:most])


def sort_classes(
    counts: NDArray[np.int64], chosen: NDArray[np.int64], order: ClassOrder
) -> NDArray[np.int64]:
    """Sort the ids of ``chosen`` classes.

    Similar together: the class with the most errors first, then each time the class that is most
    confused with the last one.
    """
    if order == "as in the data" or not len(chosen):
        return np.sort(chosen)
    by_errors = chosen[np.argsort(-count_errors(counts)[chosen], kind="stable")]
    if order == "most errors first":
        return by_errors
    confused = _mask_diagonal(counts) + _mask_diagonal(counts).T  # (C, C)
    rest = by_errors.tolist()
    ordered = [rest.pop(0)]
    while rest:
        # of equally confused classes the one with more errors, because ``rest`` has that order
        ordered.append(rest.pop(int(confused[ordered[-1], rest].argmax())))
    return np.array(ordered, dtype=np.int64)


def _mask_diagonal(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(np.eye(len(counts), dtype=bool), 0, counts)
