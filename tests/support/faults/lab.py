"""A home folder whose runs are simulated in this process with the real store, supervisor and worker
code.

The death of a worker releases its lock; a power cut also loses unsynced data (see
``tests.support.faults.disks``).
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
from core.jobs.context import JobContext
from core.jobs.supervisor import Supervisor
from core.runs import artifacts
from core.settings import Settings
from core.storage.files import Disk, compute_checksum
from core.storage.job import Job, JobKind, JobState, is_current
from core.storage.locks import take_lock
from core.storage.store import Store
from tests.support.faults.disks import CuttingDisk, SimulatedCrash, writing_to
from tests.support.faults.plan import PLAN, STAND_IN, FaultPlan

REFUSALS = 10


class ImpatientContext(JobContext):
    """Access to a job that gives up soon on a locked or full database."""

    database_timeout_seconds = 0.05
    retry_seconds = 0.01


@dataclass
class Child:
    """Stand-in for a worker process, with an exit code after its end."""

    job_id: str
    attempt: int
    lock: int
    code: int | None = None
    pid: int = field(default_factory=os.getpid)

    def poll(self) -> int | None:
        """Return the exit code, None while it is alive."""
        return self.code

    def end(self, code: int) -> None:
        """End the process and release its lock, as the kernel does."""
        os.close(self.lock)
        self.code = code


class InProcessLab:
    """Lab in one process:

    ``launch`` queues a run, ``play`` runs the supervisor and the workers it starts. Workers access
    their jobs through ``new_context``.
    """

    def __init__(
        self,
        home: Path,
        plan: FaultPlan,
        make_store: Callable[[Settings], Store] = Store,
        new_context: type[JobContext] = JobContext,
        busy_seconds: float = Settings.busy_seconds,
    ) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.new_context = new_context
        self.plan_file = home / PLAN
        self.direct(plan)
        self.settings = Settings(
            home=home, hub=False, train_module=STAND_IN, busy_seconds=busy_seconds
        )
        self.store = make_store(self.settings)
        self.child: Child | None = None
        self.restart_supervisor()

    def direct(self, plan: FaultPlan) -> None:
        """Use this plan from the next attempt on."""
        plan.write(self.plan_file)
        self.plan = plan

    def restart_supervisor(self) -> None:
        """Create a supervisor without children, as after the death of the previous one."""
        self.supervisor = Supervisor(self.store, start=self._start)

    def launch(self, key: str = "key", seed: int = 1, owner: str = "") -> Job:
        """Queue a run of ``owner``."""
        return self.store.create(
            JobKind.TRAIN,
            f"run-{key}",
            {"config": {"seed": seed, "learning_rate": 0.01, "batch_size": 16}},
            key,
            owner,
        )

    def play(self, disk: Disk | None = None) -> None:
        """Run the supervisor until nothing is left to do; the first attempt it starts writes to
        ``disk``.
        """
        idle = 0
        while idle < 2:  # the first pass may only notice a death, which the next one handles
            self.supervisor.step()
            idle += 1
            if self.child is not None:
                self._perform(self.child, disk or Disk())
                disk, idle = None, 0

    def play_through_refusals(self, disk: Disk | None = None) -> None:
        """Play while the database may be full or locked; the supervisor retries for a while, as its
        loop does.
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
        """Run one pass of the supervisor. A started worker holds its lock and does nothing yet."""
        self.supervisor.step()

    def finish(self, disk: Disk | None = None) -> None:
        """Let the live worker do its work."""
        assert self.child is not None, "no worker lives"
        self._perform(self.child, disk or Disk())

    def kill(self) -> None:
        """Kill the live worker before it has done anything."""
        assert self.child is not None, "no worker lives"
        self.child.end(-signal.SIGKILL)
        self.child = None

    def resume(self, job: Job) -> None:
        """Queue a run again that ended early, as the Resume button does."""
        self.store.requeue(self.store.read_job(job.id))

    def complaint(self, job: Job) -> str:
        """Return the error of a run that should have completed; empty if there is none."""
        job, folder, plan = self.store.read_job(job.id), self.store.get_folder(job), self.plan
        if job.state is not JobState.COMPLETED:
            return f"it is {job.state}: {job.message}"
        trained = [
            metric.step for metric in self.store.read_metrics(job.id) if metric.split == "train"
        ]
        if trained != list(range(1, plan.steps + 1)):
            return f"its curve has {len(trained)} points: {trained}"
        if not is_current(folder, job):
            return "job.json does not record its end"
        if artifacts.read_log_tail(folder) is None or not artifacts.list_checkpoints(folder):
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
        job = self.store.read_job(child.job_id)
        code = -signal.SIGKILL
        try:
            with writing_to(disk):
                code = (
                    worker.perform(self.store, job, new_context=self.new_context)
                    if job.attempt == child.attempt and job.state.is_active
                    else 0
                )
        except SimulatedCrash:
            if isinstance(disk, CuttingDisk):
                disk.cut()
        finally:
            child.end(code)
            self.child = None


def outcome(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of a run's adapter and predictions by name; equal for equal
    configurations.
    """
    paths = [*folder.glob("adapter/*"), *folder.glob("predictions-*.parquet")]
    return {
        path.relative_to(folder).as_posix(): compute_checksum(path.read_bytes())
        for path in sorted(paths)
    }
