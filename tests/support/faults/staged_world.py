"""A world for ``sequences`` in which everything happens in this process."""

import errno
import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import cast

from core.errors import NotEnoughRoom
from core.jobs import actions
from core.runs import artifacts
from core.storage.files import Disk, read_verified
from core.storage.job import ACTIVE, Job, JobState
from core.storage.locks import take_lock
from core.storage.store import Store
from tests.support.faults.disks import CountingDisk, CuttingDisk, DyingDisk, FailingDisk
from tests.support.faults.full_disk import FillableStore
from tests.support.faults.lab import ImpatientContext, InProcessLab
from tests.support.faults.sequences import PLAN, seed_of


class StagedContext(ImpatientContext):
    """Access to a job that checks for a stop often and never ends this process."""

    poll_seconds = 0.005

    def exit_process(self) -> None:
        """Do nothing: this process is the test's."""


class StagedWorld:
    """World in one process. A worker does all its work at once, or all of it up to a fault."""

    def __init__(self, home: Path) -> None:
        self.ahead = 0.0
        self.stage = InProcessLab(
            home,
            PLAN,
            lambda settings: FillableStore(settings, lambda: time.time() + self.ahead),
            StagedContext,
        )
        self.store = cast(FillableStore, self.stage.store)
        lock = take_lock(
            home / "supervisor.lock"
        )  # this process is the supervisor, so actions start no other
        assert lock is not None
        self.lock = lock

    def launch(self, key: str) -> None:
        """Queue a run."""
        self.stage.launch(key, seed=seed_of(key))

    def work(self, fault: str, nth: int) -> bool:
        """Start the next run and let it meet a fault; return whether it did."""
        self._look()
        if self.stage.child is None:
            return False
        job, disk = self.store.read_job(self.stage.child.job_id), self._disk(fault, nth)
        self.stage.finish(disk)
        self._look()
        assert self.store.is_full or not self.store.list_jobs(states=ACTIVE) or self.stage.child, (
            "an ended worker's run is still called active"
        )
        self._check(job)
        return fault != "none" and isinstance(disk, CountingDisk) and disk.steps >= nth

    def kill(self, job: Job) -> bool:
        """Kill the worker before it has done anything; return whether there was one."""
        if self.stage.child is None:
            return False
        self.stage.kill()
        return True

    def restart(self) -> None:
        """Kill and replace the supervisor."""
        self.stage.restart_supervisor()
        self.stage.supervisor.tidy()

    def set_clock(self, ahead: int) -> None:
        """Set the wall clock."""
        self.ahead = ahead

    def fill(self, after: int, writes: int) -> None:
        """Let this many transactions fail after ``after`` more of them."""
        self.store.fill(after, writes)

    def stop(self, job: Job) -> None:
        """Stop the run, as the button does."""
        actions.stop(self.store, job)

    def resume(self, job: Job) -> None:
        """Resume the run, as the button does."""
        actions.resume(self.store, job)

    def finish(self) -> int:
        """Complete every run on a healthy machine; return the number of earlier failed
        transactions.
        """
        self.store.make_room()
        self.restart()
        if self.stage.child is not None:
            self.stage.finish()
        self.stage.play()
        for job in self.store.list_jobs():
            if job.state is not JobState.COMPLETED:
                actions.resume(self.store, job)
        self.stage.play()
        self.restart()
        return self.store.refused

    def complaint(self, job: Job) -> str:
        """Return the error of a run that should have completed."""
        return self.stage.complaint(job)

    def close(self) -> None:
        """Release the lock."""
        if self.stage.child is not None:
            self.stage.kill()
        os.close(self.lock)

    def _look(self) -> None:
        with suppress(NotEnoughRoom):  # the supervisor's loop logs it and tries again
            self.stage.look()

    def _disk(self, fault: str, nth: int) -> Disk:
        jobs = self.stage.settings.jobs
        match fault:
            case "kill":
                return DyingDisk(nth)
            case "power cut" | "lucky power cut":
                return CuttingDisk(
                    jobs, nth, random.Random(nth) if fault.startswith("lucky") else None
                )
            case "EIO" | "disk full":
                return FailingDisk(
                    nth, errno.EIO if fault == "EIO" else errno.ENOSPC, lasting=fault == "disk full"
                )
            case "stop":
                return StoppingDisk(nth, self.store)
        return Disk()

    def _check(self, job: Job) -> None:
        """Check that no file in the run's folder is partly written, and that its curve reaches its
        newest checkpoint.
        """
        folder = self.store.get_folder(job)
        for step in artifacts.list_checkpoints(folder):
            read_verified(folder / "checkpoints" / f"{step:08d}")
        if (folder / "adapter").exists():
            artifacts.find_adapter(folder)
        trained = [
            metric.step for metric in self.store.read_metrics(job.id) if metric.split == "train"
        ]
        assert max(artifacts.list_checkpoints(folder), default=0) <= len(trained), (
            "a checkpoint is past the curve"
        )


class StoppingDisk(CountingDisk):
    """Disk at whose ``nth`` step a visitor stops the active run."""

    def __init__(self, nth: int, store: Store) -> None:
        super().__init__()
        self.nth, self.store = nth, store

    def _meet(self) -> None:
        super()._meet()
        if self.steps == self.nth:
            for job in self.store.list_jobs(states=ACTIVE):
                self.store.transition(job, JobState.STOPPING, stop_at=self.store.clock())
