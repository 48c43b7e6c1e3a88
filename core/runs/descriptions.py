"""Plain descriptions of runs, as the command line prints them: JSON values only."""

from collections.abc import Sequence
from dataclasses import asdict

from core.errors import ArtifactDamaged
from core.evaluation.calibration import BINS, calibration
from core.evaluation.class_scores import bootstrap_f1, class_intervals
from core.evaluation.predictions import Predictions
from core.runs import artifacts
from core.runs.queue import Turn, find_turn, read_queue
from core.runs.requests import describe_precision, read_train_request
from core.runs.run import read_classes
from core.storage.job import Job, JobState
from core.storage.store import Store

FIGURES = (
    "test",
    "untrained",
    "validation",
    "train_seconds",
    "rows_per_second",
    "peak_memory_mb",
    "expected",
)


def run(store: Store, job: Job, turns: Sequence[Turn] | None = None) -> dict[str, object]:
    """State and, once there are any, scores and timings of a run; ``turns`` is the queue, where it
    has been read.
    """
    described: dict[str, object] = {
        "run": job.id,
        "name": job.name,
        "state": job.state,
        "attempt": job.attempt,
    }
    if job.state is JobState.QUEUED:
        described |= _turn(find_turn(read_queue(store) if turns is None else turns, job))
    if job.phase:
        described |= {"phase": job.phase, "done": job.done, "total": job.total}
    if job.message:
        described |= {"cause": job.cause, "message": job.message, "fix": job.fix}
    try:
        result, proposal = job.result, job.proposal
    except ArtifactDamaged as error:
        return described | {"message": error.message, "fix": error.fix}
    if proposal:
        described["proposal"] = proposal
    described |= {figure: result[figure] for figure in FIGURES if figure in result}
    if job.started_at is not None:
        described["total_seconds"] = round(job.elapsed_seconds(store.clock()), 2)
    return described


def _turn(turn: Turn | None) -> dict[str, object]:
    """Place in the queue and the seconds until it starts, null where nobody can tell; nothing for a
    run that has just begun.
    """
    if turn is None:
        return {}
    wait = (
        {name: round(seconds) for name, seconds in asdict(turn.wait).items()} if turn.wait else None
    )
    return {"queue": {"ahead": turn.ahead, "starts_in_seconds": wait}}


def run_details(store: Store, job: Job) -> dict[str, object]:
    """All of ``run`` and the configuration, the curves, and scores per class with the confusion
    matrix once it is evaluated.
    """
    request = read_train_request(job)
    details = run(store, job) | {
        "config": request.config.model_dump(mode="json"),
        "precision": describe_precision(job, request),
        "products": request.numerics.library if request.numerics else None,
        "preset": request.preset,
        "data": {
            "source": request.source.kind,
            "name": request.source.name,
            "fingerprint": job.fingerprint,
        },
        "recipe": request.recipe.model_dump(mode="json") if request.recipe else None,
        "guess": request.guess,
        "metrics": [asdict(metric) for metric in store.read_metrics(job.id)],
    }
    path = artifacts.predictions_path(store.folder(job), "test")
    if not path.is_file():
        return details
    classes = read_classes(job)
    predictions = Predictions.of(
        artifacts.read_predictions(store.folder(job), "test"), len(classes)
    )
    return details | {"classes": list(classes), **_scores(predictions, classes)}


def _scores(predictions: Predictions, classes: tuple[str, ...]) -> dict[str, object]:
    """What the Evaluate and Calibration pages say of the test texts, with 95 % intervals."""
    scores, f1 = predictions.scores, bootstrap_f1(predictions.scores)
    table = class_intervals(scores, classes, f1).to_dict("records")
    measured = calibration(predictions.probabilities, predictions.true)
    return {
        "accuracy_interval": list(scores.accuracy.interval),
        "macro_f1_interval": list(f1.macro),
        "per_class": [
            {
                "class": line["class"],
                "support": line["support"],
                "precision": precision,  # 0 where the class was never predicted
                "recall": recall,
                "f1": line["f1"],
                **{
                    f"{name}_interval": [line[f"{name}_low"], line[f"{name}_high"]]
                    for name in ("precision", "recall", "f1")
                },
            }
            for line, precision, recall in zip(
                table, scores.precision.tolist(), scores.recall.tolist(), strict=True
            )
        ],
        "confusion": scores.counts.tolist(),
        "calibration": {"ece": measured.ece, "bins": BINS, "brier": measured.brier}
        if len(predictions)
        else None,
    }
