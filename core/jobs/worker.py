"""The process that does one attempt of one job: ``python -m core.jobs.worker JOB_ID ATTEMPT``.

It holds the job's lock for life, writes progress and metrics to the store, and records how the
attempt ended. ``perform`` is one of the two places where any exception is caught. A training whose
data had to be prepared then replaces this process by a new one, with the argument ``restarted``:
what reading the data leaves behind, 60 MB of AG News, is not in memory while it trains.
"""

import importlib
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import replace

from core.errors import LoraLabError, NotEnoughRoom, Stopped, StoreDamaged
from core.jobs import failures
from core.jobs.context import JobContext
from core.jobs.kinds import KINDS, kind_of
from core.settings import Settings
from core.storage import files
from core.storage.job import Job, JobState
from core.storage.store import Store

log = logging.getLogger("worker")

NICE = 10  # pages stay quick while a training takes every core
RESTARTED = "restarted"


def main(job_id: str, attempt: int, restarted: bool) -> int:
    """Do the attempt; 0 if it completed or was stopped, 1 if it failed, and a code of
    ``core.jobs.failures`` if not even that could be recorded.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    os.set_inheritable(
        int(os.environ["LORALAB_LOCK"]), False
    )  # a grandchild must not keep the job alive
    os.setpriority(
        os.PRIO_PROCESS, 0, max(NICE, os.getpriority(os.PRIO_PROCESS, 0))
    )  # a restarted process has done it
    settings = Settings()
    store = Store(settings, create=False)
    if settings.train_module:
        store = importlib.import_module(settings.train_module).prepare(store)
    job = store.job(job_id)
    if job.attempt != attempt or not job.state.active:
        log.info("attempt %d of %s is not current any more", attempt, job_id)
        return 0
    if restarted:
        job = replace(
            job, started_at=store.clock()
        )  # what preparing the data took says nothing of other runs' starts
    store.update(job, pid=os.getpid())  # also if the supervisor was killed before it could
    return perform(store, job, None if restarted else _restart)


def perform(store: Store, job: Job, restart: Callable[[], None] | None = None) -> int:
    """Do the job in this process, which holds its lock, and record how it ended. Gives the exit
    code.

    ``restart`` is called when a training's data had to be prepared.
    """
    ending = None
    with JobContext(store, job) as context:
        try:
            ending = _attempt(context, restart)
            if ending:
                context.end(JobState.FAILED, **ending.columns)
        except (
            StoreDamaged,
            NotEnoughRoom,
        ) as error:  # the end could not be written: the supervisor does, once it can
            log.error("%s", error)
            return (ending or failures.explain(error, job)).exit_code
    return 1 if ending and store.job(job.id).state is not JobState.CANCELLED else 0


def _attempt(context: JobContext, restart: Callable[[], None] | None) -> failures.Ending | None:
    """None if the job completed or was stopped, otherwise why it failed."""
    try:
        for folder in (context.folder, context.folder / "checkpoints"):
            files.sweep(folder)  # what an attempt that was killed left behind
        module = _module(context)
        if restart and module == KINDS["train"].worker:
            prepared = importlib.import_module(KINDS["prepare"].worker).prepare_training(context)
            if prepared:
                restart()
        importlib.import_module(module).run(context)
    except Stopped:
        context.end(JobState.CANCELLED)
    except LoraLabError as error:
        log.error("%s", error)
        return failures.explain(error, context.job)
    except Exception as error:
        ending = failures.explain(error, context.job)
        log.exception("%s", ending.message)
        return ending
    else:
        context.end(JobState.COMPLETED)
    return None


def _module(context: JobContext) -> str:
    kind = kind_of(context.job)
    stand_in = context.settings.train_module if kind.name == "train" else ""
    return stand_in or kind.worker


def _restart() -> None:
    log.info("the data are prepared: restarting without the memory that took")
    lock = int(os.environ["LORALAB_LOCK"])
    os.set_inheritable(lock, True)
    try:
        os.execv(
            sys.executable, [sys.executable, "-m", "core.jobs.worker", *sys.argv[1:], RESTARTED]
        )
    except OSError as error:  # this process can train as well, in more memory
        os.set_inheritable(lock, False)
        log.warning("could not restart: %s", error)


if __name__ == "__main__":
    code = main(sys.argv[1], int(sys.argv[2]), RESTARTED in sys.argv[3:])
    logging.shutdown()
    sys.stdout.flush()
    os._exit(
        code
        # all is recorded; taking torch apart would keep the process for seconds where others use
        # the
        # cores
    )
