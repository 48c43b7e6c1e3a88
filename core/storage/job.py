"""What a job is and which states it may go through."""

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from core.errors import ArtifactDamaged


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    INTERRUPTED = "interrupted"

    @property
    def active(self) -> bool:
        """Whether a worker may be at it."""
        return self in ACTIVE

    @property
    def over(self) -> bool:
        """Whether nothing more happens without a person."""
        return self in OVER

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
OVER = frozenset({JobState.COMPLETED, JobState.CANCELLED, JobState.FAILED, JobState.INTERRUPTED})


class JobKind(StrEnum):
    """What a job does."""

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
    """Why a job ended other than well."""

    NONE = ""
    OUT_OF_MEMORY = "out of memory"
    DISK_FULL = "disk full"
    DISK_ERROR = "disk error"
    DIVERGED = "diverged"
    DATA = "data"
    MODEL = "model unavailable"
    CONFIG = "configuration"
    DAMAGED = "damaged file"
    DATABASE = "database"
    KILLED = "killed"
    BUG = "bug"


@dataclass(frozen=True)
class Job:
    """One row of the jobs table. Times are seconds since 1970; ``phase`` began at ``phase_at``, and
    ``done`` of ``total`` counts its units.
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
        """What was asked for. Raises ArtifactDamaged if it cannot be read."""
        return self._parse(self.request_json)

    @cached_property
    def result(self) -> dict[str, object]:
        """What came out so far; empty before the end. Raises ArtifactDamaged if it cannot be
        read.
        """
        return self._parse(self.result_json)

    @cached_property
    def proposal(self) -> dict[str, object]:
        """Fields of the configuration that a new try should change, to their new values; empty
        where none would help.
        """
        return self._parse(self.proposal_json)

    def elapsed_seconds(self, now: float) -> float:
        """Seconds since the current attempt began, up to its end."""
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
