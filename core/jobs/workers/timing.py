"""Take times on a machine that others may be using, and tell what they would be if it were free.

Others lengthen a lap but hardly change the processor time that it takes: with another program on
one of two cores a step of 213 ms took 318 ms, its processor time 391 instead of 361 ms.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
import psutil

from core.settings import cores

UNDISTURBED = 0.75  # quantile of the laps' processors in use
SERIAL = 0.2  # share of a step that one thread does alone; 2 threads then keep 1.67 processors busy
BUSY = 0.15  # from such a share of the machine on, others may have disturbed every lap


@dataclass(frozen=True, slots=True)
class Timing:
    """A timed piece of work; ``cpu_seconds`` are those of all threads of this process together."""

    seconds: float
    cpu_seconds: float


class Stopwatch:
    """Takes laps from when it is made."""

    def __init__(self) -> None:
        self.laps: list[Timing] = []
        self._at = time.perf_counter(), time.process_time()

    def take(self) -> None:
        """End a lap and begin the next."""
        now = time.perf_counter(), time.process_time()
        self.laps.append(Timing(now[0] - self._at[0], now[1] - self._at[1]))
        self._at = now


class OtherLoad:
    """The share of the machine that other programs used since this was made; 0 where cores are
    shared out to control groups.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._used = _used_by_all() - time.process_time()

    @property
    def share(self) -> float:
        """From 0 to 1."""
        if cores() != psutil.cpu_count():
            return 0.0
        used = _used_by_all() - time.process_time() - self._used
        return float(np.clip(used / cores() / (time.perf_counter() - self._began), 0.0, 1.0))


def free_seconds(groups: Sequence[Sequence[Timing]], threads: int, others: float) -> list[float]:
    """The usual seconds of each group's laps as if this process had the machine to itself.

    How many processors work at once is known from the laps that were disturbed least. Where
    ``others`` may have disturbed all of them it is at least what one expects of so many ``threads``
    (Amdahl 1967).
    """
    working = float(
        np.quantile([lap.cpu_seconds / lap.seconds for laps in groups for lap in laps], UNDISTURBED)
    )
    if others > BUSY:
        working = max(working, 1 / (SERIAL + (1 - SERIAL) / threads))
    return [median(lap.cpu_seconds for lap in laps) / working for laps in groups]


def _used_by_all() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)
