"""Descriptions of runs as JSON values, for the command line and for exports."""

from collections.abc import Sequence
from dataclasses import asdict

from core.errors import ArtifactDamaged
from core.evaluation.calibration import BINS, compute_calibration
from core.evaluation.class_scores import bootstrap_f1, compute_class_intervals
from core.evaluation.predictions import Predictions
from core.runs.queue import Turn, find_turn, read_queue
from core.runs.requests import describe_precision
from core.runs.run import Run
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
        result, proposal = Run.of(store, job).result.to_dict(), job.proposal
    except ArtifactDamaged as error:
        return described | {"message": error.message, "fix": error.fix}
    if proposal:
        described["proposal"] = proposal
    described |= {figure: result[figure] for figure in FIGURES if figure in result}
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


def describe_run_details(store: Store, job: Job) -> dict[str, object]:
    """Describe a run as ``describe_run`` does, with configuration, learning curves and, once it is
    scored on the test split, scores per class and the confusion matrix.
    """
    run = Run.of(store, job)
    details = describe_run(store, job) | {
        "config": run.config.model_dump(mode="json"),
        "precision": describe_precision(job, run.request),
        "products": run.request.numerics.library if run.request.numerics else None,
        "preset": run.preset,
        "data": {
            "source": run.source.kind,
            "name": run.source.name,
            "fingerprint": run.fingerprint,
        },
        "recipe": run.recipe.model_dump(mode="json") if run.recipe else None,
        "guess": run.request.guess,
        "metrics": [asdict(metric) for metric in store.read_metrics(job.id)],
    }
    if not run.has_predictions():
        return details
    scores = _describe_scores(run.read_predictions(), run.classes)
    return details | {"classes": list(run.classes), **scores}


def _describe_scores(predictions: Predictions, classes: tuple[str, ...]) -> dict[str, object]:
    """Describe the scores on test texts, with 95 % intervals, as the pages Evaluate and Calibration
    show them.
    """
    scores, f1 = predictions.scores, bootstrap_f1(predictions.scores)
    table = compute_class_intervals(scores, classes, f1).to_dict("records")
    measured = compute_calibration(predictions.probabilities, predictions.true)
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
