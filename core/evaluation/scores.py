"""Scores of a classifier, every one derived from its confusion matrix.

Shapes: C classes; ``counts[i, j]`` is the number of texts of true class i that were predicted as
class j.

A guess of the accuracy, made before the run, against what it came to.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Z_95 = 1.959964  # the standard normal's 0.975 quantile: 95 % lie within ± this many standard errors


@dataclass(frozen=True, slots=True)
class Proportion:
    """``hits`` of ``n`` texts, with the 95 % interval that a share of so few texts deserves."""

    hits: int
    n: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.n:
            raise ValueError(f"{self.hits} of {self.n} is no share")

    @property
    def value(self) -> float:
        """The share from 0 to 1; NaN of no texts at all."""
        return self.hits / self.n if self.n else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson score interval (Wilson 1927), within [0, 1] also for few texts and extreme shares;
        (0, 1) of no texts.
        """
        if not self.n:
            return 0.0, 1.0
        z2 = Z_95**2
        centre = (self.hits + z2 / 2) / (self.n + z2)
        half = Z_95 / (self.n + z2) * sqrt(self.hits * (self.n - self.hits) / self.n + z2 / 4)
        return max(0.0, centre - half), min(1.0, centre + half)

    @property
    def half_width(self) -> float:
        """Half the interval's width: what stands behind ±."""
        low, high = self.interval
        return (high - low) / 2

    def __str__(self) -> str:
        return f"{self.value * 100:.1f} % ± {self.half_width * 100:.1f}" if self.n else "no texts"


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says. ``counts`` is (C, C); a class that never occurs scores 0, as in
    scikit-learn.
    """

    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.counts.ndim != 2 or self.counts.shape[0] != self.counts.shape[1]:
            raise ValueError(f"a confusion matrix is square, not {self.counts.shape}")

    @classmethod
    def of(cls, true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> "Scores":
        """Count pairs of (n,) class ids. Raises ValueError where lengths differ or an id is outside
        [0, classes).
        """
        if true.shape != predicted.shape:
            raise ValueError(f"{true.size} true labels but {predicted.size} predictions")
        for ids in (true, predicted):
            if ids.size and not (ids.min() >= 0 and ids.max() < classes):
                raise ValueError(
                    f"class ids must lie in [0, {classes}), but go from {ids.min()} to {ids.max()}"
                )
        cells = true.astype(np.int64) * classes + predicted  # (n,), row-major cell of each text
        return cls(
            np.bincount(cells, minlength=classes**2).reshape(classes, classes).astype(np.int64)
        )

    @cached_property
    def accuracy(self) -> Proportion:
        """Share of texts whose class was found."""
        return Proportion(int(self.counts.trace()), int(self.counts.sum()))

    @cached_property
    def precision(self) -> NDArray[np.float64]:
        """(C,) share of the texts predicted as a class that belong to it."""
        return _share(self.counts.diagonal(), self.counts.sum(axis=0))

    @cached_property
    def recall(self) -> NDArray[np.float64]:
        """(C,) share of the texts of a class that were found."""
        return _share(self.counts.diagonal(), self.support)

    @cached_property
    def f1(self) -> NDArray[np.float64]:
        """(C,) harmonic mean of precision and recall."""
        return _share(2 * self.counts.diagonal(), self.counts.sum(axis=0) + self.support)

    @cached_property
    def support(self) -> NDArray[np.int64]:
        """(C,) number of texts of each true class."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.int64)

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the classes, each counting the same however rare."""
        return float(self.f1.mean())

    @property
    def row_shares(self) -> NDArray[np.float64]:
        """(C, C) share of each true class that went to each predicted one; a row without texts is
        0.
        """
        return _share(self.counts, self.support[:, None])

    def per_class(self, classes: Sequence[str]) -> pd.DataFrame:
        """A row a class: class, precision, recall, f1, support."""
        return pd.DataFrame(
            {
                "class": list(classes),
                "precision": self.precision,
                "recall": self.recall,
                "f1": self.f1,
                "support": self.support,
            }
        )


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros(part.shape), where=whole > 0)


def answer(guess: float, test: Proportion) -> str:
    """``You guessed 85.0 %: 3.8 points too low. …``; both are shares from 0 to 1. The guess is
    right anywhere in the 95 % interval.
    """
    low, high = (100 * edge for edge in test.interval)
    said, interval = (
        f"You guessed {100 * guess:.1f} %",
        f"the 95 % interval, {low:.1f} to {high:.1f} %",
    )
    if is_inside(guess, test):
        return f"{said}, which lies in {interval}: these texts cannot tell it from the truth."
    points = 100 * (guess - test.value)
    return (
        f"{said}: {abs(points):.1f} points too {'high' if points > 0 else 'low'}. It lies outside"
        f" {interval}."
    )


def is_inside(guess: float, test: Proportion) -> bool:
    """Whether the guess lies in the 95 % interval (Wilson) of the test accuracy."""
    low, high = test.interval
    return low <= guess <= high
