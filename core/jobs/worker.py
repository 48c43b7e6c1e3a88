"""The process that executes one attempt of a job: ``python -m core.jobs.worker JOB_ID ATTEMPT``.

It holds the job's lock until it ends, writes progress and metrics to the store, and records how the
attempt ended. ``perform`` is one of the two places where any exception is caught. A training whose
data had to be prepared replaces this process by a new one, with the argument ``restarted``, to free
the memory of the preparation: 60 MB for AG News.
"""

import importlib
import logging
import os
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import replace

from core.errors import LoraLabError, NotEnoughRoom, Stopped, StoreDamaged
from core.jobs import failures
from core.jobs.context import JobContext
from core.jobs.kinds import Kind, find_kind
from core.settings import Settings
from core.storage import files
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from core.training import lean_imports

log = logging.getLogger("worker")

NICE = 10  # pages stay responsive while a training uses every core
RESTARTED = "restarted"


def main(job_id: str, attempt: int, restarted: bool) -> int:
    """Execute the attempt and return the exit code.

    It is 0 if the attempt completed or was stopped, 1 if it failed, and a code of
    ``core.jobs.failures`` if the failure could not be recorded.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    # a grandchild must not keep the job alive
    os.set_inheritable(int(os.environ["LORALAB_LOCK"]), False)
    # not below: a restarted process is at this priority already
    os.setpriority(os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0)))
    settings = Settings()
    lean_imports.install()
    store = Store(settings, create=False)
    if settings.train_module:  # tests replace the disk, the clock and the training
        store = importlib.import_module(settings.train_module).prepare(store)
    job = store.read_job(job_id)
    if job.attempt != attempt or not job.state.is_active:
        log.info("attempt %d of %s is no longer current", attempt, job_id)
        return 0
    store.update(job, pid=os.getpid())  # also if the supervisor was killed before it could
    return perform(store, job, None if restarted else _restart)


def perform(
    store: Store,
    job: Job,
    restart: Callable[[], None] | None = None,
    new_context: Callable[[Store, Job], JobContext] = JobContext,
) -> int:
    """Execute the job in this process, which holds its lock; return the exit code.

    ``restart`` is called after the data of a training had to be prepared. ``new_context`` makes the
    worker's access to its job.
    """
    failure = None
    with new_context(store, job) as context:
        try:
            failure = _execute(context, restart)
            if failure:
                context.end(JobState.FAILED, failure.changes)
        except (StoreDamaged, NotEnoughRoom) as error:
            log.error("%s", error)  # the supervisor records the end once the database is writable
            return (failure or failures.make_failure(error, job)).exit_code
    return 1 if failure and store.read_job(job.id).state is not JobState.CANCELLED else 0


def _execute(context: JobContext, restart: Callable[[], None] | None) -> failures.JobFailure | None:
    """Execute the job; return None if it completed or was stopped, else why it failed."""
    try:
        for folder in (context.folder, context.folder / "checkpoints"):
            files.remove_leftovers(folder)  # leftovers of a killed attempt
        kind = _find_kind(context)
        if restart and kind.prepare and pkgutil.resolve_name(kind.prepare)(context):
            restart()
        work = pkgutil.resolve_name(kind.worker)
        if kind.runs_at_once:
            context.set_running()
        work(context)
    except Stopped:
        context.end(JobState.CANCELLED)
    except LoraLabError as error:
        log.error("%s", error)
        return failures.make_failure(error, context.job)
    except Exception as error:
        failure = failures.make_failure(error, context.job)
        log.exception("%s", failure.message)
        return failure
    else:
        context.end(JobState.COMPLETED)
    return None


def _find_kind(context: JobContext) -> Kind:
    kind, stand_in = find_kind(context.job), context.settings.train_module
    if kind.name == JobKind.TRAIN and stand_in:
        return replace(kind, worker=f"{stand_in}:run", prepare="")
    return kind


def _restart() -> None:
    log.info("restarting to free memory")
    lock = int(os.environ["LORALAB_LOCK"])
    os.set_inheritable(lock, True)
    try:
        os.execv(
            sys.executable, [sys.executable, "-m", "core.jobs.worker", *sys.argv[1:], RESTARTED]
        )
    except OSError as error:  # this process can train as well, with more memory
        os.set_inheritable(lock, False)
        log.warning("could not restart: %s", error)


if __name__ == "__main__":
    code = main(sys.argv[1], int(sys.argv[2]), RESTARTED in sys.argv[3:])
    logging.shutdown()
    sys.stdout.flush()
    # everything is recorded; an orderly exit of torch takes seconds on busy cores
    os._exit(code)
