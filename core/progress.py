"""Progress of a job: phase, steps done and total, and the seconds of each phase.

Imports no ML library.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from core.translation import mark


class Phase(StrEnum):
    """The current activity of a worker, as shown to users."""

    IMPORTING = mark("importing")
    PREPARING = mark("preparing data")
    LOADING = mark("loading the model")
    TOKENIZING = mark("tokenizing")
    FROZEN = mark("computing the frozen layers")
    UNTRAINED = mark("scoring the untrained model")
    TRAINING = mark("training")
    VALIDATING = mark("validating")
    EVALUATING = mark("final evaluation")
    SAVING = mark("saving")
    MEASURING = mark("measuring this machine")
    INDEXING = mark("counting words")
    ENCODING = mark("encoding texts")
    PROJECTING = mark("drawing the map")
    CHECKING = mark("reading the texts")
    COMPARING = mark("looking for duplicates")
    JUDGING = mark("judging the labels")
    FITTING = mark("fitting the baselines")
    CLASSIFYING = mark("classifying")
    EXPORTING = mark("writing and verifying the export")
    DOWNLOADING = mark("downloading")
    PACKING = mark("packing runs")
    RESTORING = mark("checking and restoring runs")


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` units of this phase; ``total`` is 0 if unknown."""

    phase: Phase
    done: int = 0
    total: int = 0


class PhaseClock:
    """Counts the seconds of each phase; each moment since ``began_at`` belongs to one phase.

    Args:
        clock: Returns the time in seconds.
        phase: The first phase.
        began_at: Time at which it began.
    """

    def __init__(self, clock: Callable[[], float], phase: Phase, began_at: float) -> None:
        self._clock, self._phase, self._began_at = clock, phase, began_at
        self._seconds: dict[Phase, float] = {}

    def switch(self, phase: Phase, at: float | None = None) -> None:
        """End the current phase and begin ``phase``, now or at a given time."""
        now = self._clock() if at is None else at
        elapsed = max(0.0, now - self._began_at)  # the clock may be set back
        self._seconds[self._phase] = self._seconds.get(self._phase, 0.0) + elapsed
        self._phase, self._began_at = phase, now

    @contextmanager
    def within(self, phase: Phase) -> Iterator[None]:
        """Count the seconds inside the context for ``phase``; then the current one continues."""
        outer = self._phase
        self.switch(phase)
        try:
            yield
        finally:
            self.switch(outer)

    def read(self) -> dict[Phase, float]:
        """Return the seconds of each phase so far."""
        self.switch(self._phase)
        return dict(self._seconds)
