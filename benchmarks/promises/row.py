"""Result of one row of the table."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

CONFIDENCE = 0.95


class TooLong(Exception):
    """A timeout."""


@dataclass
class Row:
    """Counts of one promise:

    ``injected`` counts the faults that occurred; ``failures`` describe violations.
    """

    promise: str
    tries: int = 0
    injected: int = 0
    failures: list[str] = field(default_factory=list)
    figure: str = ""

    def count(self, complaint: str, injected: int = 1) -> None:
        """Count a try; it failed if there is a complaint."""
        self.tries += 1
        self.injected += injected
        if complaint:
            self.failures.append(complaint)

    @property
    def broken(self) -> bool:
        """Return whether the promise was violated, or never tested."""
        return bool(self.failures) or not self.injected or not self.tries

    @property
    def upper_bound(self) -> float:
        """Return the upper limit of the failure rate at 95 % confidence (one-sided
        Clopper-Pearson).
        """
        return upper_bound(len(self.failures), self.tries)


def upper_bound(failures: int, tries: int) -> float:
    """Return the upper limit of the failure rate at 95 % confidence (one-sided Clopper-Pearson)."""
    if failures >= tries:
        return 1.0
    # Takes a second to import, and zero failures need none of it.
    from scipy.stats import beta  # noqa: PLC0415

    return (
        1 - (1 - CONFIDENCE) ** (1 / tries)
        if failures == 0
        else float(beta.ppf(CONFIDENCE, failures + 1, tries - failures))
    )


@dataclass(frozen=True)
class Size:
    """Extent of the tests.

    ``small`` fits into CI, ``share`` scales the full numbers, ``home`` is an empty folder. ``flip``
    inverts the stopwatch that chooses precision and matrix library at each resume.
    """

    small: bool
    draw: random.Random  # gives all that is random
    home: Path
    share: float = 1.0
    flip: bool = False

    def of(self, small: int, full: int) -> int:
        """Return the number for this size."""
        return small if self.small else math.ceil(full * self.share)


Test = Callable[[Size], Row]


def share(values: list[float], quantile: float) -> float:
    """Return the quantile of ``values``; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] if ordered else 0.0
