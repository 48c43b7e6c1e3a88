"""How the processes of this project are started."""

import os
import subprocess
import sys

from core.data.hub import hub_reachable
from core.settings import PROJECT, Settings
from core.storage.locks import is_locked as is_locked  # both are looked for here
from core.storage.locks import take_lock as take_lock


def ensure_supervisor(settings: Settings) -> None:
    """Start a supervisor if none is alive, unless the settings leave that to others.

    It outlives the caller: a shell starts it in the background and ends.
    """
    if not settings.supervise or is_locked(settings.home / "supervisor.lock"):
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
    """Start the worker of one attempt in a session of its own. It inherits the job's lock, so it is
    alive from its first instant.
    """
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
    """Environment of a worker: its threads must be known before it starts; without a Hub the
    libraries must not look for one.
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
        # an arena for each thread keeps what it frees to itself: 30 MB of a training
        "MALLOC_ARENA_MAX": "1",
        # threads that spin longer at a barrier starve each other where anything else runs
        "GOMP_SPINCOUNT": "1000",
        "TOKENIZERS_PARALLELISM": "true",  # nothing forks here
        "RAYON_NUM_THREADS": threads,
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # whoever starts it
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "PYTHONUNBUFFERED": "1",
    }
