"""What a job sees of the store while it runs: progress and metrics out, the wish to stop in."""

import json
import logging
import threading
from dataclasses import replace
from types import TracebackType
from typing import Self

from core.schema import Metric
from core.settings import Settings
from core.states import Job, JobState
from core.store import Store
from core.training.events import Phase, Progress

FLUSH_SECONDS = 0.5  # a reader polls every 2 s; each write is a synced transaction
LOOK_SECONDS = 0.5  # how soon a stop is noticed

log = logging.getLogger("worker")


class JobContext:
    """Handed to the job's ``run``. Progress counts as the heartbeat: it says that work goes on, not just that a process lives."""

    def __init__(self, store: Store, job: Job) -> None:
        self.store = store
        self.job = job
        self.folder = store.folder(job)
        self._stop = threading.Event()
        self._left = threading.Event()
        self._pending: list[Metric] = []
        self._progress = Progress(Phase.IMPORTING)
        self._flushed_at = 0.0
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    @property
    def settings(self) -> Settings:
        """The worker's settings."""
        return self.store.settings

    def __enter__(self) -> Self:
        self._watcher.start()
        self.report(self._progress)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._left.set()

    def should_stop(self) -> bool:
        """Whether the user asked for a stop, or this attempt has been replaced."""
        return self._stop.is_set()

    def report(self, progress: Progress) -> None:
        """Tell how far the job is. Written at once when the phase changes, otherwise every half second."""
        changed = progress.phase != self._progress.phase
        self._progress = progress
        if changed:
            log.info("%s", progress.phase)
        if changed or self.store.clock() - self._flushed_at > FLUSH_SECONDS:
            self.flush()

    def add_metric(self, metric: Metric) -> None:
        """Append a point to the curves. The first one and validations are written at once."""
        self._pending.append(metric)
        if metric.step <= 1 or metric.split == "validation":
            self.flush()

    def flush(self) -> None:
        """Write what has gathered."""
        pending, self._pending = self._pending, []
        if pending:
            self.store.add_metrics(self.job, pending)
        now = self.store.clock()
        done = self._progress
        self.store.update(self.job, phase=done.phase, done=done.done, total=done.total, heartbeat_at=now)
        self._flushed_at = now

    def set_running(self) -> None:
        """From here on the job is at its actual work."""
        if self.store.transition(self.job, JobState.RUNNING):
            self.job = replace(self.job, state=JobState.RUNNING)

    def set_result(self, **changes: object) -> None:
        """Merge into the job's result, which survives a later failure."""
        merged = {**self.store.job(self.job.id).result, **changes}
        self.store.update(self.job, result_json=json.dumps(merged, allow_nan=False))

    def end(self, state: JobState, **changes: object) -> None:
        """Record how it ended. A job that finishes or fails while it is being stopped counts as cancelled."""
        self.flush()
        ended = {"ended_at": self.store.clock(), "phase": "", **changes}
        if not self.store.transition(self.job, state, **ended):
            self.store.transition(self.job, JobState.CANCELLED, **ended)
        log.info("%s", self.store.job(self.job.id).state)

    def _watch(self) -> None:
        while not self._left.wait(LOOK_SECONDS):
            job = self.store.job(self.job.id)
            if job.state is JobState.STOPPING or job.attempt != self.job.attempt:
                self._stop.set()
