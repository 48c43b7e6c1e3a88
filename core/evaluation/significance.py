"""Statistical tests of the difference between two classifiers on the same texts.

Shapes: n texts, of which b are classified correctly only by the first classifier, c only by the
second. The exact tests are implemented here because importing ``scipy.stats`` takes 60 MB of the
server's memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
SEED = 0
LEVEL = 0.05  # significance level; intervals cover 95 %
NORMAL = NormalDist()
POWER = 0.8  # statistical power for ``texts_needed``


@dataclass(frozen=True)
class Paired:
    """Two classifiers on the same n texts. ``only_first`` is b, ``only_second`` is c."""

    only_first: int
    only_second: int
    n: int

    def __post_init__(self) -> None:
        if (
            min(self.only_first, self.only_second) < 0
            or self.only_first + self.only_second > self.n
        ):
            raise ValueError(
                f"{self.only_first} and {self.only_second} of {self.n} texts are inconsistent"
            )

    @classmethod
    def of(cls, first_correct: NDArray[np.bool_], second_correct: NDArray[np.bool_]) -> "Paired":
        """Count b and c from correctness masks, both (n,). Raises ValueError if lengths differ."""
        if first_correct.shape != second_correct.shape:
            raise ValueError(
                f"{first_correct.size} and {second_correct.size} texts cannot be paired"
            )
        return cls(
            int((first_correct & ~second_correct).sum()),
            int((~first_correct & second_correct).sum()),
            first_correct.size,
        )

    @property
    def difference(self) -> float:
        """Accuracy of the second minus that of the first; 0 without texts."""
        return (self.only_second - self.only_first) / self.n if self.n else 0.0

    @cached_property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided (McNemar 1947, binomial form)."""
        return compute_binomial_p_value(self.only_first, self.only_first + self.only_second)

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % percentile interval of the difference from 10,000 paired bootstrap samples with a
        fixed seed.

        A sample is determined by its counts of the three kinds of texts, so the counts are drawn
        directly.
        """
        if not self.n:
            return -1.0, 1.0
        shares = (
            np.array(
                [self.only_first, self.only_second, self.n - self.only_first - self.only_second]
            )
            / self.n
        )
        drawn = np.random.default_rng(SEED).multinomial(self.n, shares, RESAMPLES)  # (10,000, 3)
        low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / self.n, [LEVEL / 2, 1 - LEVEL / 2])
        return float(low), float(high)

    @property
    def texts_needed(self) -> int | None:
        """Number of texts to detect this difference with a power of 80 % at the 5 % level, or None
        if there is no difference.

        For McNemar's test (Connor 1987), assuming the proportions of b and c stay the same.
        """
        if self.only_first == self.only_second:
            return None
        discordant, difference = (self.only_first + self.only_second) / self.n, abs(self.difference)
        at_level, at_power = NORMAL.inv_cdf(1 - LEVEL / 2), NORMAL.inv_cdf(POWER)
        numerator = at_level * sqrt(discordant) + at_power * sqrt(discordant - difference**2)
        return ceil((numerator / difference) ** 2)


def correct_p_values(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for multiple tests, in the same order (Holm 1979)."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


# relative tolerance for outcomes as probable as the observed one, as in R
TIE = 1e-7


def compute_binomial_p_value(successes: int, trials: int) -> float:
    """Return the two-sided p-value of ``successes`` in ``trials`` tosses of a fair coin."""
    rarer = min(successes, trials - successes)
    if 2 * rarer == trials:
        return 1.0
    logs = _log_factorials(trials)
    outcomes = np.arange(rarer + 1)
    return min(
        1.0, 2 * float(np.exp(_log_choose(logs, trials, outcomes) - trials * np.log(2)).sum())
    )


def compute_fisher_p_value(hits: int, n: int, other_hits: int, other_n: int) -> float:
    """Return the p-value of Fisher's exact test of two proportions, two-sided (Fisher 1922)."""
    total = hits + other_hits
    logs = _log_factorials(n + other_n)
    # of ``hits``, given the margins
    outcomes = np.arange(max(0, total - other_n), min(n, total) + 1)
    chances = np.exp(
        _log_choose(logs, n, outcomes)
        + _log_choose(logs, other_n, total - outcomes)
        - _log_choose(logs, n + other_n, np.array(total))  # hypergeometric
    )
    observed = chances[hits - outcomes[0]]
    return min(1.0, float(chances[chances <= observed * (1 + TIE)].sum()))


def _log_factorials(largest: int) -> NDArray[np.float64]:
    """Compute ln 0!, ln 1!, … up to ``largest``."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, largest + 1)))])


def _log_choose(logs: NDArray[np.float64], n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    chosen: NDArray[np.float64] = logs[n] - logs[k] - logs[n - k]
    return chosen
