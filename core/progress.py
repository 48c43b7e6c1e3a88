"""How far a job is: its phase, the step it has reached and a note for the reader. Free of ML
libraries.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """What the worker is doing now."""

    QUEUED = "queued"
    IMPORTING = "importing"
    PREPARING = "preparing data"
    LOADING = "loading the model"
    TOKENISING = "tokenising"
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
    EXPORTING = "writing and proving the export"
    DOWNLOADING = "downloading"
    PACKING = "packing runs"
    RESTORING = "checking and restoring runs"


@dataclass(frozen=True, slots=True)
class Progress:
    """``done`` of ``total`` units of this phase; total 0 when unknown."""

    phase: Phase
    done: int = 0
    total: int = 0
