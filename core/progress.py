"""Progress of a job: phase, steps done and total. Imports no ML library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """The current activity of a worker, as shown to users."""

    IMPORTING = "importing"
    PREPARING = "preparing data"
    LOADING = "loading the model"
    TOKENIZING = "tokenizing"
    UNTRAINED = "scoring the untrained model"
    TRAINING = "training"
    VALIDATING = "validating"
    EVALUATING = "final evaluation"
    SAVING = "saving"
    MEASURING = "measuring this machine"
    INDEXING = "counting words"
    ENCODING = "encoding texts"
    PROJECTING = "drawing the map"
    CHECKING = "reading the texts"
    COMPARING = "looking for duplicates"
    JUDGING = "judging the labels"
    FITTING = "fitting the baselines"
    CLASSIFYING = "classifying"
    EXPORTING = "writing and verifying the export"
    DOWNLOADING = "downloading"
    PACKING = "packing runs"
    RESTORING = "checking and restoring runs"


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` units of this phase; ``total`` is 0 if unknown."""

    phase: Phase
    done: int = 0
    total: int = 0
