"""Descriptions of runs, for the command line and for exports."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isnan
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from core.config import RunConfig
from core.errors import ArtifactDamaged
from core.evaluation.calibration import BINS, compute_calibration
from core.evaluation.class_scores import UndisputedScores, bootstrap_f1, compute_class_intervals
from core.evaluation.predictions import Predictions
from core.runs.alerts import list_alerts
from core.runs.compared_runs import score_undisputed
from core.runs.diagnosis import describe_diagnosis, diagnose_run
from core.runs.requests import TrainRequest, describe_precision
from core.runs.run import Run, RunResult
from core.runs.waiting_times import Turn, find_turn, read_queue
from core.storage.database import Metric
from core.storage.job import Job, JobState
from core.storage.store import Store

FIGURES = (
    "test",
    "untrained",
    "validation",
    "tfidf",
    "validation_precision",
    "evaluation_precision",
    "agreement",
    "seconds",
    "train_seconds",
    "rows_per_second",
    "peak_memory_mb",
    "expected",
)


def describe_run(store: Store, job: Job, turns: Sequence[Turn] | None = None) -> dict[str, object]:
    """Describe the state of a run and, as far as they are known, its scores and timings.

    ``turns`` is the queue, if the caller has already read it.
    """
    described: dict[str, object] = {
        "run": job.id,
        "name": job.name,
        "state": job.state,
        "attempt": job.attempt,
    }
    if job.state is JobState.QUEUED:
        described |= _describe_turn(find_turn(read_queue(store) if turns is None else turns, job))
    if job.phase:
        described |= {"phase": job.phase, "done": job.done, "total": job.total}
    if job.message:
        described |= {"cause": job.cause, "message": job.message, "fix": job.fix}
    try:
        run = Run.of(store, job)
        result, proposal = run.read_scored_result().to_dict(), job.proposal
    except ArtifactDamaged as error:
        return described | {"message": error.message, "fix": error.fix}
    if alerts := list_alerts(store, job):
        described["alerts"] = [alert.model_dump() for alert in alerts]
    if proposal:
        described["proposal"] = proposal
    described |= {figure: result[figure] for figure in FIGURES if result.get(figure) is not None}
    if note := run.hidden_note:
        described["hidden_note"] = note
    if job.started_at is not None:
        described["total_seconds"] = round(job.elapsed_seconds(store.clock()), 2)
    return described


def _describe_turn(turn: Turn | None) -> dict[str, object]:
    """Describe the runs ahead and the seconds until the start, null if unknown.

    Empty for a run that has just started.
    """
    if turn is None:
        return {}
    wait = (
        {name: round(seconds) for name, seconds in asdict(turn.wait).items()} if turn.wait else None
    )
    return {"queue": {"ahead": turn.ahead, "starts_in_seconds": wait}}


def _drop_nan(value: float) -> float | None:
    return None if isnan(value) else value


Score = Annotated[float | None, BeforeValidator(_drop_nan)]


class ClassScores(BaseModel):
    """Scores of one class on test texts, with 95 % intervals; None for a class that neither a label
    nor a prediction has.
    """

    model_config = ConfigDict(frozen=True, serialize_by_alias=True)

    name: str = Field(alias="class")
    support: int
    precision: Score  # 0 where the class was never predicted
    recall: Score
    f1: Score
    precision_interval: tuple[float, float]
    recall_interval: tuple[float, float]
    f1_interval: tuple[Score, Score]


class CalibrationScores(BaseModel):
    """Expected calibration error over ``bins`` bins, and Brier score."""

    model_config = ConfigDict(frozen=True)

    ece: float
    bins: int
    brier: float


class ScoreDetails(BaseModel):
    """Scores on test texts with 95 % intervals, as the pages Evaluate and Calibration show them.

    ``confusion`` (C, C) has the true classes as rows. ``calibration`` is None without texts.
    """

    model_config = ConfigDict(frozen=True)

    accuracy_interval: tuple[float, float]
    macro_f1_interval: tuple[float, float]
    per_class: tuple[ClassScores, ...]
    confusion: tuple[tuple[int, ...], ...]
    calibration: CalibrationScores | None = None

    @classmethod
    def of(cls, predictions: Predictions, classes: tuple[str, ...]) -> "ScoreDetails":
        """Compute the scores from a table of predictions."""
        scores, f1 = predictions.scores, bootstrap_f1(predictions.scores)
        table = compute_class_intervals(scores, classes, f1).to_dict("records")
        measured = compute_calibration(predictions.probabilities, predictions.true)
        per_class = [
            {
                **{name: line[name] for name in ("class", "support", "f1")},
                "precision": precision,
                "recall": recall,
                **{
                    f"{name}_interval": (line[f"{name}_low"], line[f"{name}_high"])
                    for name in ("precision", "recall", "f1")
                },
            }
            for line, precision, recall in zip(
                table, scores.precision.tolist(), scores.recall.tolist(), strict=True
            )
        ]
        return cls(
            accuracy_interval=scores.accuracy.interval,
            macro_f1_interval=f1.macro,
            per_class=tuple(map(ClassScores.model_validate, per_class)),
            confusion=tuple(map(tuple, scores.counts.tolist())),
            calibration=CalibrationScores(ece=measured.ece, bins=BINS, brier=measured.brier)
            if len(predictions)
            else None,
        )


class ScoresWithoutDisputed(BaseModel):
    """Scores on the test texts whose labels are not disputed; ``disputed`` texts are left out."""

    model_config = ConfigDict(frozen=True)

    disputed: int
    rows: int
    accuracy: Score
    accuracy_interval: tuple[float, float]
    macro_f1: Score
    macro_f1_interval: tuple[float, float]
    macro_f1_classes: int

    @classmethod
    def of(cls, undisputed: UndisputedScores) -> "ScoresWithoutDisputed":
        """Describe the scores."""
        scores = undisputed.scores
        return cls(
            disputed=undisputed.disputed,
            rows=scores.accuracy.n,
            accuracy=scores.accuracy.value,
            accuracy_interval=scores.accuracy.interval,
            macro_f1=scores.macro_f1,
            macro_f1_interval=undisputed.macro_f1_interval,
            macro_f1_classes=scores.macro_f1_classes,
        )


@dataclass(frozen=True)
class RunDetails:
    """Configuration, learning curves and scores of a run, for exports and the command line.

    ``precision`` is described as by ``describe_precision``. ``scores`` is None if the run has not
    been scored on test texts.
    """

    name: str
    request: TrainRequest
    precision: str
    fingerprint: str
    result: RunResult
    metrics: tuple[Metric, ...] = ()
    scores: ScoreDetails | None = None
    hidden_note: str = ""

    @property
    def config(self) -> RunConfig:
        """The configuration."""
        return self.request.config

    @property
    def products(self) -> str | None:
        """Name of the library of the matrix products; None before the run has started."""
        return self.request.numerics.library if self.request.numerics else None

    def to_dict(self) -> dict[str, object]:
        """Return JSON values, without those of ``describe_run``."""
        request, source = self.request, self.request.source
        described: dict[str, object] = {
            "config": request.config.model_dump(mode="json"),
            "precision": self.precision,
            "products": self.products,
            "preset": request.preset,
            "data": {"source": source.kind, "name": source.name, "fingerprint": self.fingerprint},
            "recipe": request.recipe.model_dump(mode="json") if request.recipe else None,
            "guess": request.guess,
            "metrics": [asdict(metric) for metric in self.metrics],
        }
        if self.scores is None:
            return described
        classes = list(self.result.classes or ())
        return described | {"classes": classes, **self.scores.model_dump(mode="json")}


def read_run_details(store: Store, job: Job) -> RunDetails:
    """Read the details of a run. Raises ArtifactDamaged."""
    run = Run.of(store, job)
    scores = ScoreDetails.of(run.read_predictions(), run.classes) if run.has_predictions() else None
    return RunDetails(
        job.name,
        run.request,
        describe_precision(job, run.request),
        run.fingerprint,
        run.read_scored_result(),
        tuple(store.read_metrics(job.id)),
        scores,
        run.hidden_note,
    )


def describe_run_details(store: Store, job: Job) -> dict[str, object]:
    """Describe a run as ``describe_run`` does, with configuration, learning curves and, once it is
    scored on the test split, scores per class and the confusion matrix; with disputed labels also
    the scores without them. A finished run also has its diagnosis.
    """
    details = describe_run(store, job) | read_run_details(store, job).to_dict()
    run = Run.of(store, job)
    if undisputed := score_undisputed(store, run):
        described = ScoresWithoutDisputed.of(undisputed).model_dump(mode="json")
        details["test_without_disputed"] = described
    diagnosis = diagnose_run(store, run)
    if diagnosis is None and (job.state is not JobState.COMPLETED or run.imported):
        return details
    return details | {"diagnosis": describe_diagnosis(diagnosis)}
