"""``job.json``: a job as its folder tells it. From these records a lost database is rebuilt."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import Any, Literal, get_origin, get_type_hints

from core.errors import ArtifactDamaged
from core.storage import files
from core.storage.job import Job, JobState
from core.storage.locks import holding
from core.storage.schema import Metric

RECORD, LOCK = "job.json", ".job.lock"
# whoever holds the lock longer was stopped while writing: a later change or a sweep writes the
# record
PATIENCE_SECONDS = 2.0

Snapshot = tuple[Job, list[Metric]]
WIDER: Mapping[object, object] = {
    float: int | float,
    float | None: int | float | None,
    bool: int,
}  # as JSON and SQLite give them back
OPTIONAL = {field.name: field.default for field in fields(Job) if field.default is not MISSING}


def write_record(folder: Path, read: Callable[[], Snapshot]) -> bool:
    """Write what ``read`` gives; False if somebody else is at it and does not finish. Raises
    OSError.

    It is read under the lock, so that of two writers the later one also has the later state.
    """
    files.make_folder(folder)
    with holding(folder / LOCK, PATIENCE_SECONDS) as held:
        if held:
            for leftover in folder.glob(f".{RECORD}.*.part"):
                files.disk.remove(leftover)
            job, metrics = read()
            files.write_json(
                folder / RECORD, {**asdict(job), "metrics": [asdict(metric) for metric in metrics]}
            )
    return held


def read_record(folder: Path) -> Snapshot:
    """The job that ``folder/job.json`` describes, with its curve. Raises ArtifactDamaged if it
    describes none, or another one.
    """
    record = files.read_json(folder / RECORD)
    try:
        if not isinstance(record, dict):
            raise TypeError(f"a record, not {type(record).__name__}")
        metrics = [Metric(**row) for row in record.pop("metrics", [])]
        job = job_from_row(record)
        check_types(job)
        for metric in metrics:
            check_types(metric)
    except (TypeError, KeyError, ValueError) as error:
        raise ArtifactDamaged(f"job.json in {folder.name} does not describe a run.") from error
    if job.id != folder.name:
        raise ArtifactDamaged(f"job.json in {folder.name} belongs to {job.id}.")
    return job, metrics


def is_current(folder: Path, job: Job) -> bool:
    """Whether the record tells of this version of the job."""
    try:
        recorded, _ = read_record(folder)
    except ArtifactDamaged:
        return False
    return recorded.version == job.version


def job_from_row(row: Mapping[str, object]) -> Job:
    """The job in a row or record. One of an earlier version may lack columns. Raises KeyError,
    ValueError, TypeError.
    """
    values = {
        field.name: row[field.name] if field.name in row else OPTIONAL[field.name]
        for field in fields(Job)
    }
    return Job(**{**values, "state": JobState(str(values["state"]))})  # type: ignore[arg-type]


def check_types(value: Job | Metric) -> None:
    """Raise TypeError if a field has a value of another type, as in a damaged file."""
    for name, hint in get_type_hints(type(value)).items():
        expected: Any = str if get_origin(hint) is Literal else WIDER.get(hint, hint)
        if not isinstance(getattr(value, name), expected):
            raise TypeError(f"{name} is {getattr(value, name)!r}")
