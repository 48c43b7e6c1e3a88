"""Result of one row of the table."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

CONFIDENCE = 0.95


class TooLong(Exception):
    """Something did not happen in time."""


@dataclass
class Row:
    """Counts of one promise. ``injected`` counts faults that in fact happened; ``failures`` say
    what went wrong.
    """

    promise: str
    tries: int = 0
    injected: int = 0
    failures: list[str] = field(default_factory=list)
    figure: str = ""

    def count(self, complaint: str, injected: int = 1) -> None:
        """One more try; it failed if there is a complaint."""
        self.tries += 1
        self.injected += injected
        if complaint:
            self.failures.append(complaint)

    @property
    def broken(self) -> bool:
        """Whether the promise does not hold, or was never put to the test."""
        return bool(self.failures) or not self.injected or not self.tries

    @property
    def upper_bound(self) -> float:
        """With 95 % confidence no larger share of tries fails (one-sided Clopper-Pearson)."""
        return upper_bound(len(self.failures), self.tries)


def upper_bound(failures: int, tries: int) -> float:
    """The share p at which that few failures or fewer have a probability of 5 %."""
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
    """How much is tried: ``small`` fits into CI, ``share`` is taken of the full numbers. ``home``
    is an empty folder.

    With ``flip`` the stopwatch that chooses precision and matrix library says the opposite at each
    resume.
    """

    small: bool
    draw: random.Random  # gives all that is random
    home: Path
    share: float = 1.0
    flip: bool = False

    def of(self, small: int, full: int) -> int:
        """The number for this size."""
        return small if self.small else math.ceil(full * self.share)


Test = Callable[[Size], Row]


def share(values: list[float], quantile: float) -> float:
    """The value that ``quantile`` of ``values`` do not exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] if ordered else 0.0
