"""Finished runs read for a comparison, and the comparison as JSON values."""

from collections.abc import Sequence

import pandas as pd

from core.config import RunConfig
from core.errors import StateConflict
from core.evaluation.comparison import Pair, Result, compare
from core.evaluation.predictions import Predictions
from core.runs import artifacts
from core.runs.run import read_classes
from core.storage.job import Job
from core.storage.store import Store

FEWEST, MOST = 2, 10


def read_result(store: Store, job: Job) -> Result:
    """What the run predicted on the test split. Raises StateConflict where it has not been scored,
    ArtifactDamaged.
    """
    if not artifacts.predictions_path(store.folder(job), "test").is_file():
        raise StateConflict(
            f"{job.name} has not been scored on test texts.", "Compare runs that have finished."
        )
    classes = read_classes(job)
    predictions = Predictions.of(
        artifacts.read_predictions(store.folder(job), "test"), len(classes)
    )
    return Result(job.id, job.name, job.fingerprint, classes, predictions)


def compare_runs(store: Store, jobs: Sequence[Job]) -> list[Pair]:
    """Each pair of two to ten runs. Raises StateConflict for fewer or more, and what
    ``read_result`` raises.
    """
    different = list({job.id: job for job in jobs}.values())
    if not FEWEST <= len(different) <= MOST:
        raise StateConflict(
            f"{len(different)} different runs were named.", f"Compare {FEWEST} to {MOST} of them."
        )
    return compare([read_result(store, job) for job in different])


def distinct_names(jobs: Sequence[Job]) -> dict[str, str]:
    """Id to name, with the id where a name is given twice."""
    names = [job.name or job.id for job in jobs]
    return {
        job.id: f"{name} ({job.id})" if names.count(name) > 1 else name
        for job, name in zip(jobs, names, strict=True)
    }


def read_accuracies(store: Store, job_ids: Sequence[str]) -> dict[str, list[float]]:
    """Run id to its validation accuracies in order, of those that have some; one look into the
    database for all.
    """
    found: dict[str, list[float]] = {}
    asked = ", ".join("?" for _ in job_ids)
    with store.transaction() as db:
        query = (
            "SELECT job_id, accuracy FROM metrics WHERE accuracy IS NOT NULL AND job_id IN"
            f" ({asked}) ORDER BY id"
        )
        for row in db.execute(query, list(job_ids)):
            found.setdefault(row["job_id"], []).append(row["accuracy"])
    return found


def read_curve(store: Store, job: Job, name: str, config: RunConfig) -> pd.DataFrame:
    """The run's curve with its three axes: run, split, step, rows, seconds, loss, accuracy,
    macro_f1.
    """
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
    """The pair as JSON values: ``difference`` is the accuracy of b minus that of a; null where they
    are not compared.
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
