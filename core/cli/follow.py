"""Follow a run from the command line: a progress bar on stderr, and what Ctrl-C means."""

import sys
import time

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from core.config import RunConfig
from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.launching import launch
from core.jobs.processes import ensure_supervisor
from core.progress import Progress as JobProgress
from core.runs import descriptions
from core.runs.requests import CalibrateRequest
from core.storage.job import Job, JobState
from core.storage.store import Store

POLL_SECONDS = 0.25
SECOND_PRESS_SECONDS = 2.0


def wait(store: Store, job: Job) -> dict[str, object]:
    """The run's description once it is over, or as it is when the user detaches with Ctrl-C; a
    second press stops it.
    """
    try:
        _follow(store, job)
        return descriptions.describe_run(store, store.job(job.id))
    except KeyboardInterrupt:
        print(
            f"\nDetached; {job.name} goes on. Stop it with: python -m core stop {job.id}",
            file=sys.stderr,
        )
    try:
        time.sleep(SECOND_PRESS_SECONDS)
    except KeyboardInterrupt:
        actions.stop(store, store.job(job.id))
        _follow(store, job)
    return descriptions.describe_run(store, store.job(job.id))


def measure(store: Store, config: RunConfig) -> None:
    """Measure what work costs with this model, and wait for it; where that fails, say so and go on
    without. Ctrl-C stops it.
    """
    try:
        request = CalibrateRequest(model=config.model, precision=config.precision)
        wait_for_work(store, launch(store, request, config.model))
    except LoraLabError as error:
        print(f"{error.message} {error.fix}", file=sys.stderr)


def wait_for_work(store: Store, job: Job) -> Job:
    """The completed job, which is not a run; Ctrl-C stops it. Raises LoraLabError where it did not
    end well.
    """
    try:
        _follow(store, job)
    except KeyboardInterrupt:
        actions.stop(store, store.job(job.id))
        print(f"{job.name} is being stopped.", file=sys.stderr)
        raise
    ended = store.job(job.id)
    if ended.state is not JobState.COMPLETED:
        raise LoraLabError(
            ended.message or f"{job.name} is {ended.state}.", ended.fix or "Run the command again."
        )
    return ended


class PhasePrinter:
    """One line on stderr whenever a phase begins; for commands that are over in seconds."""

    def __init__(self) -> None:
        self._phase = ""

    def __call__(self, progress: JobProgress) -> None:
        """Print the phase if it is a new one."""
        if progress.phase != self._phase:
            self._phase = progress.phase
            print(f"{progress.phase} …", file=sys.stderr)


def _follow(store: Store, job: Job) -> None:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar, phase = bars.add_task("waiting", total=None), ""
        while not (job := store.job(job.id)).state.over:
            ensure_supervisor(store.settings)
            if job.phase != phase:
                phase = job.phase
                bars.reset(
                    bar, total=job.total or None, description=f"{job.name}: {phase or job.state}"
                )
                if not bars.console.is_terminal:
                    print(f"{job.name}: {phase or job.state}", file=sys.stderr)
            bars.update(bar, completed=job.done, total=job.total or None)
            time.sleep(POLL_SECONDS)
