"""Read the files of an uploaded adapter from a folder or a zip.

Nothing is unpacked to disk, and no pickle is opened. Only listed file names are read: safetensors,
JSON, JSON lines, and the vocabularies of tokenizers.
"""

import io
import stat
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from core.errors import DataError
from core.translation import mark

ADAPTER, CONFIG = "adapter_model.safetensors", "adapter_config.json"
LABELS, RUN, PREDICTIONS, MODEL = "labels.json", "run.json", "predictions.jsonl", "config.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
ADDED_TOKENS = "added_tokens.json"
VOCABULARIES = frozenset(  # files of tokenizers with tokens, in addition to tokenizer.json
    {
        ADDED_TOKENS,
        TOKENIZER_CONFIG,
        "sentencepiece.bpe.model",
        "spiece.model",
        "vocab.json",
        "vocab.txt",
    }
)
READ = (ADAPTER, CONFIG, LABELS, RUN, PREDICTIONS, MODEL, TOKENIZER, *sorted(VOCABULARIES))
TOKENIZER_BYTES = 50_000_000  # limit of a file of a tokenizer; that of XLM-R has 17 MB
JSON_BYTES = 10_000_000  # limit of a JSON file
MOST_BYTES = 500_000_000  # limit of weights or predictions
MOST_FILES, MOST_UNPACKED = 2000, 4_000_000_000
MOST_RATIO = 100  # of unpacked to packed size: weights hardly shrink, texts shrink to a fifth
ENTRY_BYTES = 500  # size of one entry in a zip's directory, including the file name
END_MARK, ZIP64_MARK = b"PK\x05\x06", b"PK\x06\x07"
LONGEST_END = 66_000  # bytes of a zip's end record, which may hold a comment
USUAL_RATIO_BYTES = 1_000_000  # smaller files may have any ratio: they are harmless
DEPTH = 3  # folder levels searched for the adapter
BAD_ZIP = (  # raised by zipfile for files that it cannot read
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    RuntimeError,
    EOFError,
    OSError,
)
UNCHANGED = mark("Upload the exported zip unchanged, or zip only the adapter's folder.")
OTHER_ZIP = mark("Choose a PEFT adapter folder, or a zip exported from LoRA Lab.")
PICKLES = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz"})
SAFE = mark(
    "Save the adapter again with save_pretrained, which writes adapter_model.safetensors, and"
    " remove all pickle files."
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
                mark("{archive} contains no {file}."), OTHER_ZIP, archive=self.name, file=name
            )
        return self.files[name]


def read_archive(path: Path, most_bytes: int = MOST_BYTES) -> AdapterArchive:
    """Read the adapter in the folder or zip at ``path``. Raises DataError."""
    if path.is_dir():
        return _read_adapter_files(path.resolve().name, _Folder(path), most_bytes)
    try:
        with path.open("rb") as file:
            return _read_zip(path.name, file, most_bytes)
    except OSError as error:
        raise DataError(
            mark("{path} cannot be opened ({cause})."),
            mark("Check the path."),
            path=path,
            cause=type(error).__name__,
        ) from error


def read_upload(name: str, data: bytes, most_bytes: int = MOST_BYTES) -> AdapterArchive:
    """Read the adapter in an uploaded zip. Raises DataError."""
    return _read_zip(name, io.BytesIO(data), most_bytes)


class _Folder:
    """Files of a folder, by their paths relative to it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        levels = ["/".join(["*"] * depth) for depth in range(1, DEPTH + 1)]
        return [
            path.relative_to(self.path).as_posix()
            for level in levels
            for path in sorted(self.path.glob(level))
            if path.is_file()
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
            return file.read(most + 1)  # the size in the zip's directory may be wrong


def _read_zip(name: str, file: IO[bytes], most_bytes: int) -> AdapterArchive:
    try:
        require_small_directory(name, file, MOST_FILES)
        with zipfile.ZipFile(file) as archive:
            check_entries(name, archive.infolist(), MOST_FILES)
            return _read_adapter_files(name, _Zip(archive), most_bytes)
    except BAD_ZIP as error:
        raise DataError(
            mark("{archive} is not a readable zip file ({cause})."),
            OTHER_ZIP,
            archive=name,
            cause=type(error).__name__,
        ) from error


def require_small_directory(name: str, file: IO[bytes], most_files: int) -> None:
    """Raise DataError if a zip's directory is too large for ``most_files``.

    Checked before the directory is parsed into objects.
    """
    start = max(0, file.seek(0, io.SEEK_END) - LONGEST_END)
    file.seek(start)
    tail = file.read()
    file.seek(0)
    end = tail.rfind(END_MARK)
    if end < 0 or len(tail) < end + 16:
        return  # not a zip: opening it will raise
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    # zip64 stores the sizes elsewhere; it is for more than 4 GB or 65,535 files
    large = tail[max(0, end - 20) : end].startswith(ZIP64_MARK)
    if large or size > most_files * ENTRY_BYTES:
        raise DataError(
            mark("{archive} contains more than {most:,} files."),
            UNCHANGED,
            archive=name,
            most=most_files,
        )


def check_entries(name: str, entries: list[zipfile.ZipInfo], most_files: int) -> None:
    """Raise DataError if the names, sizes or types of a zip's entries are not acceptable."""
    if len(entries) > most_files:
        raise DataError(
            mark("{archive} contains {n:,} files; the limit is {most:,}."),
            UNCHANGED,
            archive=name,
            n=len(entries),
            most=most_files,
        )
    if len({entry.filename for entry in entries}) < len(entries):
        raise DataError(
            mark("{archive} contains two files with the same name."), UNCHANGED, archive=name
        )
    for entry in entries:
        if problem := _find_problem(entry):
            raise DataError(problem, UNCHANGED, archive=name, file=_quote(entry.filename))
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
        raise DataError(
            mark(
                "{archive} would unpack from {packed:,.1f} MB to {unpacked:,.0f} MB, which is not"
                " plausible for a model."
            ),
            UNCHANGED,
            archive=name,
            packed=packed / 1e6,
            unpacked=unpacked / 1e6,
        )


def _find_problem(entry: zipfile.ZipInfo) -> str:
    parts = PurePosixPath(entry.filename.replace("\\", "/")).parts
    if not parts or entry.filename.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        return mark("{archive} contains {file}, a path outside the zip's own folder.")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return mark("{archive} contains {file}, which is a link or a device.")
    return mark("{archive} contains {file}, which is encrypted.") if entry.flag_bits & 1 else ""


def _read_adapter_files(name: str, source: "_Folder | _Zip", most_bytes: int) -> AdapterArchive:
    """Read the adapter's files; files that describe its run may be in the parent folder."""
    names = source.names()
    if pickles := [each for each in names if PurePosixPath(each).suffix.lower() in PICKLES]:
        raise DataError(
            mark(
                "{archive} contains {file}, a pickle file. Opening one can run code, so archives"
                " with pickles are rejected."
            ),
            SAFE,
            archive=name,
            file=_quote(pickles[0]),
        )
    homes = sorted(
        {PurePosixPath(each).parent for each in names if PurePosixPath(each).name == CONFIG}
    )
    if not homes:
        raise DataError(
            mark("{archive} contains no adapter: {file} is missing."),
            mark(
                "Choose a PEFT adapter folder, or a zip that LoRA Lab exported as an adapter or as"
                " everything in one zip."
            ),
            archive=name,
            file=CONFIG,
        )
    if len(homes) > 1:
        raise DataError(
            mark("{archive} contains {n} adapters."),
            mark("Choose the folder of one."),
            archive=name,
            n=len(homes),
        )
    existing, files = set(names), {}
    for file_name in READ:
        limit = most_bytes if file_name in (ADAPTER, PREDICTIONS) else JSON_BYTES
        limit = TOKENIZER_BYTES if file_name in (TOKENIZER, *VOCABULARIES) else limit
        for path in _candidate_paths(homes[0], file_name):
            if path in existing:
                files[file_name] = _read_bounded(source, path, limit)
                break
    return AdapterArchive(name, files)


def _candidate_paths(home: PurePosixPath, name: str) -> Iterator[str]:
    yield str(home / name)
    if name in (LABELS, RUN, PREDICTIONS) and home.parts:
        yield str(home.parent / name)


def _read_bounded(source: "_Folder | _Zip", name: str, most: int) -> bytes:
    data = source.read(name, most)
    if len(data) > most:
        raise DataError(
            mark("{file} is larger than {most:,.0f} MB."),
            mark("Import it on the command line: python -m core import PATH."),
            file=_quote(name),
            most=most / 1e6,
        )
    return data


def _quote(name: str) -> str:
    """Quote an untrusted name on one line, shortened."""
    return repr(name if len(name) <= 80 else f"{name[:77]}…")
