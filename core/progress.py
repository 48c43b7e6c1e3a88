"""Progress of a job: phase, steps done and total. Imports no ML library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from core.translation import mark


class Phase(StrEnum):
    """The current activity of a worker, as shown to users."""

    IMPORTING = mark("importing")
    PREPARING = mark("preparing data")
    LOADING = mark("loading the model")
    TOKENIZING = mark("tokenizing")
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
