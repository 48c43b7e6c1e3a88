"""The process that runs the queue: one job of each slot at a time (``core.jobs.kinds.Slot``).

There is one per home folder (a lock). It is started on demand, outlives the web server, and ends
when nothing is left to do. A new one takes over the workers of an earlier one: a worker is alive
while it holds its job's lock.
"""

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import NotEnoughRoom, StoreBusy, StoreDamaged
from core.jobs.failures import Ending, explain_death
from core.jobs.kinds import Slot, slot_of
from core.jobs.processes import start_worker
from core.people.fair_order import fair_order
from core.settings import Settings
from core.storage import files
from core.storage.accounts import started_by_owner
from core.storage.job import ACTIVE, FailureCause, Job, JobState
from core.storage.locks import is_locked, take_lock
from core.storage.recovery import open_store, repair
from core.storage.resources import oom_kills, require_resources
from core.storage.store import Store

POLL_SECONDS = 0.25
IDLE_SECONDS = 20  # long enough that a second launch finds it still there
TERM_AFTER_SECONDS = 20  # a micro-batch and a checkpoint take a few seconds
KILL_AFTER_SECONDS = 30
log = logging.getLogger("supervisor")


@dataclass
class Supervisor:
    """Starts, watches and ends workers. ``children`` are those it is the parent of; others it only
    sees by their lock.

    ``timer`` measures how long a worker takes to stop; it is not the store's clock, which people
    set. ``start`` starts an attempt.
    """

    store: Store
    timer: Callable[[], float] = time.monotonic
    start: Callable[[Settings, str, int], "subprocess.Popen[bytes]"] = start_worker
    children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    stopping: dict[tuple[str, int], float] = field(
        default_factory=dict
    )  # (job, attempt) to when its stop was first seen
    memory_kills: dict[str, int] = field(
        default_factory=dict
    )  # the kernel's count when the job was first seen at work

    def run(self) -> None:
        """Work until nothing has been queued or active for a while. A database that is held or full
        is waited for.
        """
        idle_since = time.monotonic()
        self.tidy()
        while time.monotonic() - idle_since < IDLE_SECONDS:
            try:
                busy = self.step()
            except (StoreBusy, NotEnoughRoom) as error:
                log.warning("%s", error.message)
                busy = True
            if busy:
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
        """Start the next job of each slot that may have one; see ``Slot`` for the rules."""
        running = {slot_of(job) for job in active}
        waiting = {slot_of(job) for job in queued}
        if Slot.EXCLUSIVE in running:
            if Slot.TRAINING in waiting:  # a measurement can be started again at any time
                self._stop(next(job for job in active if slot_of(job) is Slot.EXCLUSIVE))
            return
        free = [slot for slot in (Slot.TRAINING, Slot.LIGHT) if slot not in running]
        if Slot.TRAINING not in running | waiting and Slot.LOW_PRIORITY not in running:
            free.append(Slot.LOW_PRIORITY)
        if not running and waiting == {Slot.EXCLUSIVE}:
            free = [Slot.EXCLUSIVE]
        for slot in free:
            candidates = [job for job in reversed(queued) if slot_of(job) is slot]
            if candidates:
                self._start(self._in_turn(candidates)[0])

    def _stop(self, job: Job) -> None:
        self.store.transition(job, JobState.STOPPING, stop_at=self.store.clock())

    def _in_turn(self, waiting: list[Job]) -> list[Job]:
        """The jobs in the order in which they start: of several owners, each has a first one before
        any has a second one.
        """
        one_owner = len({job.owner for job in waiting}) <= 1
        return waiting if one_owner else fair_order(waiting, started_by_owner(self.store))

    def _start(self, job: Job) -> None:
        if self._is_alive(job):  # resumed at once: the last attempt's process is still leaving
            return
        try:
            require_resources(self.store.settings)
        except NotEnoughRoom as error:
            self.store.hold(job, f"Waiting for room. {error.message}", error.fix)
            return
        now = self.store.clock()
        if not self.store.transition(
            job, JobState.STARTING, started_at=now, heartbeat_at=now, message="", fix=""
        ):
            return
        self.memory_kills[job.id] = oom_kills()
        try:
            self.children[job.id] = self.start(self.store.settings, job.id, job.attempt)
        except OSError as error:
            log.exception("%s could not be started", job.id)
            self._end(
                job,
                JobState.FAILED,
                Ending(
                    FailureCause.BUG,
                    f"The worker could not be started ({error}).",
                    "Resume the run.",
                ),
            )
            return
        self.store.update(job, pid=self.children[job.id].pid)
        log.info("%s attempt %d started as pid %d", job.id, job.attempt, self.children[job.id].pid)

    def _reap(self, active: set[str]) -> None:
        """Let go of workers that recorded their own end, so that none stays behind as a zombie."""
        for job_id in [
            job_id
            for job_id, child in self.children.items()
            if job_id not in active and child.poll() is not None
        ]:
            del self.children[job_id]
            self.memory_kills.pop(job_id, None)
            self.store.mend(self.store.job(job_id))  # the disk may have been full when it ended

    def _watch(self, job: Job) -> None:
        child = self.children.get(job.id)
        code = child.poll() if child else None
        before = self.memory_kills.setdefault(job.id, oom_kills())
        if code is None if child else self._is_alive(job):
            self._enforce_stop(job)
            return
        latest = self.store.job(
            job.id
        )  # it may have written its own end between our look at it and its death
        if latest.state.active and latest.attempt == job.attempt:
            self._end(latest, *explain_death(latest, code, oom_kills() - before))
        self.children.pop(
            job.id, None
        )  # only now: where the end could not be written, how it died must still be known
        del self.memory_kills[job.id]

    def _enforce_stop(self, job: Job) -> None:
        """Send SIGTERM, later SIGKILL, to a worker that does not follow a stop."""
        if job.state is not JobState.STOPPING:
            return
        waited = self.timer() - self.stopping.setdefault((job.id, job.attempt), self.timer())
        pid = self.children[job.id].pid if job.id in self.children else job.pid
        # a measurement has nothing to save
        patience = 0 if slot_of(job) is Slot.EXCLUSIVE else TERM_AFTER_SECONDS
        if pid and waited > patience:
            number = signal.SIGKILL if waited > KILL_AFTER_SECONDS else signal.SIGTERM
            log.warning("%s does not stop: signal %d to group %d", job.id, number, pid)
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                log.info("group %d has gone", pid)

    def _is_alive(self, job: Job) -> bool:
        try:
            return is_locked(self.store.folder(job) / "lock")
        except OSError as error:  # its name belongs to something that is no lock file
            log.warning("the lock of %s cannot be looked at: %s", job.id, error)
            return False

    def _end(self, job: Job, state: JobState, ending: Ending) -> None:
        self.store.transition(job, state, ended_at=self.store.clock(), **ending.columns)
        log.info("%s is %s: %s", job.id, state, ending.message)

    def tidy(self) -> None:
        """Finish what others were killed at: deleting folders, replacing files, writing records."""
        self._sweep(self.store.settings.jobs)
        for job in self.store.jobs():
            if job.state.over and not self._is_alive(job):  # a worker sweeps its own when it starts
                self._sweep(self.store.folder(job))
                self._sweep(self.store.folder(job) / "checkpoints")
            self.store.mend(job)

    def _sweep(self, folder: Path) -> None:
        try:
            files.sweep(folder)
        except (
            OSError
        ) as error:  # one folder that cannot be tidied must not keep the queue from being run
            log.warning("%s cannot be swept: %s", folder, error)


def main() -> None:
    """Run the queue of ``LORALAB_HOME``, unless another supervisor does. A damaged database is
    rebuilt without asking.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    settings = Settings()
    children: dict[str, subprocess.Popen[bytes]] = {}
    while True:
        lock = take_lock(settings.home / "supervisor.lock")
        if lock is None:
            return
        try:
            store = open_store(settings)
            Supervisor(store, children=children).run()
            queued = bool(store.jobs(None, JobState.QUEUED, *ACTIVE))
        except StoreDamaged as error:
            log.warning("%s", error)
            if isinstance(error, StoreBusy):
                return  # the next launch or page starts another one
            repair(settings)
            queued = True
        finally:
            os.close(lock)
        if not queued:  # one queued while we were leaving found the lock still held
            return


if __name__ == "__main__":
    main()
