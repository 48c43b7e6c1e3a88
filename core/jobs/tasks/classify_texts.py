"""Requests and results of the jobs that classify texts with a finished run. Free of torch.

Two kinds: ``classify`` for the texts of a file, ``evaluate`` for the test split that scores an
imported run.

<home>/batches/<key>.parquet
    The uploaded texts, and their labels if there are any.
<home>/jobs/<id>/classified.parquet
    The same rows with class, probability, and one probability column per class.

The key is a hash of the content, so an existing file is never stale.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from core.access import Action, require
from core.data.dataset import Dataset
from core.data.files.columns import read_label
from core.data.files.table import Table, clean
from core.data.sources import Source, SourceKind
from core.errors import ArtifactDamaged, DataError, StateConflict
from core.evaluation.predictions import Predictions
from core.evaluation.scores import Scores
from core.jobs.launching import find_latest, launch, read_job_result, read_request
from core.runs import artifacts
from core.runs.requests import read_train_request
from core.runs.run import Run, RunResult, SplitScores, read_result
from core.settings import Settings
from core.storage import files
from core.storage.job import Job, JobState
from core.storage.store import Store

KEPT_BATCHES = 20
AGAIN = "Upload the file again."


class BatchRequest(BaseModel):
    """Classify the stored texts ``key`` of the file ``name`` with ``run``."""

    model_config = ConfigDict(frozen=True)

    run: str
    key: str
    name: str


class ClassifyResult(BaseModel):
    """Fields of ``Classified`` except its table; ``counts`` (C, C) is None without labels.

    ``classes`` are those of the run, and ``seconds`` is the time of the classification.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    counts: list[list[int]] | None
    unknown: dict[str, int]
    blank: int
    classes: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, eq=False)
class Classified:
    """Classified texts of a file.

    Args:
        frame: Text, label if there was one, class, probability, and p(class) of each class; NaN in
            blank rows.
        counts: Rows by true and predicted class (C, C), of the rows whose label is a class; None
            without a label column.
        unknown: Number of rows of each label that is no class.
        blank: Number of rows without text.
    """

    frame: pd.DataFrame
    counts: NDArray[np.int64] | None
    unknown: dict[str, int]
    blank: int

    @property
    def scores(self) -> Scores | None:
        """Scores of the rows whose label is a class of the run; None if there are none."""
        return Scores(self.counts) if self.counts is not None and self.counts.sum() else None


def choose_columns(table: Table, text: str, label: str = "") -> pd.DataFrame:
    """Return the columns text and, with ``label``, label.

    Raises DataError if a column is missing or holds no text.
    """
    table.require(text, *([label] if label else []))
    frame = pd.DataFrame(
        {"text": [clean(cell) if isinstance(cell, str) else "" for cell in table.frame[text]]}
    )
    if label:
        frame["label"] = [read_label(cell) for cell in table.frame[label]]
    if not frame["text"].str.strip().any():
        raise DataError(
            f"The column {text!r} of {table.file.name} holds no text.", "Choose another column."
        )
    return frame


def store_texts(settings: Settings, frame: pd.DataFrame, needed: Collection[str] = ()) -> str:
    """Store the texts for the worker and return their key.

    Of all stored texts that are not ``needed``, the oldest are removed.
    """
    key = hashlib.sha256(json.dumps(frame.to_dict("list")).encode()).hexdigest()[:16]
    path = texts_path(settings, key)
    files.make_folder(path.parent)
    files.write_parquet(path, frame)
    done = [each for each in path.parent.glob("*.parquet") if each.stem not in needed]
    by_age = sorted(done, key=lambda each: each.stat().st_mtime)
    for old in by_age[:-KEPT_BATCHES]:
        old.unlink(missing_ok=True)
    return key


def texts_path(settings: Settings, key: str) -> Path:
    """Return the path of the texts with this key."""
    return settings.home / "batches" / f"{key}.parquet"


def find_batch(store: Store, run: Job, job_id: str) -> Job | None:
    """Return the job of that id, if the visitor launched it for this run; an admin may see any.

    None also for a damaged record.
    """
    batch = next((job for job in store.list_jobs("classify") if job.id == job_id), None)
    try:
        if batch is None or read_request(batch, BatchRequest).run != run.id:
            return None
    except ArtifactDamaged:
        return None
    return batch if store.visitor.is_admin or batch.owner == store.visitor.id else None


def assemble_table(
    frame: pd.DataFrame, probabilities: NDArray[np.float32], classes: Sequence[str]
) -> Classified:
    """Combine the rows of a file with ``probabilities`` (n, C) of its n rows with text."""
    filled = frame["text"].str.strip().astype(bool).to_numpy()
    everywhere = np.full((len(frame), len(classes)), np.nan, dtype=np.float32)
    everywhere[filled] = probabilities
    best = np.where(filled, np.nan_to_num(everywhere).argmax(1), -1)
    answer = frame.assign(
        **{
            "class": [classes[index] if index >= 0 else None for index in best],
            "probability": everywhere.max(1),
        },
        **{f"p({name})": everywhere[:, index] for index, name in enumerate(classes)},
    )
    if "label" not in frame:
        return Classified(answer, None, {}, int((~filled).sum()))
    numbers = {read_label(name).casefold(): index for index, name in enumerate(classes)}
    true = np.array([numbers.get(label.casefold(), -1) for label in frame["label"]])
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    scored = filled & (true >= 0)
    np.add.at(counts, (true[scored], best[scored]), 1)
    unknown = frame["label"][filled & (true < 0)].value_counts()
    return Classified(
        answer,
        counts,
        {str(name): int(rows) for name, rows in unknown.items()},
        int((~filled).sum()),
    )


def write_classified(folder: Path, classified: Classified) -> ClassifyResult:
    """Write the table into the job's folder, and return the rest as the job's result."""
    files.write_parquet(folder / "classified.parquet", classified.frame)
    return ClassifyResult(
        rows=len(classified.frame),
        counts=None if classified.counts is None else classified.counts.tolist(),
        unknown=classified.unknown,
        blank=classified.blank,
    )


def read_classified(folder: Path, job: Job) -> Classified:
    """Read the results of a finished job. Raises ArtifactDamaged."""
    frame = files.read_parquet(folder / "classified.parquet")
    result = read_job_result(job, ClassifyResult)
    if result is None:
        raise ArtifactDamaged("The result of this file is damaged.", AGAIN)
    counts = None if result.counts is None else np.array(result.counts, dtype=np.int64)
    return Classified(frame, counts, result.unknown, result.blank)


class ScoreRequest(BaseModel):
    """Score the run on the test texts of ``source``."""

    model_config = ConfigDict(frozen=True)

    run: str
    source: Source


def launch_scoring(store: Store, run: Job, source: Source) -> Job:
    """Queue the scoring of an imported run, or return the job that is queued or running for it.

    Raises NotAllowed, NotEnoughRoom and StateConflict.
    """
    require(store.visitor, Action.SCORE, run.owner)
    require_imported(run)
    return launch(store, ScoreRequest(run=run.id, source=source), run.name, run=run)


def find_scoring(store: Store, run: Job) -> Job | None:
    """Return the newest job that scores the run."""
    any_source = Source(SourceKind.IMPORTED, "")  # a run has one scoring at a time
    return find_latest(store, ScoreRequest(run=run.id, source=any_source))


def require_imported(run: Job) -> None:
    """Raise StateConflict for a run that was not imported."""
    if run.state is not JobState.COMPLETED or read_result(run).imported is None:
        raise StateConflict(
            f"{run.name} was not imported.", "A run of this machine is scored when it ends."
        )


def map_labels(store: Store, dataset: Dataset, run: Job) -> dict[int, int]:
    """Map the class ids of the dataset to those of the run.

    Raises DataError if the class names differ.
    """
    classes = Run.of(store, run).classes
    if set(dataset.classes) != set(classes):
        message = (
            f"{dataset.name} has the classes {', '.join(dataset.classes)}; {run.name} has"
            f" {', '.join(classes)}."
        )
        raise DataError(message[:600], "Choose data with the same class names.")
    return {index: classes.index(name) for index, name in enumerate(dataset.classes)}


def write_scores(store: Store, run: Job, dataset: Dataset, frame: pd.DataFrame) -> None:
    """Write test predictions and their scores into the finished run.

    Raises JobNotFound if the run has been deleted.
    """
    now = store.read_job(run.id)
    files.write_parquet(artifacts.predictions_path(store.find_folder(now), "test"), frame)
    scores = SplitScores.of(Predictions.of(frame, len(dataset.classes)))
    result = RunResult(test=scores, data=dataset.name).to_dict()
    request = read_train_request(now)
    named = request.model_copy(update={"source": replace(request.source, name=dataset.name)})
    store.replace_scores(
        now, now.merge_result(result), named.model_dump_json(), dataset.fingerprint
    )
