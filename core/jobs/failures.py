"""Why a job ended other than well: the cause, a plain sentence, what to do, and what a new try
should change.

What to record of a worker that is gone and recorded no end itself.
"""

import errno
import json
import secrets
import signal
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from core.errors import (
    ArtifactDamaged,
    ConfigError,
    DataError,
    Diverged,
    LoraLabError,
    ModelUnavailable,
    NotEnoughRoom,
    StoreDamaged,
)
from core.jobs.kinds import Slot, slot_of
from core.storage.job import FailureCause, Job, JobState

CALMER = 4  # a learning rate that diverged is divided by it
USUAL_TOKENS = 128  # fewer would cut off what most news items say
CAUSES: tuple[tuple[type[LoraLabError], FailureCause], ...] = (
    (Diverged, FailureCause.DIVERGED),
    (DataError, FailureCause.DATA),
    (ModelUnavailable, FailureCause.MODEL),
    (ConfigError, FailureCause.CONFIG),
    (NotEnoughRoom, FailureCause.DISK_FULL),
    (ArtifactDamaged, FailureCause.DAMAGED),
    (StoreDamaged, FailureCause.DATABASE),
)
EXIT_CODES = {
    FailureCause.DISK_FULL: errno.ENOSPC,
    FailureCause.OUT_OF_MEMORY: errno.ENOMEM,
    FailureCause.DATABASE: errno.EBUSY,
}  # of a worker that cannot write to the database
NO_MEMORY_WORDS = (
    "allocate memory",
    "out of memory",
)  # of torch's allocators on a CPU and on a GPU


@dataclass(frozen=True)
class Ending:
    """What a job's row says of a failure."""

    cause: FailureCause
    message: str
    fix: str
    error_id: str = ""
    proposal_json: str = "{}"

    @property
    def columns(self) -> dict[str, object]:
        """The row's columns."""
        return asdict(self)

    @property
    def exit_code(self) -> int:
        """What the worker exits with, so that the supervisor can tell the cause where the worker
        could not write it.
        """
        return EXIT_CODES.get(self.cause, 1)


def explain(error: Exception, job: Job) -> Ending:
    """What to record of an error that ended ``job``. An unexpected one gets an id, under which
    the log has its details.
    """
    if isinstance(error, LoraLabError):
        cause = next((cause for kind, cause in CAUSES if isinstance(error, kind)), FailureCause.BUG)
        return Ending(cause, error.message, error.fix, proposal_json=_proposal(cause, job))
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY_WORDS)
    ):
        return out_of_memory(job)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Ending(
            FailureCause.DISK_FULL, "The disk is full.", "Free some space, then resume the run."
        )
    if isinstance(error, OSError) and error.errno == errno.EIO:
        message = (
            f"The disk failed to read or write{f' {error.filename}' if error.filename else ''}."
        )
        return Ending(
            FailureCause.DISK_ERROR,
            message,
            "Check the disk, then resume the run from its last checkpoint.",
        )
    error_id = secrets.token_hex(4)
    message = f"An unexpected error ended the run (error {error_id}: {type(error).__name__})."
    return Ending(FailureCause.BUG, message, "The log tells more. Resume tries again.", error_id)


def out_of_memory(job: Job, how: str = "The machine ran out of memory.") -> Ending:
    """The ending of a job that needed more memory than there was."""
    proposal = _proposal(FailureCause.OUT_OF_MEMORY, job)
    fix = (
        "Close other programs and resume, or retry with smaller batches."
        if proposal != "{}"
        else "Close other programs and resume."
    )
    return Ending(FailureCause.OUT_OF_MEMORY, how, fix, proposal_json=proposal)


def unrecorded(code: int, job: Job) -> Ending | None:
    """The ending that a worker told by its exit ``code`` because it could not write it; None if the
    code tells none.
    """
    cause = next((cause for cause, known in EXIT_CODES.items() if known == code), None)
    if cause is FailureCause.OUT_OF_MEMORY:
        return out_of_memory(job)
    if cause is FailureCause.DISK_FULL:
        return Ending(
            cause,
            "The disk is full: not even the end of the run could be written.",
            "Free some space, then resume the run.",
        )
    if cause is FailureCause.DATABASE:
        return Ending(
            cause,
            "The database could not be written to for a minute.",
            "Resume goes on from the last checkpoint.",
        )
    return None


def _proposal(cause: FailureCause, job: Job) -> str:
    """Fields that a new try should change, as JSON; none where the request is damaged."""
    try:
        config = job.request.get("config")
    except ArtifactDamaged:
        return "{}"
    values: Mapping[str, object] = config if isinstance(config, dict) else {}
    match cause, values.get("learning_rate"):
        case FailureCause.DIVERGED, int() | float() as rate:
            return json.dumps({"learning_rate": float(f"{rate / CALMER:.1g}")})
        case FailureCause.OUT_OF_MEMORY, _:
            return json.dumps(_smaller(values.get("batch_size"), values.get("max_tokens")))
    return "{}"


def _smaller(rows: object, tokens: object) -> dict[str, int]:
    """Half the batch, and half the tokens where texts are let through at more than the usual
    length.
    """
    smaller = {"batch_size": rows // 2} if isinstance(rows, int) and rows > 1 else {}
    return smaller | (
        {"max_tokens": max(USUAL_TOKENS, tokens // 2)}
        if isinstance(tokens, int) and tokens > USUAL_TOKENS
        else {}
    )


RESUME = "Resume goes on from the last checkpoint."


def explain_death(job: Job, code: int | None, memory_kills: int) -> tuple[JobState, Ending]:
    """State and ending. ``code`` is the exit code, a negative signal, or None where another process
    was its parent.

    ``memory_kills`` counts what the kernel killed for want of memory while it ran.
    """
    if job.state is JobState.STOPPING and slot_of(job) is Slot.EXCLUSIVE:
        return JobState.CANCELLED, Ending(
            FailureCause.NONE, "Stopped before it was done.", "It can be asked for again."
        )
    if job.state is JobState.STOPPING:
        return JobState.CANCELLED, Ending(
            FailureCause.NONE, "Stopped before it could save its last step.", RESUME
        )
    if memory_kills and code in (None, -signal.SIGKILL):
        inferred = (
            " This is inferred from the kernel's count of such kills." if code is None else ""
        )
        return JobState.INTERRUPTED, out_of_memory(
            job, f"The machine ran out of memory, and the kernel killed the worker.{inferred}"
        )
    if code is None:
        how = "The worker is gone; why is inferred: it was killed or the machine was restarted."
    elif code < 0:
        how = f"The worker was killed by signal {-code} ({signal.Signals(-code).name})."
    else:
        told = unrecorded(code, job)
        if told:
            return JobState.INTERRUPTED, told
        how = f"The worker ended with code {code} without saying why; its log may tell."
    return JobState.INTERRUPTED, Ending(FailureCause.KILLED, how, RESUME)
