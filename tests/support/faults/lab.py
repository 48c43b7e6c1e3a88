"""A home folder in which runs are simulated in this process: the real store, supervisor and worker
code, no second process.

What a death of the worker takes with it is its lock; a power cut also takes what was not synced
(see ``tests.support.faults.disks``).
"""

import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from core.errors import NotEnoughRoom, StoreBusy
from core.jobs import worker
from core.jobs.supervisor import Supervisor
from core.runs import artifacts, checkpoints
from core.settings import Settings
from core.storage import files, job_record
from core.storage.disk import Disk
from core.storage.job import Job, JobKind, JobState
from core.storage.locks import take_lock
from core.storage.manifest import checksum
from core.storage.store import Store
from tests.support.faults.disks import CuttingDisk, SimulatedCrash
from tests.support.faults.plan import PLAN, STAND_IN, FaultPlan

REFUSALS = 10


@dataclass
class Child:
    """Stands for a worker process: it has an exit code once it is over."""

    job_id: str
    attempt: int
    lock: int
    code: int | None = None
    pid: int = field(default_factory=os.getpid)

    def poll(self) -> int | None:
        """The exit code, None as long as it lives."""
        return self.code

    def end(self, code: int) -> None:
        """Die; the kernel frees the lock."""
        os.close(self.lock)
        self.code = code


class InProcessLab:
    """``launch`` queues a run, ``play`` lets the supervisor act and does in this process what it
    starts.
    """

    def __init__(
        self, home: Path, plan: FaultPlan, make_store: Callable[[Settings], Store] = Store
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.plan_file = home / PLAN
        self.direct(plan)
        self.settings = Settings(home=home, hub=False, train_module=STAND_IN)
        self.store = make_store(self.settings)
        self.child: Child | None = None
        self.restart_supervisor()

    def direct(self, plan: FaultPlan) -> None:
        """From the next attempt on runs follow this plan."""
        plan.write(self.plan_file)
        self.plan = plan

    def restart_supervisor(self) -> None:
        """A new supervisor that knows of no child, as after the death of the old one."""
        self.supervisor = Supervisor(self.store, start=self._start)

    def launch(self, key: str = "key", seed: int = 1) -> Job:
        """Queue a run."""
        return self.store.create(
            JobKind.TRAIN,
            f"run-{key}",
            {"config": {"seed": seed, "learning_rate": 0.01, "batch_size": 16}},
            key,
        )

    def play(self, disk: Disk | None = None) -> None:
        """Let the supervisor look until nothing is left to do; the first attempt it starts writes
        to ``disk``.
        """
        idle = 0
        while idle < 2:  # the first look may only notice a death, which the next one makes use of
            self.supervisor.step()
            idle += 1
            if self.child is not None:
                self._perform(self.child, disk or Disk())
                disk, idle = None, 0

    def play_through_refusals(self, disk: Disk | None = None) -> None:
        """Play while the database may refuse to grow, or be held; the supervisor tries again, as
        its loop does, for a while.
        """
        for _ in range(REFUSALS):
            try:
                self.play(disk)
            except (NotEnoughRoom, StoreBusy):
                if self.child is not None:
                    self.finish(disk)
                disk = None
            else:
                return

    def look(self) -> None:
        """Let the supervisor look once. A worker it starts lives, holding its lock, and does
        nothing yet.
        """
        self.supervisor.step()

    def finish(self, disk: Disk | None = None) -> None:
        """Let the living worker do its work."""
        assert self.child is not None, "no worker lives"
        self._perform(self.child, disk or Disk())

    def kill(self) -> None:
        """Kill the living worker before it has done anything."""
        assert self.child is not None, "no worker lives"
        self.child.end(-signal.SIGKILL)
        self.child = None

    def resume(self, job: Job) -> None:
        """Queue a run that ended early once more, as the Resume button does."""
        self.store.requeue(self.store.job(job.id))

    def complaint(self, job: Job) -> str:
        """Report what is wrong with a run that should have completed; empty if nothing is."""
        job, folder, plan = self.store.job(job.id), self.store.folder(job), self.plan
        if job.state is not JobState.COMPLETED:
            return f"it is {job.state}: {job.message}"
        trained = [
            metric.step for metric in self.store.read_metrics(job.id) if metric.split == "train"
        ]
        if trained != list(range(1, plan.steps + 1)):
            return f"its curve has {len(trained)} points: {trained}"
        if not job_record.is_current(folder, job):
            return "job.json does not record its end"
        if artifacts.read_log_tail(folder) is None or not checkpoints.steps(folder):
            return "it has no checkpoint"
        if left := [
            path.name for path in folder.rglob(".*") if path.suffix in (".part", ".old", ".gone")
        ]:
            return f"rubbish is left: {left}"
        return ""

    def _start(self, settings: Settings, job_id: str, attempt: int) -> "subprocess.Popen[bytes]":
        lock = take_lock(settings.jobs / job_id / "lock")
        if lock is None:
            raise BlockingIOError(f"a worker of {job_id} is still alive")
        self.child = Child(job_id, attempt, lock)
        return cast("subprocess.Popen[bytes]", self.child)

    def _perform(self, child: Child, disk: Disk) -> None:
        files.disk = disk
        job = self.store.job(child.job_id)
        code = -signal.SIGKILL
        try:
            code = (
                worker.perform(self.store, job)
                if job.attempt == child.attempt and job.state.active
                else 0
            )
        except SimulatedCrash:
            if isinstance(disk, CuttingDisk):
                disk.cut()
        finally:
            files.disk = Disk()
            child.end(code)
            self.child = None


def outcome(folder: Path) -> dict[str, str]:
    """Name to SHA-256 of what a run leaves for people: the adapter and its predictions. The same
    for the same configuration.
    """
    paths = [*folder.glob("adapter/*"), *folder.glob("predictions-*.parquet")]
    return {
        path.relative_to(folder).as_posix(): checksum(path.read_bytes()) for path in sorted(paths)
    }
