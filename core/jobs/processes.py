"""Locks that say who is alive, and how processes of this project are started.

An ``flock`` is freed by the kernel on any death of its holder, so it tells alive from dead without looking at pids.
"""

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

from core.data.hub import hub_reachable
from core.settings import Settings

PROJECT = Path(__file__).parents[2]
PATIENCE_SECONDS = 0.2  # someone who only looks holds the lock for an instant
NICE = 10  # pages stay quick while a training takes every core


def take_lock(path: Path) -> int | None:
    """A descriptor that holds the lock on ``path`` until it is closed, or None if someone else has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _try_lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return None
        time.sleep(0.01)
    return descriptor


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock on ``path``."""
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return not _try_lock(descriptor, fcntl.LOCK_SH)  # shared, so that two who look do not take each other for a holder
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def ensure_supervisor(settings: Settings) -> None:
    """Start a supervisor if none is alive. It outlives the caller: a shell starts it in the background and ends."""
    if is_locked(settings.home / "supervisor.lock"):
        return
    with (settings.home / "supervisor.log").open("ab") as log:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-m", "core.jobs.supervisor"],
            cwd=PROJECT,
            env={**os.environ, "LORALAB_HOME": str(settings.home.absolute())},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
        )


def start_worker(settings: Settings, job_id: str, attempt: int) -> "subprocess.Popen[bytes]":
    """Start the worker of one attempt in a session of its own. It inherits the job's lock, so it is alive from its first instant."""
    folder = settings.jobs / job_id
    lock = take_lock(folder / "lock")
    if lock is None:
        raise BlockingIOError(f"a worker of {job_id} is still alive")
    try:
        with (folder / "worker.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "core.jobs.worker", job_id, str(attempt)],
                cwd=PROJECT,
                env=worker_environment(settings, lock),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock,),
                start_new_session=True,
            )
    finally:
        os.close(lock)


def worker_environment(settings: Settings, lock: int) -> dict[str, str]:
    """Environment of a worker: its threads must be known before it starts; without a Hub the libraries must not look for one."""
    threads = str(settings.used_threads)
    offline = {} if hub_reachable(settings) else {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return {
        **os.environ,
        **offline,
        "LORALAB_HOME": str(settings.home.absolute()),
        "LORALAB_LOCK": str(lock),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "GOMP_SPINCOUNT": "1000",  # threads that spin longer at a barrier starve each other where anything else runs
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONUNBUFFERED": "1",
    }
