"""Why a job ended other than well: the cause, a plain sentence, what to do, and what a new try should change."""

import errno
import json
import secrets
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
from core.states import Cause, Job

CALMER = 4  # a learning rate that diverged is divided by it
USUAL_TOKENS = 128  # fewer would cut off what most news items say
CAUSES: tuple[tuple[type[LoraLabError], Cause], ...] = (
    (Diverged, Cause.DIVERGED),
    (DataError, Cause.DATA),
    (ModelUnavailable, Cause.MODEL),
    (ConfigError, Cause.CONFIG),
    (NotEnoughRoom, Cause.DISK_FULL),
    (ArtifactDamaged, Cause.DAMAGED),
    (StoreDamaged, Cause.DATABASE),
)
EXIT_CODES = {
    Cause.DISK_FULL: errno.ENOSPC,
    Cause.OUT_OF_MEMORY: errno.ENOMEM,
    Cause.DATABASE: errno.EBUSY,
}  # told by a worker that cannot write
NO_MEMORY_WORDS = ("allocate memory", "out of memory")  # of torch's allocators on a CPU and on a GPU


@dataclass(frozen=True)
class Ending:
    """What a job's row says of a failure."""

    cause: Cause
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
        """What the worker exits with, so that the supervisor can tell the cause where the worker could not write it."""
        return EXIT_CODES.get(self.cause, 1)


def explain(error: Exception, job: Job) -> Ending:
    """What to record of an error that ended ``job``. What nobody foresaw gets an id, under which the log has its details."""
    if isinstance(error, LoraLabError):
        cause = next((cause for kind, cause in CAUSES if isinstance(error, kind)), Cause.BUG)
        return Ending(cause, error.message, error.fix, proposal_json=_proposal(cause, job))
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(words in str(error) for words in NO_MEMORY_WORDS)):
        return out_of_memory(job)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Ending(Cause.DISK_FULL, "The disk is full.", "Free some space, then resume the run.")
    if isinstance(error, OSError) and error.errno == errno.EIO:
        message = f"The disk failed to read or write{f' {error.filename}' if error.filename else ''}."
        return Ending(Cause.DISK_ERROR, message, "Check the disk, then resume the run from its last checkpoint.")
    error_id = secrets.token_hex(4)
    message = f"An unexpected error ended the run (error {error_id}: {type(error).__name__})."
    return Ending(Cause.BUG, message, "The log tells more. Resume tries again.", error_id)


def out_of_memory(job: Job, how: str = "The machine ran out of memory.") -> Ending:
    """The ending of a job that needed more memory than there was."""
    proposal = _proposal(Cause.OUT_OF_MEMORY, job)
    fix = "Close other programs and resume, or retry with smaller batches." if proposal != "{}" else "Close other programs and resume."
    return Ending(Cause.OUT_OF_MEMORY, how, fix, proposal_json=proposal)


def unrecorded(code: int, job: Job) -> Ending | None:
    """The ending that a worker told by its exit ``code`` because it could not write it; None if the code tells none."""
    cause = next((cause for cause, known in EXIT_CODES.items() if known == code), None)
    if cause is Cause.OUT_OF_MEMORY:
        return out_of_memory(job)
    if cause is Cause.DISK_FULL:
        return Ending(cause, "The disk is full: not even the end of the run could be written.", "Free some space, then resume the run.")
    if cause is Cause.DATABASE:
        return Ending(cause, "The database could not be written to for a minute.", "Resume goes on from the last checkpoint.")
    return None


def _proposal(cause: Cause, job: Job) -> str:
    """Fields that a new try should change, as JSON; none where the request is damaged."""
    try:
        config = job.request.get("config")
    except ArtifactDamaged:
        return "{}"
    values: Mapping[str, object] = config if isinstance(config, dict) else {}
    match cause, values.get("learning_rate"):
        case Cause.DIVERGED, int() | float() as rate:
            return json.dumps({"learning_rate": float(f"{rate / CALMER:.1g}")})
        case Cause.OUT_OF_MEMORY, _:
            return json.dumps(_smaller(values.get("batch_size"), values.get("max_tokens")))
    return "{}"


def _smaller(rows: object, tokens: object) -> dict[str, int]:
    """Half the batch, and half the tokens where texts are let through at more than the usual length."""
    smaller = {"batch_size": rows // 2} if isinstance(rows, int) and rows > 1 else {}
    return smaller | ({"max_tokens": max(USUAL_TOKENS, tokens // 2)} if isinstance(tokens, int) and tokens > USUAL_TOKENS else {})
