"""The process that does one attempt of one job: ``python -m core.jobs.worker JOB_ID ATTEMPT``.

It holds the job's lock for life, writes progress and metrics to the store, and records how it ended. This ``main`` is one
of the two places where any exception is caught.
"""

import errno
import importlib
import logging
import os
import secrets
import sys

from core.errors import ConfigError, DataError, Diverged, LoraLabError, ModelUnavailable, NotEnoughRoom, Stopped
from core.jobs.context import JobContext
from core.settings import Settings
from core.states import Cause, JobState, Kind
from core.store import Store

log = logging.getLogger("worker")

NICE = 10  # pages stay quick while a training takes every core

MODULES = {Kind.TRAIN: "core.jobs.train", Kind.PREPARE: "core.jobs.prepare"}  # imported late: each brings what only it needs
CAUSES: tuple[tuple[type[LoraLabError], Cause], ...] = (
    (Diverged, Cause.DIVERGED),
    (DataError, Cause.DATA),
    (ModelUnavailable, Cause.MODEL),
    (ConfigError, Cause.CONFIG),
    (NotEnoughRoom, Cause.DISK_FULL),
)


def main(job_id: str, attempt: int) -> int:
    """Do the attempt; 0 if it completed or was stopped, 1 if it failed."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    os.set_inheritable(int(os.environ["LORALAB_LOCK"]), False)  # a grandchild must not keep the job alive
    os.nice(NICE)
    store = Store(Settings())
    job = store.job(job_id)
    if job.attempt != attempt or not job.state.active:
        log.info("attempt %d of %s is no longer wanted", attempt, job_id)
        return 0
    with JobContext(store, job) as context:
        try:
            importlib.import_module(MODULES[Kind(job.kind)]).run(context)
        except Stopped:
            context.end(JobState.CANCELLED)
        except LoraLabError as error:
            log.error("%s", error)
            context.end(JobState.FAILED, cause=_cause(error), message=error.message, fix=error.fix)
        except MemoryError:
            log.exception("out of memory")
            context.end(JobState.FAILED, cause=Cause.OUT_OF_MEMORY, message="The machine ran out of memory.", fix="Halve the batch size.")
        except Exception as error:
            return _record_unexpected(context, error)
        else:
            context.end(JobState.COMPLETED)
    return 0 if store.job(job_id).state in (JobState.COMPLETED, JobState.CANCELLED) else 1


def _record_unexpected(context: JobContext, error: Exception) -> int:
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        log.exception("disk full")
        context.end(JobState.FAILED, cause=Cause.DISK_FULL, message="The disk is full.", fix="Free some space, then resume the run.")
    elif isinstance(error, RuntimeError) and "allocate memory" in str(error):  # torch's allocator on a CPU
        log.exception("out of memory")
        context.end(JobState.FAILED, cause=Cause.OUT_OF_MEMORY, message="The machine ran out of memory.", fix="Halve the batch size.")
    else:
        error_id = secrets.token_hex(4)
        log.exception("error %s", error_id)
        message = f"An unexpected error ended the run (error {error_id}: {type(error).__name__})."
        context.end(JobState.FAILED, cause=Cause.BUG, message=message, fix="The log tells more. Resume tries again.", error_id=error_id)
    return 1


def _cause(error: LoraLabError) -> Cause:
    return next((cause for kind, cause in CAUSES if isinstance(error, kind)), Cause.BUG)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
