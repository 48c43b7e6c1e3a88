"""Requests and results of the jobs that classify texts with a finished run. Free of torch.

Two kinds: ``classify`` for the texts of a file, ``evaluate`` for the test split that scores an
imported run.

<home>/jobs/<id>/classified.parquet
    The columns of the file, then class, probability, one probability column per class, and for
    rows without an answer why there is none.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from core.access import Action, require
from core.config import Precision
from core.data.dataset import Dataset
from core.data.hidden_test import read_hidden_test, read_hidden_texts
from core.data.sources import Source, SourceKind
from core.data.tables.exported_cells import to_csv
from core.errors import ArtifactDamaged, DataError, StateConflict
from core.evaluation.predictions import Predictions
from core.evaluation.scores import Scores
from core.jobs.launching import find_latest, launch, read_job_result, read_request
from core.jobs.tasks.text_batch import (
    AGAIN,
    NO_TEXT,
    Batch,
    list_values,
    read_columns,
    to_plain_frame,
)
from core.runs import artifacts
from core.runs.requests import read_train_request
from core.runs.run import Run, RunResult, SplitScores, read_result
from core.settings import Settings
from core.storage import files
from core.storage.job import Job, JobState
from core.storage.store import LONGEST_NAME, Store
from core.training.events import LabelAgreement
from core.translation import mark

FileSuffix: TypeAlias = Literal[".csv", ".jsonl", ".parquet"]
WRITTEN: tuple[FileSuffix, ...] = get_args(FileSuffix)
LONG_FILE = 1000  # texts from which bf16 saves more seconds than comparing its labels takes
OF_FINAL_TEST = "part of the hidden final test"
CLASS, PROBABILITY, PROBLEM, ORIGINAL = "class", "probability", "problem", "original line"


class BatchRequest(BaseModel):
    """Classify the stored rows ``key`` of the file ``name`` with ``run``.

    ``text`` and ``label`` are names of columns; ``notes`` say how the file was read. The key is
    empty for a file that was classified at once. ``exact``: in fp32, whatever is faster.
    """

    model_config = ConfigDict(frozen=True)

    run: str
    key: str
    name: str
    text: str = "text"
    label: str = "label"
    is_json: bool = False
    notes: tuple[str, ...] = ()
    exact: bool = False


def request_batch(
    run: Job,
    name: str,
    batch: Batch,
    notes: Sequence[str] = (),
    key: str = "",
    exact: bool = False,
) -> BatchRequest:
    """Return the request to classify the rows of the file ``name``."""
    return BatchRequest(
        run=run.id,
        key=key,
        name=name[:LONGEST_NAME],
        text=batch.text,
        label=batch.label,
        is_json=batch.is_json,
        notes=tuple(notes),
        exact=exact,
    )


class ClassifyResult(BaseModel):
    """Fields of ``Classified`` except its table; ``counts`` (C, C) is None without labels.

    ``classes`` are those of the run, and ``seconds`` is the time of the classification.
    Results of earlier versions have no ``columns``.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    counts: list[list[int]] | None
    unknown: dict[str, int]
    blank: int
    classes: tuple[str, ...] = ()
    seconds: float = 0.0
    unreadable: int = 0
    json_columns: int = 0
    columns: dict[str, str] = {}
    precision: Precision = "fp32"
    agreement: LabelAgreement | None = None


@dataclass(frozen=True, eq=False)
class Classified:
    """Classified rows of a file: as many as it has, in its order.

    Args:
        frame: All columns of the file, class, probability, and p(class) of each class; NaN in rows
            without an answer. Then the problem and the original line, if any row has them.
        counts: Rows by true and predicted class (C, C), of the rows whose label is a class; None
            without a label column.
        unknown: Number of rows of each label that is no class.
        blank: Number of rows without text.
        unreadable: Number of rows that could not be read.
        json_columns: Number of columns, the first ones, whose cells are JSON.
        columns: Name in ``frame`` of each new column, which has another one in the file.
        precision: Number format in which the answers were computed.
        agreement: Comparison of labels in bf16 and fp32 on which ``precision`` depends; None if
            there was none.
    """

    frame: pd.DataFrame = field(repr=False)
    counts: NDArray[np.int64] | None
    unknown: dict[str, int]
    blank: int
    unreadable: int = 0
    json_columns: int = 0
    columns: dict[str, str] = field(default_factory=dict)
    precision: Precision = "fp32"
    agreement: LabelAgreement | None = None

    @property
    def precision_note(self) -> str:
        """Sentence on the number format of the answers."""
        if self.agreement is None:
            return mark("All texts were computed in {precision}.").format(precision=self.precision)
        other = "fp32" if self.precision == "bf16" else "bf16"
        return mark(
            "Computed in {precision}: {equal:,} of {texts:,} validation texts of the run have the"
            " same label in {other}."
        ).format(
            precision=self.precision,
            equal=self.agreement.equal,
            texts=self.agreement.texts,
            other=other,
        )

    @property
    def scores(self) -> Scores | None:
        """Scores of the rows whose label is a class of the run; None if there are none."""
        return Scores(self.counts) if self.counts is not None and self.counts.sum() else None

    @property
    def answered(self) -> int:
        """Number of rows with an answer."""
        return len(self.frame) - self.blank - self.unreadable

    @property
    def renamed(self) -> dict[str, str]:
        """New columns whose name the file has already, with the name that they got."""
        return {name: new for name, new in self.columns.items() if name != new}

    @property
    def inputs(self) -> pd.DataFrame:
        """The columns of the file."""
        return self.frame.iloc[:, : len(self.frame.columns) - len(self.columns)]

    @property
    def outputs(self) -> pd.DataFrame:
        """The new columns, with probabilities of seven decimals."""
        outputs = self.frame.iloc[:, len(self.inputs.columns) :].copy()
        for name in outputs:
            if outputs[name].dtype.kind == "f":
                outputs[name] = outputs[name].to_numpy(np.float64, na_value=np.nan).round(7)
        return outputs

    @property
    def plain(self) -> pd.DataFrame:
        """The table with texts instead of JSON and instead of Arrow's types."""
        return pd.concat([to_plain_frame(self.inputs, self.json_columns), self.outputs], axis=1)

    @property
    def answers(self) -> pd.DataFrame:
        """Class and probability of the rows with an answer."""
        names = [self.columns.get(name, name) for name in (CLASS, PROBABILITY)]
        answers = self.frame[names].set_axis([CLASS, PROBABILITY], axis=1)
        return answers.dropna().reset_index(drop=True)


def find_batch(store: Store, run: Job, job_id: str) -> Job | None:
    """Return the job of that id, if the visitor launched it for this run; an admin may see any.

    None also for a damaged record.
    """
    return next((job for job in list_batches(store, run) if job.id == job_id), None)


def list_batches(store: Store, run: Job) -> list[Job]:
    """List the files that the visitor classified with this run, newest first; an admin sees all.

    Damaged records are left out.
    """
    return [
        job
        for job in store.list_jobs("classify")
        if (store.visitor.is_admin or job.owner == store.visitor.id) and _find_run(job) == run.id
    ]


def _find_run(job: Job) -> str:
    try:
        return read_request(job, BatchRequest).run
    except ArtifactDamaged:
        return ""


def leave_out_hidden(settings: Settings, batch: Batch) -> Batch:
    """Leave out the texts that the class must not see scores of; they are given as a problem.

    Otherwise a file with the test split would show its scores before the reveal. Raises
    ArtifactDamaged.
    """
    if not read_hidden_test(settings).is_hiding:
        return batch
    hidden = read_hidden_texts(settings)
    is_hidden = [text in hidden for text in batch.texts]
    return replace(
        batch,
        texts=["" if hide else text for hide, text in zip(is_hidden, batch.texts, strict=True)],
        problems=[
            OF_FINAL_TEST if hide else problem
            for hide, problem in zip(is_hidden, batch.problems, strict=True)
        ],
    )


def assemble_table(
    batch: Batch, probabilities: NDArray[np.float32], classes: Sequence[str]
) -> Classified:
    """Append to the rows of a file ``probabilities`` (n, C) of its n rows with text."""
    filled = np.array([bool(text) for text in batch.texts])
    everywhere = np.full((len(filled), len(classes)), np.nan, dtype=np.float32)
    everywhere[filled] = probabilities
    best = np.where(filled, np.nan_to_num(everywhere).argmax(1), -1)
    names = pd.Series([classes[index] if index >= 0 else None for index in best], dtype="str")
    new = {CLASS: names, PROBABILITY: everywhere.max(1)}
    new |= {f"p({name})": everywhere[:, index] for index, name in enumerate(classes)}
    if not filled.all():
        new[PROBLEM] = pd.Series([text or None for text in batch.problems], dtype="str")
    if any(batch.originals):
        new[ORIGINAL] = pd.Series([text or None for text in batch.originals], dtype="str")
    columns: dict[str, str] = {}
    for name in new:
        columns[name] = _choose_free_name(name, {*batch.frame.columns, *columns.values()})
    added = pd.DataFrame({columns[name]: values for name, values in new.items()})
    blank = batch.problems.count(NO_TEXT)
    counts, unknown = _count_labels(batch, best, classes)
    return Classified(
        pd.concat([batch.frame.reset_index(drop=True), added], axis=1),
        counts,
        unknown,
        blank,
        int((~filled).sum()) - blank,
        len(batch.frame.columns) if batch.is_json else 0,
        columns,
    )


def _choose_free_name(name: str, used: set[str]) -> str:
    number, free = 1, name
    while free in used:
        number += 1
        free = f"{name} ({number})"
    return free


def _count_labels(
    batch: Batch, best: NDArray[np.int64], classes: Sequence[str]
) -> tuple[NDArray[np.int64] | None, dict[str, int]]:
    """Count rows by true and predicted class, and those of other labels; labels are compared as
    they are written.
    """
    if batch.labels is None:
        return None, {}
    numbers = {name: index for index, name in enumerate(classes)}
    true = np.array([numbers.get(label, -1) for label in batch.labels])
    counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
    scored = (best >= 0) & (true >= 0)
    np.add.at(counts, (true[scored], best[scored]), 1)
    unknown = pd.Series(batch.labels, dtype=object)[(best >= 0) & (true < 0)].value_counts()
    return counts, {str(name): int(rows) for name, rows in unknown.items()}


def write_classified(folder: Path, classified: Classified) -> ClassifyResult:
    """Write the table into the job's folder, and return the rest as the job's result."""
    files.write_parquet(folder / "classified.parquet", classified.frame)
    return ClassifyResult(
        rows=len(classified.frame),
        counts=None if classified.counts is None else classified.counts.tolist(),
        unknown=classified.unknown,
        blank=classified.blank,
        unreadable=classified.unreadable,
        json_columns=classified.json_columns,
        columns=classified.columns,
        precision=classified.precision,
        agreement=classified.agreement,
    )


def read_classified(folder: Path, job: Job) -> Classified:
    """Read the results of a finished job. Raises ArtifactDamaged."""
    frame = read_columns(folder / "classified.parquet")
    result = read_job_result(job, ClassifyResult)
    if result is None:
        raise ArtifactDamaged("The result of this file is damaged.", AGAIN)
    counts = None if result.counts is None else np.array(result.counts, dtype=np.int64)
    return Classified(
        frame,
        counts,
        result.unknown,
        result.blank,
        result.unreadable,
        result.json_columns,
        result.columns,
        result.precision,
        result.agreement,
    )


class TextPrediction(TypedDict):
    """A text with its predicted class and the probability of each class."""

    text: str
    label: str
    probabilities: dict[str, float]


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
            "{name} was not imported.",
            "A run of this machine is scored when it ends.",
            name=run.name,
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
    files.write_parquet(artifacts.predictions_path(store.get_folder(now), "test"), frame)
    scores = SplitScores.of(Predictions.of(frame, len(dataset.classes)))
    result = RunResult(test=scores, data=dataset.name).to_dict()
    request = read_train_request(now)
    named = request.model_copy(update={"source": replace(request.source, name=dataset.name)})
    store.replace_scores(
        now, now.merge_result(result), named.model_dump_json(), dataset.fingerprint
    )


def write_answers(classified: Classified, suffix: FileSuffix) -> bytes:
    """Write all rows of a classified file, in the format that ``suffix`` names."""
    if suffix == ".jsonl":
        return "".join(_json_lines(classified)).encode()
    if suffix == ".parquet" and not classified.json_columns:
        return bytes(classified.frame.to_parquet(index=False))
    frame = classified.plain
    return to_csv(frame) if suffix == ".csv" else bytes(frame.to_parquet(index=False))


def _json_lines(classified: Classified) -> Iterator[str]:
    """Yield a line per row; a field that the row of a JSON file lacks stays missing."""
    frames = classified.inputs, classified.outputs
    names = [json.dumps(str(name), ensure_ascii=False) for frame in frames for name in frame]
    columns = [list_values(frame[name]) for frame in frames for name in frame]
    for cells in zip(*columns, strict=True):
        fields = []
        for position, (name, cell) in enumerate(zip(names, cells, strict=True)):
            if position >= classified.json_columns:
                fields.append(f"{name}: {json.dumps(cell, ensure_ascii=False, default=str)}")
            elif cell is not None:
                fields.append(f"{name}: {cell}")
        yield f"{{{', '.join(fields)}}}\n"
