"""A home folder with real processes: a supervisor started here, and its workers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.promises.row import TooLong
from core.runs import artifacts
from core.settings import PROJECT, Settings
from core.storage.job import ACTIVE, UNFINISHED, Job, JobKind, JobState, is_current
from core.storage.locks import is_locked
from core.storage.store import Store
from tests.support.faults.plan import PLAN, STAND_IN, FaultPlan

POLL_SECONDS = 0.01
REPAIR_SECONDS = 5.0


class Lab:
    """A lab with simulated trainings, or real ones on one thread if the plan says so."""

    def __init__(self, home: Path, plan: FaultPlan) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.plan_file = home / PLAN
        self.direct(plan)
        self.settings = Settings(home=home, hub=False, threads=1, train_module=STAND_IN)
        self.store = Store(self.settings)
        self.supervisor: subprocess.Popen[bytes] | None = None

    def direct(self, plan: FaultPlan) -> None:
        """Use this plan from the next attempt on."""
        self.plan = plan
        plan.write(self.plan_file)

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of every process of this lab."""
        result = {
            "LORALAB_HOME": str(self.settings.home),
            "LORALAB_HUB": "false",
            "LORALAB_THREADS": "1",
            "HF_HUB_OFFLINE": "1",
        }
        return {**os.environ, **result, "LORALAB_TRAIN_MODULE": STAND_IN}

    def supervise(self) -> None:
        """Start this lab's supervisor if none is alive, so that no other process starts one."""
        if self.supervisor is None or self.supervisor.poll() is not None:
            with (self.settings.home / "supervisor.log").open("ab") as log:
                command = [sys.executable, "-m", "core.jobs.supervisor"]
                self.supervisor = subprocess.Popen(
                    command,
                    cwd=PROJECT,
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            while (
                not is_locked(self.settings.home / "supervisor.lock")
                and self.supervisor.poll() is None
            ):
                time.sleep(POLL_SECONDS)

    def launch(self, key: str = "key", seed: int = 1) -> Job:
        """Queue a simulated run and supervise it."""
        job = self.queue(key, seed)
        self.supervise()
        return job

    def queue(self, key: str = "key", seed: int = 1) -> Job:
        """Queue a simulated run."""
        return self.store.create(
            JobKind.TRAIN,
            f"run-{key}",
            {"config": {"seed": seed, "learning_rate": 0.01, "batch_size": 16}},
            key,
        )

    def resume(self, job: Job) -> None:
        """Queue a run again that ended early."""
        self.store.requeue(self.store.read_job(job.id))
        self.supervise()

    def wait(self, job: Job, reached: Callable[[Job], bool], seconds: float = 30.0) -> Job:
        """Supervise the job until ``reached`` holds and return it.

        Raises TooLong if nothing changes for too long.
        """

        def tended(latest: Job) -> bool:
            self.supervise()
            return reached(latest)

        return self.watch(job, tended, seconds)

    def watch(self, job: Job, reached: Callable[[Job], bool], seconds: float = 30.0) -> Job:
        """Wait without starting a supervisor."""
        seen, deadline = None, 0.0
        while not reached(latest := self.store.read_job(job.id)):
            if seen != (seen := (latest.state, latest.attempt, latest.phase, latest.done)):
                deadline = time.monotonic() + seconds
            if time.monotonic() > deadline:
                tail = artifacts.read_log_tail(self.store.get_folder(job))[-600:]
                raise TooLong(
                    f"for {seconds:g} s {latest.state} {latest.phase} {latest.done}/{latest.total}"
                    f" {latest.message}\n{tail}"
                )
            time.sleep(POLL_SECONDS)
        return latest

    def kill(self, job: Job) -> bool:
        """Send SIGKILL to the worker; return False if it was already gone."""
        pid = self.store.read_job(job.id).pid
        if not pid or not is_locked(self.store.get_folder(job) / "lock"):
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def complaint(self, job: Job) -> str:
        """Return the error of a simulated run that should have completed, or an empty string."""
        job, folder = self.store.read_job(job.id), self.store.get_folder(job)
        if job.state is not JobState.COMPLETED:
            return f"{job.name} is {job.state}: {job.message}"
        trained = [
            metric.step for metric in self.store.read_metrics(job.id) if metric.split == "train"
        ]
        if trained != list(range(1, self.plan.steps + 1)):
            return f"{job.name}: the curve has {len(trained)} points and not each step once"
        deadline = time.monotonic() + REPAIR_SECONDS
        while not (current := is_current(folder, job)) and time.monotonic() < deadline:
            time.sleep(
                POLL_SECONDS
            )  # the row comes first; who is killed in between leaves the record to the supervisor
        if not current:
            return f"{job.name}: job.json does not record its end"
        if not artifacts.list_checkpoints(folder):
            return f"{job.name} has no checkpoint"
        return ""

    def close(self) -> None:
        """End the processes that this lab started, by their ids."""
        for job in self.store.list_jobs(states=UNFINISHED):
            self.kill(job)
        if self.supervisor is not None:
            self.supervisor.kill()
            self.supervisor.wait()
        for job in self.store.list_jobs(states=ACTIVE):
            self.kill(job)


@contextmanager
def opened(lab: Lab) -> Iterator[Lab]:
    """Yield the lab and end its processes afterwards."""
    try:
        yield lab
    finally:
        lab.close()


def over(job: Job) -> bool:
    """Return whether the job has ended."""
    return job.state.is_finished


def processes_of(lab: Lab, module: str = "core.jobs.worker") -> list[psutil.Process]:
    """List the living workers of this lab (or processes that run ``module``), by their environment,
    and zombies of its supervisor.
    """
    result = []
    for process in psutil.process_iter(["cmdline", "status", "ppid"]):
        zombie = (
            process.info["status"] == psutil.STATUS_ZOMBIE
            and lab.supervisor
            and process.info["ppid"] == lab.supervisor.pid
        )
        if zombie or (
            module in (process.info["cmdline"] or ()) and _home(process) == str(lab.settings.home)
        ):
            result.append(process)
    return result


def _home(process: psutil.Process) -> str:
    try:
        return process.environ().get("LORALAB_HOME", "")
    except psutil.Error:
        return ""
