"""Settings from ``LORALAB_*`` environment variables, and this machine's cores and memory."""

import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import ConfigError, NotAllowed

YES, NO = ("1", "true", "yes", "on", "y", "t"), ("0", "false", "no", "off", "n", "f")
MODES = ("local", "classroom", "public")
PROJECT = Path(__file__).parents[1]  # the checkout, or site-packages of an installed copy
# app folder of Streamlit Community Cloud, where all visitors are remote
HOSTED = Path("/mount/src")
BUNDLED_RUNS = PROJECT / "core" / "demo" / "runs"  # one folder per bundled run
CGROUP = Path("/sys/fs/cgroup")  # limits of the control group, version 2


def _variable(name: str) -> str:
    return os.environ.get(f"LORALAB_{name}", "")  # an empty value counts as not set


def _folder(name: str) -> Path | None:
    return _path_of(f"LORALAB_{name}")


def _path_of(variable: str) -> Path | None:
    text = os.environ.get(variable, "")
    return Path(text).expanduser() if text else None


def _folders(name: str) -> tuple[Path, ...] | None:
    """Return the absolute folders of a list as in ``PATH``, none for ``false``, None if not set."""
    text = _variable(name)
    if not text:
        return None
    if text.lower() in NO:
        return ()
    folders = tuple(Path(part).expanduser() for part in text.split(os.pathsep) if part)
    if not all(folder.is_absolute() for folder in folders):
        raise ConfigError(
            f"LORALAB_{name} is {text!r}.",
            f"Set it to absolute folders, separated by {os.pathsep!r}, or to false.",
        )
    return folders


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


def _count(name: str, highest: int, lowest: int = 0, otherwise: int = 0) -> int:
    text = _variable(name) or str(otherwise)
    if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
        raise ConfigError(
            f"LORALAB_{name} is {text!r}.", f"Set it to an integer from {lowest} to {highest}."
        )
    return int(text)


@dataclass(frozen=True)
class Settings:
    """Settings of the server; values that are not given are read from the environment.

    Not a pydantic model: importing pydantic takes longer than everything else that a worker does
    before its job. Raises ConfigError.
    """

    # database, runs, prepared data
    home: Path = field(default_factory=lambda: _folder("HOME") or Path.home() / ".loralab")
    # local dataset folder; wins over the Hub
    data: Path | None = field(default_factory=lambda: _folder("DATA"))
    # default base model of the form
    model: str = field(default_factory=lambda: _variable("MODEL") or "minilm")
    # whether the Hugging Face Hub may be used
    hub: bool = field(default_factory=lambda: _switch("HUB", True))
    # threads per training; 0 uses all cores
    threads: int = field(default_factory=lambda: _count("THREADS", 256))
    # folders below which a browser may name files; None: those of ``readable_folders``
    paths: tuple[Path, ...] | None = field(default_factory=lambda: _folders("PATHS"))
    # core/access.py
    mode: str = field(
        default_factory=lambda: _one_of("MODE", MODES, "public" if is_hosted() else "local")
    )
    # of students; generated if not given
    class_code: str = field(default_factory=lambda: _variable("CLASS_CODE"))
    teacher_code: str = field(default_factory=lambda: _variable("TEACHER_CODE"))
    # in local mode, part of the first address; ``auto`` generates one at the start of the server
    token: str = field(default_factory=lambda: _variable("TOKEN"))
    # sign-in ids of teachers: core/people/openid.py
    teachers: tuple[str, ...] = field(default_factory=lambda: _list("TEACHERS"))
    # who may join by signing in; everyone if empty
    students: tuple[str, ...] = field(default_factory=lambda: _list("STUDENTS"))
    # whether guests of a public page may start a Taste run
    guest_taste: bool = field(default_factory=lambda: _switch("GUEST_TASTE", False))
    # pages that may be open at the same time, and those of one address: ui/app/request_guard.py
    pages: int = field(default_factory=lambda: _count("PAGES", 10_000, 1, 240))
    pages_of_address: int = field(
        default_factory=lambda: _count("PAGES_OF_ADDRESS", 10_000, 1, 120)
    )
    # whether queueing a job starts the supervisor; false if a service manager runs it
    supervise: bool = field(default_factory=lambda: _switch("SUPERVISE", True))
    # whether the server reads the database once per change for all visitors
    snapshot: bool = field(default_factory=lambda: _switch("SNAPSHOT", True))
    # for tests: module with ``prepare(store)`` and ``run(context)`` in place of the training worker
    train_module: str = field(default_factory=lambda: _variable("TRAIN_MODULE"))
    # seconds that count as measured: core/storage/machine_speed.py
    stopwatch: str = field(default_factory=lambda: _variable("STOPWATCH"))
    # runs that a new home starts with
    bundled_runs: Path = BUNDLED_RUNS
    # how long a write to the database waits for another process's write
    busy_seconds: float = 10

    @property
    def database(self) -> Path:
        """SQLite file with jobs and metrics."""
        return self.home / "loralab.db"

    @property
    def jobs(self) -> Path:
        """Folder with one folder per job."""
        return self.home / "jobs"

    @property
    def prepared(self) -> Path:
        """Folder with one folder per prepared dataset."""
        return self.home / "data"

    @property
    def datasets(self) -> Path:
        """Folder with one folder per saved dataset."""
        return self.home / "datasets"

    @property
    def activations(self) -> Path:
        """Folder of stored outputs of frozen layers."""
        return self.home / "activations"

    @property
    def readable_folders(self) -> tuple[Path, ...]:
        """Folders below which a browser may name files, without links.

        By default in local mode: the user's home folder, the folder in which the server was
        started, ``LORALAB_DATA``, and the cache of the Hub; otherwise none.
        """
        folders = self.paths
        if folders is None:
            hub_cache = _path_of("HF_HOME") or Path.home() / ".cache" / "huggingface"
            usual = (Path.home(), Path.cwd(), self.data, hub_cache)
            folders = tuple(filter(None, usual)) if self.mode == "local" else ()
            # an account without a home folder has / as its own
            folders = tuple(folder for folder in folders if folder.resolve() != Path("/"))
        return tuple(dict.fromkeys(folder.resolve() for folder in folders))

    @property
    def used_threads(self) -> int:
        """Number of threads per training."""
        return self.threads or count_cores()


def is_hosted() -> bool:
    """Return whether a restart loses the disk, as on Streamlit Community Cloud."""
    return _switch("HOSTED", HOSTED.is_dir())


def find_readable(settings: Settings, path: str | Path) -> Path:
    """Return a path that a browser names, absolute and without links.

    Raises NotAllowed unless it is below one of ``readable_folders``, and not hidden there. Raises
    ValueError for a path that no file can have.
    """
    folders = settings.readable_folders
    found_at = Path(os.path.realpath(os.path.expanduser(path)))
    for folder in folders:
        if found_at.is_relative_to(folder):
            hidden = any(part.startswith(".") for part in found_at.relative_to(folder).parts)
            if not hidden:
                return found_at
    local = settings.mode == "local"
    listed = ", ".join(map(str, folders)) if local and folders else ""
    raise NotAllowed(
        "{path} is not below a folder that this server may read for a browser ({folders}, without"
        " hidden folders)."
        if listed
        else "{path} is not below a folder that this server may read for a browser.",
        "Copy it there, upload it, or start the server with its folder in LORALAB_PATHS."
        if local
        else "Upload it, or ask the administrator to add its folder to LORALAB_PATHS.",
        path=path,
        folders=listed,
    )


def hide_folders(settings: Settings, text: str) -> str:
    """Replace this machine's folders in ``text`` for remote visitors; no change in ``local``
    mode.
    """
    if settings.mode == "local" or "/" not in text:
        return text
    folders = {
        settings.home,
        settings.data,
        Path.home(),
        Path(sys.prefix),
        PROJECT,
        Path(tempfile.gettempdir()),
    } - {None, Path("/")}
    paths = (str(folder.absolute()) for folder in folders if folder)
    for path in sorted(paths, key=len, reverse=True):
        text = text.replace(path, "…")
    return text


def find_cgroup() -> Path:
    """Return the folder with the limits of this process's control group; it may be missing."""
    return _folder("CGROUP") or CGROUP


def count_cores() -> int:
    """Return the cores this process may use, limited by the control group's quota; at least 1."""
    available = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    quota = (_read_limit("cpu.max") or "max").split()
    return (
        available
        if quota[0] == "max"
        else max(1, min(available, round(int(quota[0]) / int(quota[1]))))
    )


def read_memory_mb() -> int:
    """Return the total memory in MB of this machine or its control group."""
    import psutil  # noqa: PLC0415 - a worker does not need it and starts faster without

    return min(psutil.virtual_memory().total, _read_memory_limit()) // 2**20


def read_available_memory_mb() -> int:
    """Return the memory in MB available to a new process, including reclaimable file cache."""
    import psutil  # noqa: PLC0415

    current = _read_limit("memory.current")
    used = int(current) - _count_reclaimable() if current else 0
    return max(0, min(psutil.virtual_memory().available, _read_memory_limit() - used)) // 2**20


def _read_memory_limit() -> int:
    limit = _read_limit("memory.max") or "max"
    return sys.maxsize if limit == "max" else int(limit)


def _count_reclaimable() -> int:
    """Return the bytes of file cache that the control group would release."""
    counts = dict(line.split() for line in _read_limit("memory.stat").splitlines())
    return int(counts.get("inactive_file", 0)) + int(counts.get("active_file", 0))


def _read_limit(name: str) -> str:
    """Return the content of a file of the control group; empty if there is none."""
    path = find_cgroup() / name
    return path.read_text().strip() if path.is_file() else ""
