"""Free disk and memory for a run, and the kernel's count of out-of-memory kills."""

import shutil
from pathlib import Path

from core.errors import NotEnoughRoom
from core.settings import Settings, find_cgroup, read_available_memory_mb

MIN_FREE_MB = 300  # checkpoints, adapter and predictions of one run stay well below
MIN_MEMORY_MB = 700  # interpreter, libraries and the smallest model take about 600
PROC = Path("/proc")


def require_resources(
    settings: Settings, disk_mb: int = MIN_FREE_MB, memory_mb: int = MIN_MEMORY_MB
) -> None:
    """Raise NotEnoughRoom if disk in the home folder or free memory are too short for a run."""
    free_mb = shutil.disk_usage(settings.home).free // 2**20
    if free_mb < disk_mb:
        raise NotEnoughRoom(
            f"Only {free_mb:,} MB of disk are free; a run needs {disk_mb:,}.",
            "Delete old runs or free some space.",
        )
    available_mb = read_available_memory_mb()
    if available_mb < memory_mb:
        message = f"Only {available_mb:,} MB of memory are free; a run needs {memory_mb:,}."
        raise NotEnoughRoom(message, "Close other programs, or choose a smaller model or batch.")


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
