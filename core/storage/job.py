"""A job, its states, the order in which queued jobs start, and ``job.json``, the record from which
a lost database is rebuilt.

Free of pydantic: the supervisor imports it and stays small.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypedDict, get_origin, get_type_hints

from core.access import GUEST_PREFIX
from core.errors import ArtifactDamaged, StateConflict
from core.storage import files
from core.storage.database import Metric
from core.storage.locks import hold_lock
from core.translation import mark

EXAMPLE_OWNER, GALLERY_OWNER = "shipped", "gallery"
BUNDLED_OWNERS = (EXAMPLE_OWNER, GALLERY_OWNER)  # owners of runs that no user trained here


class JobState(StrEnum):
    """State of a job."""

    QUEUED = mark("queued")
    STARTING = mark("starting")
    RUNNING = mark("running")
    STOPPING = mark("stopping")
    COMPLETED = mark("completed")
    CANCELLED = mark("cancelled")
    FAILED = mark("failed")
    INTERRUPTED = mark("interrupted")

    @property
    def is_active(self) -> bool:
        """Whether a worker may be executing the job."""
        return self in ACTIVE

    @property
    def is_finished(self) -> bool:
        """Whether nothing more happens unless a user resumes the job."""
        return self in FINISHED

    @property
    def resumable(self) -> bool:
        """Whether the job can be put back into the queue."""
        return JobState.QUEUED in TRANSITIONS[self]


TRANSITIONS: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.STARTING, JobState.CANCELLED}),
    JobState.STARTING: frozenset(
        {JobState.RUNNING, JobState.STOPPING, JobState.FAILED, JobState.INTERRUPTED}
    ),
    JobState.RUNNING: frozenset(
        {JobState.COMPLETED, JobState.STOPPING, JobState.FAILED, JobState.INTERRUPTED}
    ),
    JobState.STOPPING: frozenset({JobState.CANCELLED, JobState.INTERRUPTED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.INTERRUPTED: frozenset({JobState.QUEUED}),
    JobState.COMPLETED: frozenset(),
}
ACTIVE = frozenset({JobState.STARTING, JobState.RUNNING, JobState.STOPPING})
UNFINISHED = ACTIVE | {JobState.QUEUED}
FINISHED = frozenset(
    {JobState.COMPLETED, JobState.CANCELLED, JobState.FAILED, JobState.INTERRUPTED}
)


class JobKind(StrEnum):
    """Names of kinds that code refers to. A new kind needs no member, only a row in
    ``core.jobs.kinds``.
    """

    TRAIN = "train"
    PREPARE = "prepare"
    CALIBRATE = "calibrate"
    EMBED = "embed"
    QUALITY = "quality"
    BASELINE = "baseline"
    CLASSIFY = "classify"
    EXPORT = "export"
    EVALUATE = "evaluate"
    FETCH = "fetch"
    BACKUP = "backup"
    RESTORE = "restore"
    NEAREST = "nearest"


class FailureCause(StrEnum):
    """Cause of the failure of a job."""

    NONE = ""
    OUT_OF_MEMORY = mark("out of memory")
    DISK_FULL = mark("disk full")
    DISK_ERROR = mark("disk error")
    DIVERGED = mark("diverged")
    DATA = mark("data")
    MODEL = mark("model unavailable")
    CONFIG = mark("configuration")
    DAMAGED = mark("damaged file")
    DATABASE = mark("database")
    KILLED = mark("killed")
    BUG = mark("bug")


class JobChanges(TypedDict, total=False):
    """Columns of a job that change after it has been created; see ``Job``."""

    attempt: int
    request_json: str
    phase: str
    phase_at: float | None
    done: int
    total: int
    pid: int
    started_at: float | None
    ended_at: float | None
    heartbeat_at: float | None
    stop_at: float | None
    fingerprint: str
    cause: str
    message: str
    fix: str
    error_id: str
    result_json: str
    proposal_json: str


@dataclass(frozen=True)
class Job:
    """One row of the jobs table. Times are in seconds since 1970.

    ``phase`` began at ``phase_at``; ``done`` of ``total`` counts the units of the phase.
    """

    id: str
    kind: str
    name: str
    state: JobState
    attempt: int
    owner: str
    request_json: str
    created_at: float
    phase: str = ""
    done: int = 0
    total: int = 0
    pid: int = 0
    started_at: float | None = None
    ended_at: float | None = None
    heartbeat_at: float | None = None
    stop_at: float | None = None
    fingerprint: str = ""
    cause: str = ""
    message: str = ""
    fix: str = ""
    error_id: str = ""
    result_json: str = "{}"
    proposal_json: str = "{}"
    phase_at: float | None = None
    version: int = field(default=0, compare=False)

    @cached_property
    def request(self) -> dict[str, object]:
        """The request as JSON values. Raises ArtifactDamaged if it cannot be read."""
        return self._parse(self.request_json)

    @cached_property
    def result(self) -> dict[str, object]:
        """The result so far as JSON values; empty at the start. Raises ArtifactDamaged.

        ``Run.result`` and ``core.jobs.launching.read_job_result`` return it with its type.
        """
        return self._parse(self.result_json)

    def merge_result(self, fields: Mapping[str, object]) -> str:
        """Return the stored result with these fields replaced, as JSON. Raises ArtifactDamaged."""
        return json.dumps({**self.result, **fields}, allow_nan=False)

    @cached_property
    def proposal(self) -> dict[str, object]:
        """New values of the configuration fields that a retry should change; empty if none help."""
        return self._parse(self.proposal_json)

    def elapsed_seconds(self, now: float) -> float:
        """Return the seconds from the start of the current attempt to now or its end."""
        return (
            0.0 if self.started_at is None else max(0.0, (self.ended_at or now) - self.started_at)
        )

    def _parse(self, text: str) -> dict[str, object]:
        try:
            value = json.loads(text)
        except ValueError as error:
            raise ArtifactDamaged(
                f"The record of {self.name or self.id} is damaged.", "Delete the run."
            ) from error
        if not isinstance(value, dict):
            raise ArtifactDamaged(
                f"The record of {self.name or self.id} is damaged.", "Delete the run."
            )
        return value


RECORD, LOCK = "job.json", ".job.lock"
# a process that holds the lock longer was stopped while writing: a later change writes the record
LOCK_TIMEOUT_SECONDS = 2.0

Snapshot = tuple[Job, list[Metric]]
# types of values read from JSON or SQLite
WIDER: Mapping[object, object] = {float: int | float, float | None: int | float | None, bool: int}
OPTIONAL = {field.name: field.default for field in fields(Job) if field.default is not MISSING}


def to_record(job: Job, metrics: Sequence[Metric]) -> dict[str, object]:
    """Return the content of ``job.json``."""
    return {**asdict(job), "metrics": [asdict(metric) for metric in metrics]}


def write_record(folder: Path, read: Callable[[], Snapshot]) -> bool:
    """Write what ``read`` returns; False if another process holds the lock. Raises OSError.

    ``read`` is called under the lock, so that the later of two writers has the later state.
    """
    files.make_folder(folder)
    with hold_lock(folder / LOCK, LOCK_TIMEOUT_SECONDS) as held:
        if held:
            for leftover in folder.glob(f".{RECORD}.*.part"):
                files.disk.remove(leftover)
            files.write_json(folder / RECORD, to_record(*read()))
    return held


def read_record(folder: Path) -> Snapshot:
    """Read a job and its curve from ``folder/job.json``.

    Raises ArtifactDamaged if the file describes no job, or that of another folder.
    """
    record = files.read_json(folder / RECORD)
    try:
        if not isinstance(record, dict):
            raise TypeError(f"a record, not {type(record).__name__}")
        metrics = [Metric(**row) for row in record.pop("metrics", [])]
        job = parse_row(record)
        check_types(job)
        for metric in metrics:
            check_types(metric)
    except (TypeError, KeyError, ValueError) as error:
        raise ArtifactDamaged(f"job.json in {folder.name} does not describe a run.") from error
    if job.id != folder.name:
        raise ArtifactDamaged(f"job.json in {folder.name} belongs to {job.id}.")
    return job, metrics


def is_current(folder: Path, job: Job) -> bool:
    """Return whether ``job.json`` has this version of the job."""
    try:
        recorded, _ = read_record(folder)
    except ArtifactDamaged:
        return False
    return recorded.version == job.version


def parse_row(row: Mapping[str, object]) -> Job:
    """Make a job from a row or record; those of earlier versions may lack columns.

    Raises KeyError, ValueError and TypeError.
    """
    values = {
        field.name: row[field.name] if field.name in row else OPTIONAL[field.name]
        for field in fields(Job)
    }
    return Job(**{**values, "state": JobState(str(values["state"]))})  # type: ignore[arg-type]


def check_types(value: Job | Metric) -> None:
    """Raise TypeError if a field has the wrong type, as in a damaged file.

    Without pydantic, which the supervisor does not import.
    """
    for name, hint in get_type_hints(type(value)).items():
        expected: Any = str if get_origin(hint) is Literal else WIDER.get(hint, hint)
        if not isinstance(getattr(value, name), expected):
            raise TypeError(f"{name} is {getattr(value, name)!r}")


def sort_fairly(queued: Iterable[Job], started: Mapping[str, int]) -> list[Job]:
    """Sort queued jobs into the order in which they start.

    The next job is one of the owner with the fewest started jobs, each job before it in the order
    included; among equals, the oldest. All guests together count as one owner.

    Args:
        queued: Jobs that wait.
        started: Number of jobs of each owner that have started so far, ever.
    """
    turns = Counter(started)
    turns[GUEST_PREFIX] = sum(
        runs for owner, runs in started.items() if owner.startswith(GUEST_PREFIX)
    )
    placed = []
    for job in sorted(queued, key=lambda job: job.created_at):
        owner = GUEST_PREFIX if job.owner.startswith(GUEST_PREFIX) else job.owner
        placed.append((turns[owner], job.created_at, job.id, job))
        turns[owner] += 1
    return [job for *_, job in sorted(placed, key=lambda entry: entry[:3])]


def make_active_conflict(active: Job, job: Job) -> StateConflict:
    """Return the error that ``job`` cannot be deleted because ``active`` is being executed."""
    if active.id == job.id:
        return StateConflict(
            "{name} is still {state}.",
            "Stop it first, then delete it.",
            name=job.name,
            state=active.state,
        )
    return StateConflict(
        "{name} uses {used}.",
        "Stop it or wait for its end, then delete.",
        name=active.name,
        used=job.name,
    )
