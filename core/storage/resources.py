"""Free disk and memory for a run, calls with limited memory, and out-of-memory kills."""

import os
import pickle
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ParamSpec, TypeVar

from core.errors import LoraLabError, NotEnoughRoom
from core.settings import PROJECT, Settings, find_cgroup, read_available_memory_mb

P = ParamSpec("P")
T = TypeVar("T")

MIN_FREE_MB = 300  # checkpoints, adapter and predictions of one run stay well below
MIN_MEMORY_MB = 700  # interpreter, libraries and the smallest model take about 600
PROC = Path("/proc")
# processes with limited memory at the same time; more wait
_places = threading.BoundedSemaphore(2)
# each thread of a library has memory of its own
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_IO_THREADS": "1"}


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Memory and processor time of a call in a process of its own."""

    megabytes: int
    seconds: int


def require_resources(
    settings: Settings, disk_mb: int = MIN_FREE_MB, memory_mb: int = MIN_MEMORY_MB
) -> None:
    """Raise NotEnoughRoom if disk in the home folder or free memory are too short for a run."""
    free_mb = shutil.disk_usage(settings.home).free // 2**20
    if free_mb < disk_mb:
        raise NotEnoughRoom(
            "Only {free:,} MB of disk are free; a run needs {needed:,}.",
            "Delete old runs or free some space.",
            free=free_mb,
            needed=disk_mb,
        )
    available_mb = read_available_memory_mb()
    if available_mb < memory_mb:
        raise NotEnoughRoom(
            "Only {free:,} MB of memory are free; a run needs {needed:,}.",
            "Close other programs, or choose a smaller model or batch.",
            free=available_mb,
            needed=memory_mb,
        )


def call_limited(
    limits: CallLimits, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Call ``function`` in a process of its own, whose memory and processor time are limited.

    Starting it takes about half a second. Raises the errors of ``function``, and NotEnoughRoom if
    the process needs more.
    """
    with (
        _places,
        tempfile.TemporaryFile() as request,
        tempfile.TemporaryFile() as answer,
        tempfile.TemporaryFile() as errors,
    ):
        pickle.dump((limits, function, args, kwargs), request)
        request.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-m", "core.storage.resources"],
            cwd=PROJECT,
            env=os.environ | ONE_THREAD,
            stdin=request,
            stdout=answer,
            stderr=errors,
            start_new_session=True,
        )
        try:
            # the processor may be shared by others
            process.wait(timeout=10 * limits.seconds)
        except subprocess.TimeoutExpired:
            process.kill()
        code = process.wait()
        answer.seek(0)
        errors.seek(0)
        result: T = _read_answer(answer, code, errors.read())
        return result


def _read_answer(answer: IO[bytes], code: int, errors: bytes) -> Any:
    if code != 0:
        if code > 0 and b"MemoryError" not in errors:
            raise RuntimeError(errors.decode(errors="replace")[-2000:])
        # a library that cannot allocate, or the kernel, ends the process
        raise NotEnoughRoom("More memory or time is needed than is allowed here.")
    result, error = pickle.load(answer)
    if error is not None:
        raise error
    return result


def answer_limited(request: IO[bytes], answer: IO[bytes]) -> None:
    """Run a call of ``call_limited`` in its process."""
    limits, function, args, kwargs = pickle.load(request)
    for kind, most in (
        (resource.RLIMIT_DATA, limits.megabytes * 2**20),  # has no effect on macOS
        (resource.RLIMIT_CPU, limits.seconds),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # a lower limit exists already
            resource.setrlimit(kind, (most, most))
    result = error = None
    try:
        result = function(*args, **kwargs)
    except LoraLabError as raised:
        error = raised
    pickle.dump((result, error), answer, pickle.HIGHEST_PROTOCOL)


def count_oom_kills(proc: Path = PROC) -> int:
    """Return the kernel's count of out-of-memory kills; 0 where it keeps none.

    The count is that of this control group, or else of the whole machine. ``proc`` is where the
    kernel shows its state.
    """
    for path in (*_list_cgroup_files(proc / "self" / "cgroup"), proc / "vmstat"):
        if path.is_file():
            counts = dict(
                line.split()[:2] for line in path.read_text().splitlines() if len(line.split()) >= 2
            )
            if counts.get("oom_kill", "").isdigit():
                return int(counts["oom_kill"])
    return 0


def _list_cgroup_files(own: Path) -> list[Path]:
    """List the files in which this control group counts: version 2 in memory.events, version 1 in
    memory.oom_control.
    """
    if not own.is_file():
        return []
    paths, root = [], find_cgroup()
    for line in own.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            paths += [
                root / "memory" / path.lstrip("/") / "memory.oom_control",
                root / "memory" / "memory.oom_control",
            ]
        elif not controllers:
            paths += [root / path.lstrip("/") / "memory.events", root / "memory.events"]
    return paths


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)  # what a library prints does not belong to the answer
        answer_limited(sys.stdin.buffer, output)
