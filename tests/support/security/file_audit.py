"""Record the files that this process opens and the pickles it loads, with an audit hook."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[3]
READS = frozenset(
    {
        "open",
        "os.listdir",
        "os.scandir",
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "shutil.rmtree",
        "sqlite3.connect",
    }
)
CODE = tuple(
    map(
        str,
        (
            ROOT / "core",
            ROOT / "ui",
            ROOT / "pages",
            ROOT / "tests",
            ROOT / "docs" / "glossary.md",
            ROOT / "Home.py",
            ROOT / ".streamlit",
            sys.prefix,
        ),
    )
)
SECRETS = str(
    Path.home() / ".streamlit" / "secrets.toml"
)  # where Streamlit looks for what a sign-in is configured with
MACHINE = (
    *CODE,
    SECRETS,
    sys.base_prefix,
    os.path.dirname(os.__file__),
    "/proc/",
    "/sys/",
    "/usr/share/",
    "/etc/localtime",
    "/etc/mime.types",
    str(Path(tempfile.gettempdir()) / "lora-lab-turns-"),  # of core/inference/process.py
    "/usr/lib/",
)
DEVICES = "/dev/"
TEMPORARY = str(Path(tempfile.gettempdir()))  # of the tests' files; .ci/run has it in /dev/shm
_paths: list[str] | None = None
_pickles: list[str] | None = None


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if (
        _paths is not None
        and event in READS
        and arguments
        and isinstance(arguments[0], str | bytes | os.PathLike)
    ):
        _paths.append(os.path.abspath(_file_of(os.fsdecode(arguments[0]))))
    if _pickles is not None and event == "pickle.find_class":
        _pickles.append(f"{arguments[0]}.{arguments[1]}")


def _file_of(name: str) -> str:
    """Return the path of a database address without its mode."""
    return unquote(urlsplit(name).path) if name.startswith("file:") else name


sys.addaudithook(_watch)


@contextmanager
def opened_elsewhere(*homes: Path) -> Iterator[list[str]]:
    """Record the paths opened, listed, moved or removed outside ``homes`` and installed code."""
    global _paths
    result: list[str] = []
    _paths = []
    try:
        yield result
    finally:
        seen, _paths = _paths, None
        allowed = (*map(str, homes), *MACHINE)
        result += [path for path in seen if not path.startswith(allowed) and not _is_device(path)]


def _is_device(path: str) -> bool:
    return path.startswith(DEVICES) and not path.startswith(TEMPORARY)


@contextmanager
def pickles_loaded() -> Iterator[list[str]]:
    """Record the globals that pickles name while they are loaded."""
    global _pickles
    result: list[str] = []
    _pickles = result
    try:
        yield result
    finally:
        _pickles = None
