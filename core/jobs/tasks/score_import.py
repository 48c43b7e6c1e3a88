"""Score an imported run on test texts of this machine: what is asked for, and how the scores get
into the finished run. Free of torch.
"""

import json
from dataclasses import replace

import pandas as pd
from pydantic import BaseModel, ConfigDict

from core.access import Action, require
from core.data.dataset import Dataset
from core.data.sources import Source, SourceKind
from core.errors import DataError, StateConflict
from core.evaluation.predictions import Predictions
from core.jobs.launching import find_latest, launch
from core.runs import artifacts
from core.runs.requests import read_train_request
from core.runs.run import Run, SplitScores, read_result
from core.storage import files
from core.storage.job import Job, JobState
from core.storage.store import Store


class ScoreRequest(BaseModel):
    """Score the run on the test texts of ``source``."""

    model_config = ConfigDict(frozen=True)

    run: str
    source: Source


def launch_scoring(store: Store, run: Job, source: Source) -> Job:
    """Queue the scoring of an imported run, or return the one that is under way. Raises NotAllowed,
    NotEnoughRoom, StateConflict.
    """
    require(store.visitor, Action.SCORE, run.owner)
    require_imported(run)
    return launch(store, ScoreRequest(run=run.id, source=source), run.name, run=run)


def find_scoring(store: Store, run: Job) -> Job | None:
    """The newest job that was asked to score the run."""
    any_source = Source(SourceKind.IMPORTED, "")  # a run has one scoring at a time
    return find_latest(store, ScoreRequest(run=run.id, source=any_source))


def require_imported(run: Job) -> None:
    """Raise StateConflict for a run that has its own test scores."""
    if run.state is not JobState.COMPLETED or read_result(run).imported is None:
        raise StateConflict(
            f"{run.name} was not imported.", "A run of this machine is scored when it ends."
        )


def ordered_labels(store: Store, dataset: Dataset, run: Job) -> dict[int, int]:
    """From the dataset's class ids to the run's. Raises DataError where the classes have other
    names.
    """
    classes = Run.of(store, run).classes
    if set(dataset.classes) != set(classes):
        message = (
            f"{dataset.name} has the classes {', '.join(dataset.classes)}; {run.name} tells"
            f" {', '.join(classes)} apart."
        )
        raise DataError(message[:600], "Choose data with the same class names.")
    return {index: classes.index(name) for index, name in enumerate(dataset.classes)}


def keep_scores(store: Store, run: Job, dataset: Dataset, frame: pd.DataFrame) -> None:
    """Put the table of test predictions and its scores into the finished run. Raises JobNotFound if
    it has been deleted.
    """
    now = store.job(run.id)
    files.write_parquet(artifacts.predictions_path(store.folder(now), "test"), frame)
    scores = SplitScores.of(Predictions.of(frame, len(dataset.classes)))
    result = {**now.result, "test": scores.model_dump(), "data": dataset.name}
    request = read_train_request(now)
    named = request.model_copy(update={"source": replace(request.source, name=dataset.name)})
    store.replace_scores(
        now, json.dumps(result, allow_nan=False), named.model_dump_json(), dataset.fingerprint
    )
