"""The process that runs the queue: one training at a time, one light job beside it, and a calibration only by itself.

There is one per home folder (a lock). It is started on demand, outlives the web server, and ends when nothing is left to
do. A new one takes over workers that an earlier one left behind: alive is who holds the job's lock.
"""

import logging
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field

from core.jobs.processes import is_locked, start_worker, take_lock
from core.settings import Settings
from core.states import ACTIVE, Cause, Job, JobState, Kind
from core.store import Store

POLL_SECONDS = 0.25
IDLE_SECONDS = 20  # long enough that a second launch finds it still there
TERM_AFTER_SECONDS = 20  # a micro-batch and a checkpoint take a few seconds
KILL_AFTER_SECONDS = 30
LANES = (frozenset({Kind.TRAIN}), frozenset({Kind.PREPARE}))  # one of each at a time; a calibration is timed and has none beside it

log = logging.getLogger("supervisor")


@dataclass
class Supervisor:
    """Starts, watches and ends workers. ``children`` are those it is the parent of; others it only sees by their lock."""

    store: Store
    children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def run(self) -> None:
        """Work until nothing has been queued or active for a while."""
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < IDLE_SECONDS:
            if self.step():
                idle_since = time.monotonic()
            time.sleep(POLL_SECONDS)

    def step(self) -> bool:
        """Look once at every job that is queued or active; True if there was one."""
        active = self.store.jobs(None, *ACTIVE)
        for job in active:
            self._watch(job)
        self._reap({job.id for job in active})
        queued = self.store.jobs(None, JobState.QUEUED)
        self._start_next(active, queued)
        return bool(active or queued or self.children)

    def _start_next(self, active: list[Job], queued: list[Job]) -> None:
        measuring = next((job for job in active if job.kind == Kind.CALIBRATE), None)
        if measuring is not None:
            if any(job.kind == Kind.TRAIN for job in queued):  # a person waits: measuring can be asked for again
                self.store.transition(measuring, JobState.STOPPING, stop_at=self.store.clock())
            return
        for lane in LANES:
            if not any(job.kind in lane for job in active):
                self._start(next((job for job in reversed(queued) if job.kind in lane), None))
        if not active and all(job.kind == Kind.CALIBRATE for job in queued):
            self._start(queued[-1] if queued else None)

    def _start(self, job: Job | None) -> None:
        if job is None or is_locked(self.store.folder(job) / "lock"):  # resumed at once: the last attempt's process is still leaving
            return
        if not self.store.transition(job, JobState.STARTING, started_at=self.store.clock(), heartbeat_at=self.store.clock()):
            return
        try:
            self.children[job.id] = start_worker(self.store.settings, job.id, job.attempt)
        except OSError as error:
            log.exception("%s could not be started", job.id)
            self._end(job, JobState.FAILED, Cause.BUG, f"The worker could not be started ({error}).", "Resume the run.")
            return
        self.store.update(job, pid=self.children[job.id].pid)
        log.info("%s attempt %d started as pid %d", job.id, job.attempt, self.children[job.id].pid)

    def _reap(self, active: set[str]) -> None:
        """Let go of workers that recorded their own end, so that none stays behind as a zombie."""
        for job_id in [job_id for job_id, child in self.children.items() if job_id not in active and child.poll() is not None]:
            del self.children[job_id]

    def _watch(self, job: Job) -> None:
        child = self.children.get(job.id)
        code = child.poll() if child else None
        alive = code is None if child else is_locked(self.store.folder(job) / "lock")
        if alive:
            self._press(job)
            return
        self.children.pop(job.id, None)
        latest = self.store.job(job.id)  # it may have written its own end between our look at it and its death
        if latest.state.active and latest.attempt == job.attempt:
            self._record_death(latest, code)

    def _press(self, job: Job) -> None:
        """Insist, step by step, when a worker does not follow a stop."""
        waited = self.store.clock() - job.stop_at if job.state is JobState.STOPPING and job.stop_at else 0.0
        pid = self.children[job.id].pid if job.id in self.children else job.pid
        patience = 0 if job.kind == Kind.CALIBRATE else TERM_AFTER_SECONDS  # it has nothing to save
        if pid and waited > patience:
            number = signal.SIGKILL if waited > KILL_AFTER_SECONDS else signal.SIGTERM
            log.warning("%s does not stop: signal %d to group %d", job.id, number, pid)
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                log.info("group %d has gone", pid)

    def _record_death(self, job: Job, code: int | None) -> None:
        if job.state is JobState.STOPPING:
            how, fix = "Stopped before it could save its last step.", "Resume goes on from the last one."
            if job.kind == Kind.CALIBRATE:
                how, fix = "Stopped before it was done.", "It can be asked for again."
            self._end(job, JobState.CANCELLED, Cause.NONE, how, fix)
            return
        if code is None:
            how = "The worker is gone; why is inferred: it was killed or the machine was restarted."
        elif code < 0:
            how = f"The worker was killed by signal {-code} ({signal.Signals(-code).name})."
        else:
            how = f"The worker ended with code {code} without saying why; its log may tell."
        hint = " Signal 9 without a stop is most often the kernel freeing memory." if code == -signal.SIGKILL else ""
        fix = "Resume goes on from the last checkpoint; a smaller batch size needs less memory." if hint else "Resume the run."
        self._end(job, JobState.INTERRUPTED, Cause.KILLED, how + hint, fix)

    def _end(self, job: Job, state: JobState, cause: Cause, message: str, fix: str) -> None:
        self.store.transition(job, state, ended_at=self.store.clock(), cause=cause, message=message, fix=fix)
        log.info("%s is %s: %s", job.id, state, message)


def main() -> None:
    """Run the queue of ``LORALAB_HOME``, unless another supervisor does."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings = Settings()
    while True:
        lock = take_lock(settings.home / "supervisor.lock")
        if lock is None:
            return
        store = Store(settings)
        Supervisor(store).run()
        os.close(lock)
        if not store.jobs(None, JobState.QUEUED, *ACTIVE):  # one queued while we were leaving found the lock still held
            return


if __name__ == "__main__":
    main()
