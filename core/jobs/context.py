"""A worker's access to its job in the store: progress, metrics, results, stop requests."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel

from core.errors import LoraLabError, NotEnoughRoom, Stopped, StoreDamaged
from core.jobs.kinds import find_kind
from core.progress import Phase, PhaseClock, Progress
from core.settings import Settings
from core.storage import files
from core.storage.database import Metric
from core.storage.job import Job, JobChanges, JobState
from core.storage.store import Store

FLUSH_SECONDS = 0.5  # a reader polls every 2 s; each write is a synced transaction
log = logging.getLogger("worker")


class JobContext:
    """Argument of a worker function. Reported progress is the heartbeat of the job.

    The heartbeat therefore shows that the work continues, not only that the process is alive.
    """

    poll_seconds = 0.5  # delay until a stop is noticed
    database_timeout_seconds = (
        60.0  # after this long with a locked or full database the job gives up
    )
    retry_seconds = 1.0

    def __init__(self, store: Store, job: Job) -> None:
        self.store = store
        self.job = job
        self.folder = store.get_folder(job)
        self._scratch = self.folder / ".scratch.part"
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._pending: list[Metric] = []
        self._progress = Progress(Phase.IMPORTING)
        self._phase_at = store.clock()
        self.phases = _start_phase_clock(job, store.clock)
        self._flushed_at = 0.0
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    @property
    def settings(self) -> Settings:
        """The worker's settings."""
        return self.store.settings

    def __enter__(self) -> Self:
        self._watcher.start()
        self._try_flush()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()

    def should_stop(self) -> bool:
        """Return whether the user asked for a stop, or this attempt has been replaced."""
        return self._stop.is_set()

    def require_current(self) -> None:
        """Raise Stopped if this attempt has been replaced.

        Files have no attempt number, so a stale worker must not touch them.
        """
        if self.store.read_job(self.job.id).attempt != self.job.attempt:
            raise Stopped("Another attempt of this run has begun.")

    def report(self, progress: Progress) -> None:
        """Report progress: written at once when the phase changes, otherwise every half second."""
        changed = progress.phase != self._progress.phase
        self._progress = progress
        if changed:
            self._phase_at = self.store.clock()
            self.phases.switch(progress.phase)
            log.info("%s", progress.phase)
        if changed or time.monotonic() - self._flushed_at > FLUSH_SECONDS:
            self._try_flush()

    def add_metric(self, metric: Metric) -> None:
        """Append a point to the curves; the first one and validations are written at once."""
        self._pending.append(metric)
        if metric.step <= 1 or metric.split == "validation":
            self._try_flush()

    def flush(self) -> None:
        """Write pending points and progress, and wait for a locked or full database.

        Raises StoreDamaged or NotEnoughRoom if it does not recover.
        """
        self._write_with_retries(self._flush)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Create a folder for unfinished files, removed when the job ends.

        If the job is killed, the next worker or supervisor removes it.
        """
        self._scratch.mkdir()
        try:
            yield self._scratch
        finally:
            files.disk.remove(self._scratch)

    def set_running(self) -> None:
        """Set the state to RUNNING: the actual work begins."""
        if self.job.state is not JobState.RUNNING and self._write_with_retries(
            lambda: self.store.transition(self.job, JobState.RUNNING)
        ):
            self.job = replace(self.job, state=JobState.RUNNING)

    def update_result(self, result: BaseModel) -> None:
        """Merge the fields that are set into the job's result, which survives a later failure.

        ``result`` is of the class that the kind's row names.
        """
        merged = self.store.read_job(self.job.id).merge_result(
            result.model_dump(mode="json", exclude_unset=True)
        )
        self._write_with_retries(lambda: self.store.update(self.job, result_json=merged))

    def set_request(self, request_json: str) -> None:
        """Replace the job's request, also in ``job.json``, which outlives the database."""
        self._write_with_retries(lambda: self.store.update(self.job, request_json=request_json))
        self.job = replace(self.job, request_json=request_json)
        self.store.write_record_file(self.store.read_job(self.job.id))

    def end(self, state: JobState, changes: JobChanges | None = None) -> None:
        """Record the final state; a job that ends while it is being stopped counts as cancelled."""
        self.flush()
        ended: JobChanges = {**(changes or {}), "ended_at": self.store.clock(), "phase": ""}
        if not self._write_with_retries(lambda: self.store.transition(self.job, state, **ended)):
            self._write_with_retries(
                lambda: self.store.transition(self.job, JobState.CANCELLED, **ended)
            )
        log.info("%s", self.store.read_job(self.job.id).state)

    def _flush(self) -> bool:
        progress = self._progress
        with self.store.together():  # one sync of the disk, for which the training waits
            if self._pending:
                self.store.add_metrics(self.job, self._pending)
            self.store.update(
                self.job,
                phase=progress.phase,
                phase_at=self._phase_at,
                done=progress.done,
                total=progress.total,
                heartbeat_at=self.store.clock(),
            )
        self._pending = []  # only now, so that a failed write is retried
        self._flushed_at = time.monotonic()
        return True

    def _try_flush(self) -> None:
        """Write unless the database is locked or full: training continues, and ``flush`` waits."""
        try:
            self._flush()
        except (StoreDamaged, NotEnoughRoom) as error:
            self._flushed_at = time.monotonic()
            log.warning("%s", error.message)

    def _write_with_retries(self, write: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + self.database_timeout_seconds
        while True:
            try:
                return write()
            except (StoreDamaged, NotEnoughRoom) as error:
                log.warning("%s", error.message)
                if time.monotonic() > deadline:
                    raise
            self._ended.wait(self.retry_seconds)

    def _watch(self) -> None:
        while not self._ended.wait(self.poll_seconds):
            try:
                job = self.store.read_job(self.job.id)
            except LoraLabError as error:  # locked or being rebuilt; the next poll may succeed
                log.warning("%s", error.message)
                continue
            if job.state is not JobState.STOPPING and job.attempt == self.job.attempt:
                continue
            # at the second poll: the work had one poll's time to see the stop and end on its own
            if self._stop.is_set() and not self._polls_stop():
                self.exit_process()
            self._stop.set()

    def _polls_stop(self) -> bool:
        return find_kind(self.job).find_phase(self._progress.phase).polls_stop

    def exit_process(self) -> None:
        """End the process; nothing is lost, because these phases write complete files or none."""
        log.info("stopped while %s", self._progress.phase)
        files.disk.remove(self._scratch)
        self.end(JobState.CANCELLED)
        os._exit(0)


def _start_phase_clock(job: Job, clock: Callable[[], float]) -> PhaseClock:
    """Return a clock that counts from the start of the attempt.

    A worker that replaces one which prepared the data has the phase of that process in its record.
    """
    began_at = clock() if job.started_at is None else job.started_at
    phases = PhaseClock(clock, Phase.IMPORTING, began_at)
    if job.phase == Phase.PREPARING and job.phase_at is not None and job.phase_at >= began_at:
        phases.switch(Phase.PREPARING, job.phase_at)
        phases.switch(Phase.IMPORTING)
    return phases
