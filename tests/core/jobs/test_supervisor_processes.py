import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from core.jobs.supervisor import make_worker_environment
from core.settings import PROJECT, Settings
from core.storage.locks import is_locked, take_lock

HOLD = """
import sys, time
from pathlib import Path
from core.storage.locks import take_lock
take_lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_is_taken_once(tmp_path: Path) -> None:
    descriptor = take_lock(tmp_path / "lock")
    assert descriptor is not None

    assert take_lock(tmp_path / "lock") is None
    assert is_locked(tmp_path / "lock")

    os.close(descriptor)
    assert not is_locked(tmp_path / "lock")


def test_a_lock_no_one_ever_took_is_free(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "missing")


def test_the_kernel_frees_the_lock_of_a_killed_holder(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "lock")], cwd=PROJECT, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    assert is_locked(tmp_path / "lock")

    holder.kill()
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and still a zombie

    assert not is_locked(tmp_path / "lock")
    holder.wait()
    holder.stdout.close()


def test_a_worker_knows_its_threads_before_it_starts(settings: Settings) -> None:
    environment = make_worker_environment(replace(settings, threads=3), lock=7)

    assert environment["OMP_NUM_THREADS"] == "3"
    assert environment["HF_HUB_OFFLINE"] == "1"
    assert environment["LORALAB_HOME"] == str(settings.home)
