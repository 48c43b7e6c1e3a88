"""Read the files of an uploaded adapter, from a folder or a zip. Nothing is unpacked to disk, and
no pickle is opened.

Only six file names are read: safetensors, JSON, and JSON lines.
"""

import io
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from core.errors import DataError

ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"
LABELS, RUN, PREDICTIONS, MODEL = "labels.json", "run.json", "predictions.jsonl", "config.json"
JSON_BYTES, MOST_BYTES = 10_000_000, 500_000_000  # of a JSON file, and of weights or predictions
MOST_FILES, MOST_UNPACKED, MOST_RATIO = (
    2000,
    4_000_000_000,
    100,
)  # weights hardly shrink, texts to a fifth
ENTRY_BYTES = 500  # of a zip's directory for one file, its name included
END_MARK, ZIP64_MARK, LONGEST_END = (
    b"PK\x05\x06",
    b"PK\x06\x07",
    66_000,
)  # of a zip, whose end may hold a comment
USUAL_RATIO_BYTES = 1_000_000  # a small file of zeros harms nobody
DEPTH = 3  # of folders searched for the adapter
BAD_ZIP = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    RuntimeError,
    EOFError,
    OSError,
)  # zipfile's words for what it cannot read
AS_MADE = "Bring the zip as it was made here, or zip the adapter's folder alone."
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz"})
SAFE = (
    "Save the adapter again with save_pretrained, which writes adapter_model.safetensors, and leave"
    " out all pickles."
)


@dataclass(frozen=True, eq=False)
class AdapterArchive:
    """Content of the files that are read, by file name, and the name of the upload."""

    name: str
    files: Mapping[str, bytes]

    def find(self, name: str) -> bytes:
        """Return the content of a file. Raises DataError if it is missing."""
        if name not in self.files:
            raise DataError(
                f"{self.name} holds no {name}.",
                "Give a PEFT adapter folder, or a zip exported here.",
            )
        return self.files[name]


def read_archive(path: Path, most_bytes: int = MOST_BYTES) -> AdapterArchive:
    """Read the adapter in the folder or zip at ``path``. Raises DataError with the problem."""
    if path.is_dir():
        return _pick(path.resolve().name, _Folder(path), most_bytes)
    try:
        with path.open("rb") as file:
            return _read_zip(path.name, file, most_bytes)
    except OSError as error:
        raise DataError(
            f"{path} cannot be opened ({type(error).__name__}).", "Check the path."
        ) from error


def read_upload(name: str, data: bytes, most_bytes: int = MOST_BYTES) -> AdapterArchive:
    """Read the adapter in an uploaded zip. Raises DataError."""
    return _read_zip(name, io.BytesIO(data), most_bytes)


class _Folder:
    """Files of a folder by their names from there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        levels = ["/".join(["*"] * depth) for depth in range(1, DEPTH + 1)]
        return [
            found.relative_to(self.path).as_posix()
            for level in levels
            for found in sorted(self.path.glob(level))
            if found.is_file()
        ]

    def read(self, name: str, most: int) -> bytes:
        with (self.path / name).open("rb") as file:
            return file.read(most + 1)


class _Zip:
    """Files of a zip whose directory has been checked."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive

    def names(self) -> list[str]:
        return [entry.filename for entry in self.archive.infolist() if not entry.is_dir()]

    def read(self, name: str, most: int) -> bytes:
        with self.archive.open(name) as file:
            return file.read(most + 1)  # what the directory says of the size may be a lie


def _read_zip(name: str, file: IO[bytes], most_bytes: int) -> AdapterArchive:
    try:
        require_small_directory(name, file, MOST_FILES)
        with zipfile.ZipFile(file) as archive:
            check_entries(name, archive.infolist(), MOST_FILES)
            return _pick(name, _Zip(archive), most_bytes)
    except BAD_ZIP as error:
        message = f"{name} is neither a folder nor a zip that can be read ({type(error).__name__})."
        raise DataError(message, "Give a PEFT adapter folder, or a zip exported here.") from error


def require_small_directory(name: str, file: IO[bytes], most_files: int) -> None:
    """Raise DataError if the directory of a zip is too large for ``most_files``, before it is
    parsed into objects.
    """
    start = max(0, file.seek(0, io.SEEK_END) - LONGEST_END)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    end = tail.rfind(END_MARK)
    if end < 0 or len(tail) < end + 16:
        return  # no zip: whoever opens it says so
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    large = tail[max(0, end - 20) : end].startswith(
        ZIP64_MARK
    )  # tells other sizes elsewhere; for more than 4 GB or 65,535 files
    if large or size > most_files * ENTRY_BYTES:
        raise DataError(f"{name} holds more than {most_files:,} files.", AS_MADE)


def check_entries(name: str, entries: list[zipfile.ZipInfo], most_files: int) -> None:
    """Raise DataError if names, sizes or kinds of a zip's entries are not acceptable."""
    if len(entries) > most_files:
        raise DataError(
            f"{name} holds {len(entries):,} files; up to {most_files:,} are read.", AS_MADE
        )
    if len({entry.filename for entry in entries}) < len(entries):
        raise DataError(f"{name} holds two files of one name.", AS_MADE)
    for entry in entries:
        if problem := _problem(entry):
            raise DataError(f"{name} holds {_shown(entry.filename)}, {problem}.", AS_MADE)
    unpacked, packed = (
        sum(entry.file_size for entry in entries),
        sum(entry.compress_size for entry in entries),
    )
    bomb = unpacked > USUAL_RATIO_BYTES and unpacked > MOST_RATIO * max(packed, 1)
    bomb = bomb or any(
        entry.file_size > max(USUAL_RATIO_BYTES, MOST_RATIO * entry.compress_size)
        for entry in entries
    )
    if unpacked > MOST_UNPACKED or bomb:
        message = (
            f"{name} would unpack to {unpacked / 1e6:,.0f} MB from {packed / 1e6:,.1f} MB, which no"
            " model does."
        )
        raise DataError(message, AS_MADE)


def _problem(entry: zipfile.ZipInfo) -> str:
    parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
    if not parts or entry.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        return "a name that leads out of its folder"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "which is a link or a device"
    return "which is encrypted" if entry.flag_bits & 1 else ""


def _pick(name: str, source: "_Folder | _Zip", most_bytes: int) -> AdapterArchive:
    """Read the adapter's files; files about its run may be in the parent folder."""
    names = source.names()
    if pickles := [each for each in names if PurePosixPath(each).suffix.lower() in PICKLES]:
        message = (
            f"{name} holds {_shown(pickles[0])}, a pickle: such files can run code when they are"
            " opened, so none is."
        )
        raise DataError(message, SAFE)
    homes = sorted(
        {PurePosixPath(each).parent for each in names if PurePosixPath(each).name == CONFIG}
    )
    if not homes:
        message = f"{name} holds no adapter: there is no {CONFIG} in it."
        raise DataError(
            message, "Give a PEFT adapter folder, or a zip exported here as adapter or bundle."
        )
    if len(homes) > 1:
        raise DataError(f"{name} holds {len(homes)} adapters.", "Give the folder of one of them.")
    there, found = set(names), {}
    for wanted in (ADAPTER, CONFIG, LABELS, RUN, PREDICTIONS, MODEL):
        for place in _places(homes[0], wanted):
            if place in there:
                found[wanted] = _bounded(
                    source, place, most_bytes if wanted in (ADAPTER, PREDICTIONS) else JSON_BYTES
                )
                break
    return AdapterArchive(name, found)


def _places(home: PurePosixPath, name: str) -> Iterator[str]:
    yield str(home / name)
    if name in (LABELS, RUN, PREDICTIONS) and home.parts:
        yield str(home.parent / name)


def _bounded(source: "_Folder | _Zip", name: str, most: int) -> bytes:
    data = source.read(name, most)
    if len(data) > most:
        raise DataError(
            f"{_shown(name)} has more than {most / 1e6:,.0f} MB.",
            "Use the command line: python -m core import PATH.",
        )
    return data


def _shown(name: str) -> str:
    """Return an untrusted name, shortened and on one line."""
    return repr(name if len(name) <= 80 else f"{name[:77]}…")
