"""Explain failures: cause, message, what to do, and what a retry should change.

A worker that died without recording how its attempt ended is explained by its exit code or signal.
"""

import errno
import json
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import (
    LEARNING_RATE_DIVISOR,
    ArtifactDamaged,
    ConfigError,
    DataError,
    Diverged,
    LoraLabError,
    ModelUnavailable,
    NotEnoughRoom,
    StoreDamaged,
)
from core.jobs.kinds import Slot, find_slot
from core.storage.job import FailureCause, Job, JobChanges, JobState
from core.translation import mark

RESUME = mark("Resume continues from the last checkpoint.")
MIN_RETRY_TOKENS = 128  # fewer would truncate most news items
CAUSES: tuple[tuple[type[LoraLabError], FailureCause], ...] = (
    (Diverged, FailureCause.DIVERGED),
    (DataError, FailureCause.DATA),
    (ModelUnavailable, FailureCause.MODEL),
    (ConfigError, FailureCause.CONFIG),
    (NotEnoughRoom, FailureCause.DISK_FULL),
    (ArtifactDamaged, FailureCause.DAMAGED),
    (StoreDamaged, FailureCause.DATABASE),
)
# of a worker that cannot write to the database
EXIT_CODES = {
    FailureCause.DISK_FULL: errno.ENOSPC,
    FailureCause.OUT_OF_MEMORY: errno.ENOMEM,
    FailureCause.DATABASE: errno.EBUSY,
}
# of torch's allocators on a CPU and on a GPU
NO_MEMORY_WORDS = ("allocate memory", "out of memory")


@dataclass(frozen=True)
class JobFailure:
    """Columns of a job that failed, was interrupted, or was stopped too early to save its work."""

    cause: FailureCause
    message: str
    fix: str
    error_id: str = ""
    proposal_json: str = "{}"

    @property
    def changes(self) -> JobChanges:
        """The columns as changes of the job."""
        return {
            "cause": self.cause,
            "message": self.message,
            "fix": self.fix,
            "error_id": self.error_id,
            "proposal_json": self.proposal_json,
        }

    @property
    def exit_code(self) -> int:
        """Exit code of the worker; it carries the cause if the failure could not be recorded."""
        return EXIT_CODES.get(self.cause, 1)


def make_failure(error: Exception, job: Job) -> JobFailure:
    """Return the failure to record for an error of ``job``.

    An unexpected error gets an id, under which the log has its details.
    """
    if isinstance(error, LoraLabError):
        cause = next((cause for kind, cause in CAUSES if isinstance(error, kind)), FailureCause.BUG)
        return JobFailure(
            cause, error.message, error.fix, proposal_json=_propose_changes(cause, job)
        )
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY_WORDS)
    ):
        return make_out_of_memory_failure(job)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return JobFailure(
            FailureCause.DISK_FULL,
            mark("The disk is full."),
            mark("Free some space, then resume the run."),
        )
    if isinstance(error, OSError) and error.errno == errno.EIO:
        message = (
            mark("The disk failed to read or write {file}.").format(file=error.filename)
            if error.filename
            else mark("The disk failed to read or write.")
        )
        return JobFailure(
            FailureCause.DISK_ERROR,
            message,
            mark("Check the disk, then resume the run from its last checkpoint."),
        )
    if isinstance(error, ModuleNotFoundError):
        return JobFailure(
            FailureCause.CONFIG,
            mark("The Python package {name} is not installed on this server.").format(
                name=error.name
            ),
            mark("Install requirements.txt of LoRA Lab, then retry."),
        )
    error_id = secrets.token_hex(4)
    message = mark("An unexpected error ended the run (error {error}: {kind}).").format(
        error=error_id, kind=type(error).__name__
    )
    return JobFailure(
        FailureCause.BUG, message, mark("See the log for details. Resume retries."), error_id
    )


def make_out_of_memory_failure(
    job: Job, message: str = mark("The machine ran out of memory.")
) -> JobFailure:
    """Return the failure of a job that ran out of memory."""
    proposal = _propose_changes(FailureCause.OUT_OF_MEMORY, job)
    fix = (
        mark("Close other programs and resume, or retry with smaller batches.")
        if proposal != "{}"
        else mark("Close other programs and resume.")
    )
    return JobFailure(FailureCause.OUT_OF_MEMORY, message, fix, proposal_json=proposal)


def find_failure_of_exit_code(code: int, job: Job) -> JobFailure | None:
    """Return the failure for an exit ``code`` of ``EXIT_CODES``; None for any other code.

    A worker exits with such a code if it could not record its failure.
    """
    cause = next((cause for cause, known in EXIT_CODES.items() if known == code), None)
    if cause is FailureCause.OUT_OF_MEMORY:
        return make_out_of_memory_failure(job)
    if cause is FailureCause.DISK_FULL:
        return JobFailure(
            cause,
            mark("The disk is full: even the end of the run could not be written."),
            mark("Free some space, then resume the run."),
        )
    if cause is FailureCause.DATABASE:
        return JobFailure(
            cause,
            mark("The database could not be written to for a minute."),
            RESUME,
        )
    return None


def _propose_changes(cause: FailureCause, job: Job) -> str:
    """Return the fields that a retry should change, as JSON; none if the request is damaged."""
    try:
        config = job.request.get("config")
    except ArtifactDamaged:
        return "{}"
    values: Mapping[str, object] = config if isinstance(config, dict) else {}
    match cause, values.get("learning_rate"):
        case FailureCause.DIVERGED, int() | float() as rate:
            return json.dumps({"learning_rate": float(f"{rate / LEARNING_RATE_DIVISOR:.1g}")})
        case FailureCause.OUT_OF_MEMORY, _:
            return json.dumps(_halve_batch(values.get("batch_size"), values.get("max_tokens")))
    return "{}"


def _halve_batch(rows: object, tokens: object) -> dict[str, int]:
    """Halve the batch size, and a token limit above the usual one."""
    smaller = {"batch_size": rows // 2} if isinstance(rows, int) and rows > 1 else {}
    return smaller | (
        {"max_tokens": max(MIN_RETRY_TOKENS, tokens // 2)}
        if isinstance(tokens, int) and tokens > MIN_RETRY_TOKENS
        else {}
    )


def explain_worker_exit(job: Job, code: int | None, oom_kills: int) -> tuple[JobState, JobFailure]:
    """Return the final state and failure of a worker that died.

    Args:
        job: The job of the worker.
        code: Exit code, a negative signal, or None if another process was the parent.
        oom_kills: Number of out-of-memory kills by the kernel while the worker ran.
    """
    if job.state is JobState.STOPPING and find_slot(job) is Slot.EXCLUSIVE:
        return JobState.CANCELLED, JobFailure(
            FailureCause.NONE,
            mark("Stopped before it was done."),
            mark("Start it again at any time."),
        )
    if job.state is JobState.STOPPING:
        return JobState.CANCELLED, JobFailure(
            FailureCause.NONE, mark("Stopped before it could save its last step."), RESUME
        )
    if oom_kills and code in (None, -signal.SIGKILL):
        killed = mark("The machine ran out of memory, and the kernel killed the worker.")
        inferred = mark("This is inferred from the kernel's count of such kills.")
        return JobState.INTERRUPTED, make_out_of_memory_failure(
            job, f"{killed} {inferred}" if code is None else killed
        )
    if code is None:
        how = mark(
            "The worker has ended without recording why; inferred: it was killed, or the machine"
            " was restarted."
        )
    elif code < 0:
        how = mark("The worker was killed by signal {number:d} ({name}).").format(
            number=-code, name=signal.Signals(-code).name
        )
    else:
        if recorded := find_failure_of_exit_code(code, job):
            return JobState.INTERRUPTED, recorded
        how = mark(
            "The worker ended with code {code:d} for an unknown reason; see its log."
        ).format(code=code)
    return JobState.INTERRUPTED, JobFailure(FailureCause.KILLED, how, RESUME)
