"""Comparison of finished runs, and its description as JSON values."""

from collections.abc import Sequence

import pandas as pd

from core.config import RunConfig
from core.data.disputed_labels import read_disputed
from core.errors import StateConflict
from core.evaluation.class_scores import UndisputedScores
from core.evaluation.comparison import Pair, Result, compare, leave_out
from core.evaluation.predictions import Predictions
from core.runs.run import Run
from core.storage.job import Job
from core.storage.store import Store

FEWEST, MOST = 2, 10


def read_test_result(store: Store, job: Job, name: str = "") -> Result:
    """Read the run's predictions on the test split as one side of a comparison.

    ``name`` replaces the run's own.

    Raises StateConflict if it has not been scored, and ArtifactDamaged.
    """
    run = Run.of(store, job)
    if not run.has_predictions():
        raise StateConflict(
            "{name} has not been scored on test texts.",
            "Compare runs that have finished.",
            name=run.name,
        )
    return make_result(run, run.read_predictions(), name)


def make_result(run: Run, predictions: Predictions, name: str = "") -> Result:
    """Return one side of a comparison; ``name`` replaces the run's own."""
    return Result(run.id, name or run.job.name, run.fingerprint, run.classes, predictions)


def compare_runs(store: Store, jobs: Sequence[Job]) -> list[Pair]:
    """Compare each pair of two to ten runs. Raises StateConflict for fewer or more, and the errors
    of ``read_test_result``.
    """
    different = list({job.id: job for job in jobs}.values())
    if not FEWEST <= len(different) <= MOST:
        raise StateConflict(
            "{runs} different runs were given.",
            "Compare {fewest} to {most} runs.",
            runs=len(different),
            fewest=FEWEST,
            most=MOST,
        )
    names = make_distinct_names(different)
    return compare([read_test_result(store, job, names[job.id]) for job in different])


def compare_undisputed(store: Store, jobs: Sequence[Job]) -> list[Pair]:
    """Compare the pairs of ``compare_runs`` on the texts whose labels are not disputed; empty if no
    scored text is disputed. Raises the errors of ``compare_runs``.
    """
    different = list({job.id: job for job in jobs}.values())
    names = make_distinct_names(different)
    results, any_disputed = [], False
    for job in different:
        result = read_test_result(store, job, names[job.id])
        rows = read_disputed(store, Run.of(store, job).data_fingerprint)
        remaining = leave_out(result, rows)
        any_disputed |= len(remaining.predictions) < len(result.predictions)
        results.append(remaining)
    return compare(results) if any_disputed else []


def list_hidden_notes(store: Store, jobs: Sequence[Job]) -> list[str]:
    """List the different sentences on what the scores of runs leave out. Raises ArtifactDamaged."""
    notes = dict.fromkeys(Run.of(store, job).hidden_note for job in jobs)
    return [note for note in notes if note]


def score_undisputed(store: Store, run: Run) -> UndisputedScores | None:
    """Score a run without the test texts whose labels are disputed; None if none was scored. Raises
    ArtifactDamaged.
    """
    rows = read_disputed(store, run.data_fingerprint)
    if not rows or not run.has_predictions():
        return None
    return UndisputedScores.of(run.read_predictions(), rows)


def make_distinct_names(jobs: Sequence[Job]) -> dict[str, str]:
    """Map run ids to names; the id is appended to a name that two runs have."""
    names = [job.name or job.id for job in jobs]
    return {
        job.id: f"{name} ({job.id})" if names.count(name) > 1 else name
        for job, name in zip(jobs, names, strict=True)
    }


def read_curve(store: Store, job: Job, name: str, config: RunConfig) -> pd.DataFrame:
    """Read the run's learning curve: run, split, step, rows, seconds, loss, accuracy, macro_f1."""
    points = store.read_metrics(job.id)
    start = points[0].at if points else 0.0
    return pd.DataFrame(
        {
            "run": name,
            "split": [point.split for point in points],
            "step": [point.step for point in points],
            "rows": [point.step * config.batch_size for point in points],
            "seconds": [point.at - start for point in points],
            "loss": [point.loss for point in points],
            "accuracy": [point.accuracy for point in points],
            "macro_f1": [point.macro_f1 for point in points],
        }
    )


def describe_pair(pair: Pair) -> dict[str, object]:
    """Describe the pair as JSON values.

    ``difference`` is the accuracy of b minus that of a; null if they are not compared.
    """
    paired = pair.paired
    return {
        "a": pair.first.id,
        "b": pair.second.id,
        "difference": paired.difference if paired else None,
        "interval": list(paired.interval) if paired else None,
        "p_mcnemar": pair.p_value if paired else None,
        "texts": paired.n if paired else 0,
        "decided": pair.decided,
        "verdict": pair.verdict,
    }
