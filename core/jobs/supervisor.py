"""The process that runs the queue: one job of each slot at a time (``core.jobs.kinds.Slot``).

One supervisor per home folder (a lock). It is started on demand, outlives the web server, and ends
when there is nothing left to do. A new supervisor takes over the workers of an earlier one: a
worker is alive while it holds the lock of its job.
"""

import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from core.data.hub import hub_reachable
from core.errors import NotEnoughRoom, StoreBusy, StoreDamaged
from core.jobs.failures import JobFailure, explain_worker_exit
from core.jobs.kinds import KINDS, Slot, find_slot
from core.settings import PROJECT, Settings
from core.storage import files
from core.storage.job import (
    ACTIVE,
    UNFINISHED,
    FailureCause,
    Job,
    JobChanges,
    JobState,
    sort_fairly,
)
from core.storage.locks import is_locked, take_lock
from core.storage.recovery import finish_changes, open_store, repair
from core.storage.resources import count_oom_kills, require_resources
from core.storage.store import Store
from core.translation import mark

WAITING = mark("Waiting for resources.")
POLL_SECONDS = 0.25
IDLE_SECONDS = 20  # long enough that a second launch finds it still there
TERM_AFTER_SECONDS = 20  # a micro-batch and a checkpoint take a few seconds
KILL_AFTER_SECONDS = 30
log = logging.getLogger("supervisor")


def ensure_supervisor(settings: Settings) -> None:
    """Start a supervisor if none is alive, unless ``settings.supervise`` is False.

    It outlives the caller: a shell starts it in the background and ends.
    """
    if not settings.supervise or is_locked(settings.home / "supervisor.lock"):
        return
    with (settings.home / "supervisor.log").open("ab") as log_file:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-m", "core.jobs.supervisor"],
            cwd=PROJECT,
            env={**os.environ, "LORALAB_HOME": str(settings.home.absolute())},
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            start_new_session=True,
            check=True,
        )


def start_worker(settings: Settings, job_id: str, attempt: int) -> "subprocess.Popen[bytes]":
    """Start the worker of one attempt in its own session. It inherits the lock of the job."""
    folder = settings.jobs / job_id
    lock = take_lock(folder / "lock")
    if lock is None:
        raise BlockingIOError(f"a worker of {job_id} is still alive")
    try:
        with (folder / "worker.log").open("ab") as log_file:
            return subprocess.Popen(
                [sys.executable, "-m", "core.jobs.worker", job_id, str(attempt)],
                cwd=PROJECT,
                env=make_worker_environment(settings, lock),
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                pass_fds=(lock,),
                start_new_session=True,
            )
    finally:
        os.close(lock)


def make_worker_environment(settings: Settings, lock: int) -> dict[str, str]:
    """Return the environment of a worker, which sets threads before libraries are loaded.

    Without access to the Hub, the libraries run in offline mode.
    """
    threads = str(settings.used_threads)
    offline = {} if hub_reachable(settings) else {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return {
        **os.environ,
        **offline,
        "LORALAB_HOME": str(settings.home.absolute()),
        "LORALAB_LOCK": str(lock),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        # with an arena per thread, freed memory is not shared: 30 MB in a training
        "MALLOC_ARENA_MAX": "1",
        # threads that spin longer at a barrier starve each other if anything else runs
        "GOMP_SPINCOUNT": "1000",
        "TOKENIZERS_PARALLELISM": "true",  # nothing forks here
        "RAYON_NUM_THREADS": threads,
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # its own pool keeps about 12 MB
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONUNBUFFERED": "1",
    }


@dataclass
class Supervisor:
    """Starts, watches and stops workers.

    Args:
        store: Jobs of the home folder.
        timer: Measures how long a worker takes to stop; not the store's clock, which users can set.
        start: Starts an attempt.
        count_kills: Reads the kernel's count of out-of-memory kills.
        children: Workers whose parent this process is, by job id. Others are seen by their locks.
        stopping: When the stop of a (job, attempt) was first seen.
        oom_kills: That count when a job was first seen active.
    """

    store: Store
    timer: Callable[[], float] = time.monotonic
    start: Callable[[Settings, str, int], "subprocess.Popen[bytes]"] = start_worker
    count_kills: Callable[[], int] = count_oom_kills
    children: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    stopping: dict[tuple[str, int], float] = field(default_factory=dict)
    oom_kills: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        """Run the queue until nothing has been queued or active for a while.

        Waits while the database is locked or full.
        """
        idle_since = time.monotonic()
        self.tidy()
        while time.monotonic() - idle_since < IDLE_SECONDS:
            try:
                busy = self.step()
            except (StoreBusy, NotEnoughRoom) as error:
                log.warning("%s", error.message)
                busy = True
                time.sleep(POLL_SECONDS)  # a worker that has ended is still to be recorded
            if busy:
                idle_since = time.monotonic()
            self.wait()

    def wait(self, seconds: float = POLL_SECONDS) -> None:
        """Wait until a worker ends, so that the next job starts at once, or for ``seconds``."""
        running = [child for child in self.children.values() if child.returncode is None]
        handles = [handle for child in running if (handle := _open_handle(child)) is not None]
        try:
            select.select(handles, [], [], seconds)
        finally:
            for handle in handles:
                os.close(handle)

    def step(self) -> bool:
        """Handle each queued or active job once; return whether there was one."""
        active = self.store.list_jobs(states=ACTIVE)
        for job in active:
            self._watch(job)
        self._reap({job.id for job in active})
        queued = self.store.list_jobs(states=[JobState.QUEUED])
        self._start_next(active, queued)
        return bool(active or queued or self.children)

    def _start_next(self, active: list[Job], queued: list[Job]) -> None:
        """Start the next job of each slot that is free; see ``Slot`` for the rules."""
        running = {find_slot(job) for job in active}
        waiting = {find_slot(job) for job in queued}
        if Slot.EXCLUSIVE in running:
            if Slot.TRAINING in waiting:  # a measurement can be started again at any time
                self._stop(next(job for job in active if find_slot(job) is Slot.EXCLUSIVE))
            return
        free = [slot for slot in (Slot.TRAINING, Slot.LIGHT) if slot not in running]
        if Slot.TRAINING not in running | waiting and Slot.LOW_PRIORITY not in running:
            free.append(Slot.LOW_PRIORITY)
        if not running and waiting == {Slot.EXCLUSIVE}:
            free = [Slot.EXCLUSIVE]
        for slot in free:
            candidates = [job for job in reversed(queued) if find_slot(job) is slot]
            if candidates:
                self._start(self._sort_by_turn(candidates, slot)[0])

    def _stop(self, job: Job) -> None:
        self.store.transition(job, JobState.STOPPING, stop_at=self.store.clock())

    def _sort_by_turn(self, waiting: list[Job], slot: Slot) -> list[Job]:
        """Sort the waiting jobs of a slot into the order in which they start."""
        if len({job.owner for job in waiting}) <= 1:
            return waiting
        kinds = [kind.name for kind in KINDS.values() if kind.slot is slot]
        return sort_fairly(waiting, self.store.count_started(*kinds))

    def _start(self, job: Job) -> None:
        if self._is_alive(job):  # resumed at once: the process of the last attempt is still failure
            return
        try:
            require_resources(self.store.settings)
        except NotEnoughRoom as error:
            self.store.explain_wait(job, f"{WAITING} {error.message}", error.fix)
            return
        now = self.store.clock()
        if not self.store.transition(
            job, JobState.STARTING, started_at=now, heartbeat_at=now, message="", fix=""
        ):
            return
        self.oom_kills[job.id] = self.count_kills()
        try:
            self.children[job.id] = self.start(self.store.settings, job.id, job.attempt)
        except OSError as error:
            log.exception("%s could not be started", job.id)
            self._end(
                job,
                JobState.FAILED,
                JobFailure(
                    FailureCause.BUG,
                    mark("The worker could not be started ({error}).").format(error=error),
                    mark("Resume the run."),
                ),
            )
            return
        self.store.update(job, pid=self.children[job.id].pid)
        log.info("%s attempt %d started as pid %d", job.id, job.attempt, self.children[job.id].pid)

    def _reap(self, active: set[str]) -> None:
        """Drop workers that recorded their own end, so that none remains as a zombie."""
        for job_id in [
            job_id
            for job_id, child in self.children.items()
            if job_id not in active and child.poll() is not None
        ]:
            del self.children[job_id]
            self.oom_kills.pop(job_id, None)
            # the disk may have been full when it ended
            self.store.repair_record(self.store.read_job(job_id))

    def _watch(self, job: Job) -> None:
        child = self.children.get(job.id)
        code = child.poll() if child else None
        before = self.oom_kills.setdefault(job.id, self.count_kills())
        if code is None if child else self._is_alive(job):
            self._enforce_stop(job)
            return
        # the worker may have recorded its end in the meantime
        latest = self.store.read_job(job.id)
        if latest.state.is_active and latest.attempt == job.attempt:
            self._end(latest, *explain_worker_exit(latest, code, self.count_kills() - before))
        # only now: if the end could not be written, the exit code is needed again
        self.children.pop(job.id, None)
        del self.oom_kills[job.id]

    def _enforce_stop(self, job: Job) -> None:
        """Send SIGTERM, later SIGKILL, to a worker that does not stop when asked."""
        if job.state is not JobState.STOPPING:
            return
        waited = self.timer() - self.stopping.setdefault((job.id, job.attempt), self.timer())
        pid = self.children[job.id].pid if job.id in self.children else job.pid
        # a measurement has nothing to save
        patience = 0 if find_slot(job) is Slot.EXCLUSIVE else TERM_AFTER_SECONDS
        if pid and waited > patience:
            number = signal.SIGKILL if waited > KILL_AFTER_SECONDS else signal.SIGTERM
            log.warning("%s does not stop: signal %d to group %d", job.id, number, pid)
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                log.info("group %d has ended", pid)

    def _is_alive(self, job: Job) -> bool:
        try:
            return is_locked(self.store.get_folder(job) / "lock")
        except OSError as error:  # something that is not a lock file has its name
            log.warning("the lock of %s cannot be read: %s", job.id, error)
            return False

    def _end(self, job: Job, state: JobState, failure: JobFailure) -> None:
        changes: JobChanges = {**failure.changes, "ended_at": self.store.clock()}
        self.store.transition(job, state, **changes)
        log.info("%s is %s: %s", job.id, state, failure.message)

    def tidy(self) -> None:
        """Finish the writes of killed processes: folders to delete, files to replace, records."""
        files.remove_orphans(self.store.settings.home)
        self._remove_leftovers(self.store.settings.jobs)
        finish_changes(self.store)
        for job in self.store.list_jobs():
            # a worker removes its own leftovers when it starts
            if job.state.is_finished and not self._is_alive(job):
                self._remove_leftovers(self.store.get_folder(job))
                self._remove_leftovers(self.store.get_folder(job) / "checkpoints")
            self.store.repair_record(job)

    def _remove_leftovers(self, folder: Path) -> None:
        try:
            files.remove_leftovers(folder)
        except OSError as error:  # one such folder must not block the queue
            log.warning("%s cannot be removed: %s", folder, error)


def _open_handle(child: "subprocess.Popen[bytes]") -> int | None:
    """Open a descriptor that becomes readable when the child ends; None where there is none."""
    if not hasattr(os, "pidfd_open"):  # macOS
        return None
    try:
        return os.pidfd_open(child.pid)
    except OSError as error:
        log.warning("the end of pid %d cannot be awaited: %s", child.pid, error)
        return None


def main() -> None:
    """Run the queue of ``LORALAB_HOME``, unless another supervisor does.

    A damaged database is rebuilt without asking.
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
            queued = bool(store.list_jobs(states=UNFINISHED))
        except StoreDamaged as error:
            log.warning("%s", error)
            if isinstance(error, StoreBusy):
                return  # the next launch or page starts another one
            repair(settings)
            queued = True
        finally:
            os.close(lock)
        if not queued:  # a job queued during the exit found the lock still held
            return


if __name__ == "__main__":
    main()
