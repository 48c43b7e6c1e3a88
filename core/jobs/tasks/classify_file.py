"""Files of texts to classify: what is asked for, where texts and answers lie, and how they are read
back. Free of torch.

    <home>/batches/<key>.parquet          text and, where there is one, label of each row, as they were brought
    <home>/jobs/<id>/classified.parquet   the same with class, probability and one column of probability for each class

The key is a hash of the content, so a file that is there is right.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from core.data.files.columns import read_label
from core.data.files.table import Table, clean
from core.errors import ArtifactDamaged, DataError
from core.evaluation.scores import Scores
from core.jobs.launching import read_job_result, read_request
from core.settings import Settings
from core.storage import files
from core.storage.job import Job
from core.storage.store import Store

KEPT_BATCHES = 20
AGAIN = "Give the file again."


class BatchRequest(BaseModel):
    """Classify the kept texts ``key`` of the file called ``name`` with ``run``."""

    model_config = ConfigDict(frozen=True)

    run: str
    key: str
    name: str


class ClassifyResult(BaseModel):
    """What ``Classified`` says next to its table; ``counts`` (C, C) is None without labels."""

    model_config = ConfigDict(frozen=True)

    rows: int
    counts: list[list[int]] | None
    unknown: dict[str, int]
    blank: int


@dataclass(frozen=True, eq=False)
class Classified:
    """``frame`` has text, label where there was one, class, probability, and p(class) of each
    class; blank rows have none.

    ``counts`` (C, C) of the rows whose label is a class, true first; None without a label column.
    ``unknown`` other labels by rows.
    """

    frame: pd.DataFrame
    counts: NDArray[np.int64] | None
    unknown: dict[str, int]
    blank: int

    @property
    def scores(self) -> Scores | None:
        """Of the rows whose label is a class of the run."""
        return Scores(self.counts) if self.counts is not None and self.counts.sum() else None


def choose_columns(table: Table, text: str, label: str = "") -> pd.DataFrame:
    """Columns text and, with ``label``, label. Raises DataError where there is no such column or no
    text in it.
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


def keep_texts(settings: Settings, frame: pd.DataFrame, needed: Collection[str] = ()) -> str:
    """Keep the texts for the worker and give their key; of all that are kept and not ``needed``,
    those written longest ago go.
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
    """Where the texts of that key lie."""
    return settings.home / "batches" / f"{key}.parquet"


def find_batch(store: Store, run: Job, job_id: str) -> Job | None:
    """The file of that id, if it was given to this run by the visitor; the admin of a server finds
    everyone's. None for a damaged record.
    """
    found = next((job for job in store.jobs("classify") if job.id == job_id), None)
    try:
        if found is None or read_request(found, BatchRequest).run != run.id:
            return None
    except ArtifactDamaged:
        return None
    return found if store.visitor.in_charge or found.owner == store.visitor.id else None


def put_together(
    frame: pd.DataFrame, probabilities: NDArray[np.float32], classes: Sequence[str]
) -> Classified:
    """``probabilities`` (n, C) are those of the rows with text, in their order."""
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
    """Write the table into the job's folder; the rest is the job's result."""
    files.write_parquet(folder / "classified.parquet", classified.frame)
    return ClassifyResult(
        rows=len(classified.frame),
        counts=None if classified.counts is None else classified.counts.tolist(),
        unknown=classified.unknown,
        blank=classified.blank,
    )


def read_classified(folder: Path, job: Job) -> Classified:
    """What the finished job found. Raises ArtifactDamaged."""
    frame = files.read_parquet(folder / "classified.parquet")
    result = read_job_result(job, ClassifyResult)
    if result is None:
        raise ArtifactDamaged("The result of this file is damaged.", AGAIN)
    counts = None if result.counts is None else np.array(result.counts, dtype=np.int64)
    return Classified(frame, counts, result.unknown, result.blank)
