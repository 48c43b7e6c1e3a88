"""Settings from ``LORALAB_*`` environment variables, and what this machine has."""

import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ConfigError

YES, NO = ("1", "true", "yes", "on", "y", "t"), ("0", "false", "no", "off", "n", "f")
MODES = ("local", "classroom", "public")
PROJECT = Path(__file__).parents[1]
HOSTED = Path(
    "/mount/src"
)  # where Streamlit Community Cloud puts an app: everybody there comes from outside
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
CGROUP_USED = Path("/sys/fs/cgroup/memory.current")
CGROUP_CPU = Path("/sys/fs/cgroup/cpu.max")


def _variable(name: str) -> str:
    return os.environ.get(f"LORALAB_{name}", "")  # an empty one counts as not set


def _folder(name: str) -> Path | None:
    text = _variable(name)
    return Path(text).expanduser() if text else None


def _switch(name: str, otherwise: bool) -> bool:
    text = _variable(name).lower()
    if text not in {"", *YES, *NO}:
        raise ConfigError(f"LORALAB_{name} is {text!r}.", "Set it to true or false.")
    return text in YES if text else otherwise


def _one_of(name: str, allowed: tuple[str, ...], otherwise: str) -> str:
    text = _variable(name).lower() or otherwise
    if text not in allowed:
        raise ConfigError(
            f"LORALAB_{name} is {text!r}.", f"Set it to {', '.join(allowed[:-1])} or {allowed[-1]}."
        )
    return text


def _list(name: str) -> tuple[str, ...]:
    return tuple(_variable(name).lower().replace(",", " ").split())


def _count(name: str, highest: int) -> int:
    text = _variable(name) or "0"
    if not (text.isascii() and text.isdigit() and int(text) <= highest):
        raise ConfigError(
            f"LORALAB_{name} is {text!r}.", f"Set it to a whole number from 0 to {highest}."
        )
    return int(text)


@dataclass(frozen=True)
class Settings:
    """Where things are kept and how much of the machine may be used. What is not given is read from
    the environment, each time.

    No pydantic: importing it takes longer than all else that a worker does before its job. Raises
    ConfigError.
    """

    home: Path = field(
        default_factory=lambda: _folder("HOME") or Path.home() / ".loralab"
    )  # database, runs, prepared data
    data: Path | None = field(
        default_factory=lambda: _folder("DATA")
    )  # local dataset folder; wins over the Hub
    model: str = field(
        default_factory=lambda: _variable("MODEL") or "minilm"
    )  # base model that the form starts with
    hub: bool = field(
        default_factory=lambda: _switch("HUB", True)
    )  # whether the Hugging Face Hub may be asked at all
    threads: int = field(
        default_factory=lambda: _count("THREADS", 256)
    )  # of a training; 0 takes all cores
    paths: bool = field(
        default_factory=lambda: _switch("PATHS", False)
    )  # whether visitors may name files of this machine
    mode: str = field(
        default_factory=lambda: _one_of("MODE", MODES, "public" if is_hosted() else "local")
    )  # core/access.py
    class_code: str = field(
        default_factory=lambda: _variable("CLASS_CODE")
    )  # of students; made up where it is not given
    teacher_code: str = field(default_factory=lambda: _variable("TEACHER_CODE"))
    teachers: tuple[str, ...] = field(
        default_factory=lambda: _list("TEACHERS")
    )  # who is in charge after signing in: core/people/openid.py
    students: tuple[str, ...] = field(
        default_factory=lambda: _list("STUDENTS")
    )  # who may join by signing in; everybody where empty
    guest_taste: bool = field(
        default_factory=lambda: _switch("GUEST_TASTE", False)
    )  # whether guests of a public page may start a Taste run
    rehearsal: str = field(
        default_factory=lambda: _variable("REHEARSAL")
    )  # plan of a stand-in for trainings: core/rehearsal
    stopwatch: str = field(
        default_factory=lambda: _variable("STOPWATCH")
    )  # seconds that count as measured: core/storage/numerics.py

    @property
    def database(self) -> Path:
        """The SQLite file with jobs and metrics."""
        return self.home / "loralab.db"

    @property
    def jobs(self) -> Path:
        """The folder that holds one folder per job."""
        return self.home / "jobs"

    @property
    def prepared(self) -> Path:
        """The folder that holds one folder per prepared dataset."""
        return self.home / "data"

    @property
    def datasets(self) -> Path:
        """The folder that holds one folder per dataset that somebody has saved."""
        return self.home / "datasets"

    @property
    def used_threads(self) -> int:
        """Threads a training gets."""
        return self.threads or cores()


def is_hosted() -> bool:
    """Whether this is Streamlit Community Cloud, where a restart loses the disk."""
    return HOSTED.is_dir()


def hide_folders(settings: Settings, text: str) -> str:
    """``text`` without the folders that this machine's files lie in, for who sits elsewhere. In
    ``local`` mode as it is.
    """
    if settings.mode == "local" or "/" not in text:
        return text
    places = {
        settings.home,
        settings.data,
        Path.home(),
        Path(sys.prefix),
        PROJECT,
        Path(tempfile.gettempdir()),
    } - {None, Path("/")}
    for place in sorted(
        (str(place.absolute()) for place in places if place), key=len, reverse=True
    ):
        text = text.replace(place, "…")
    return text


def cores() -> int:
    """Cores this process may use: the control group's quota where there is one, at least 1."""
    available = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quota = CGROUP_CPU.read_text().split() if CGROUP_CPU.is_file() else ["max"]
    return (
        available
        if quota[0] == "max"
        else max(1, min(available, round(int(quota[0]) / int(quota[1]))))
    )


def memory_mb() -> int:
    """Memory in MB that this machine or its control group offers."""
    import psutil  # noqa: PLC0415 - a worker asks for no memory and starts quicker without

    return min(psutil.virtual_memory().total, _limit()) // 2**20


def available_memory_mb() -> int:
    """Memory in MB that a new process can have right now; what the control group counts includes
    files it would give back.
    """
    import psutil  # noqa: PLC0415

    used = int(CGROUP_USED.read_text()) - _reclaimable() if CGROUP_USED.is_file() else 0
    return max(0, min(psutil.virtual_memory().available, _limit() - used)) // 2**20


def _limit() -> int:
    limit = CGROUP_LIMIT.read_text().strip() if CGROUP_LIMIT.is_file() else "max"
    return sys.maxsize if limit == "max" else int(limit)


def _reclaimable() -> int:
    """Bytes of files that the control group keeps in memory only as long as nobody needs it."""
    stat = CGROUP_USED.with_name("memory.stat")
    counts = dict(line.split() for line in stat.read_text().splitlines()) if stat.is_file() else {}
    return int(counts.get("inactive_file", 0)) + int(counts.get("active_file", 0))
