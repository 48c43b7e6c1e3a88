"""Choose the data source: a folder, AG News from the Hub, or the demo corpus, in this order.

Reads no texts and imports no ML library.
"""

import hashlib
import json
import os
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from core.data.hub import hub_reachable
from core.errors import DataError
from core.settings import Settings
from core.translation import mark

HUB_ID = "fancyzhx/ag_news"
HUB_REVISION = "eb185aade064a813bc0b7f42de02595523103ca4"
AG_NEWS_CLASSES = ("World", "Sports", "Business", "Sci/Tech")
AG_NEWS_TEST_ROWS = 7600
DEMO_FOLDER = Path(__file__).parents[1] / "demo" / "corpus"
DEMO_FILES = dict(
    zip(AG_NEWS_CLASSES, ("world.txt", "sports.txt", "business.txt", "scitech.txt"), strict=True)
)
FORMATS = (".parquet", ".csv", ".tsv", ".jsonl")
OTHER_FORMATS = (".json", ".ndjson")  # only where no file has one of ``FORMATS``
# of tables that are called by their split, in one folder; others may be texts
TEXT_FORMATS = (".txt", ".text", ".tab", ".dat", ".data")
METADATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
SAVED_CARD = "saved.json"
LONGEST_NAME = 255  # bytes: file systems refuse longer names
# the depth of the Hugging Face layout; limits the search of a home folder given by mistake
LEVELS = ("*", "*/*", "*/*/*")

Split = Literal["train", "validation", "test"]
# words that identify splits in file and folder names, as in datasets
SPLIT_WORDS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


class SourceKind(StrEnum):
    """The kind of a data source."""

    FOLDER = "folder"
    HUB = "hub"
    DEMO = "demo"
    SAVED = "saved"
    IMPORTED = "imported"  # named by an imported run; the rows are not on this machine


@dataclass(frozen=True, slots=True)
class Source:
    """A data source. ``note`` says in one line why it was chosen, if that is not obvious."""

    kind: SourceKind
    name: str
    folder: Path | None = None
    note: str = field(default="", compare=False)


def saved_source(settings: Settings, name: str) -> Source | None:
    """Find the dataset saved as ``name``, or None."""
    safe = (
        name == Path(name).name
        and not name.startswith(".")
        and len(name.encode(errors="replace")) <= LONGEST_NAME
    )
    folder = settings.datasets / name
    return (
        Source(SourceKind.SAVED, name, folder.absolute())
        if safe and (folder / SAVED_CARD).is_file()
        else None
    )


def named_source(settings: Settings, data: str) -> Source:
    """Resolve ``--data``: a saved dataset, otherwise a folder; ``./name`` is always a folder.
    Raises DataError.
    """
    if saved := saved_source(settings, data):
        return saved
    folder = Path(data).expanduser().absolute()
    if not folder.exists() and Path(data).name == data:
        raise DataError(
            f"There is neither a saved dataset nor a folder {data!r}.",
            "List saved datasets with `python -m core data list`.",
        )
    return find_source(settings, folder)


def find_source(settings: Settings, data: Path | None = None) -> Source:
    """Choose the folder ``data`` or ``LORALAB_DATA``, otherwise AG News if it is cached or the Hub
    answers, otherwise the demo corpus.

    Raises DataError if the folder is missing or has no data files.
    """
    folder = data or settings.data
    if folder is not None:
        return folder_source(folder)
    hub = Source(SourceKind.HUB, "AG News")
    if (
        pointer_path(settings, hub).exists()
        or hub_snapshot() is not None
        or hub_reachable(settings)
    ):
        return hub
    return demo_source(
        mark("The Hub cannot be reached, so the demo corpus is used.")
        if settings.hub
        else mark("The Hub is switched off, so the demo corpus is used.")
    )


def demo_source(note: str = "") -> Source:
    """Return the embedded demo corpus as a source."""
    return Source(SourceKind.DEMO, "Demo corpus", None, note)


def folder_source(folder: Path) -> Source:
    """Return the data in ``folder`` as a source. Raises DataError if it is missing or has no data
    files.
    """
    folder = folder.expanduser().absolute()
    splits = data_files(folder)
    name = dataset_name(
        _read_schema_classes(splits["train"][0]), folder, _count_test_rows(splits.get("test", []))
    )
    return Source(SourceKind.FOLDER, name, folder)


def data_files(folder: Path) -> dict[Split, list[Path]]:
    """List the data files of each split, identified by the words train, validation and test in
    their paths.

    Files are train if no path contains such a word. Raises DataError.
    """
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(
            f"The data folder {folder} {problem}.",
            "Check --data or LORALAB_DATA, or omit it to use AG News or the demo corpus.",
        )
    all_files = _list_data_files(folder)
    splits: dict[Split, list[Path]] = {}
    for path in all_files:
        if split := split_of(path.relative_to(folder)):
            splits.setdefault(split, []).append(path)
    splits = splits or ({"train": all_files} if all_files else {})
    _check_files(folder, splits)
    return splits


def dataset_name(classes: Collection[str], folder: Path | None, test_rows: int) -> str:
    """Return ``AG News`` if the classes and either the test size or the folder name match,
    otherwise the folder name.
    """
    name = "" if folder is None else folder.resolve().name or str(folder)
    looks_like_ag_news = test_rows == AG_NEWS_TEST_ROWS or "agnews" in re.sub(
        r"[^a-z]", "", name.lower()
    )
    return "AG News" if looks_like_ag_news and set(classes) == set(AG_NEWS_CLASSES) else name


def source_key(source: Source) -> str:
    """Compute a key that changes when the rows may have changed.

    It covers path, size and time of each file, the pinned revision, or the content of the demo
    corpus. Raises DataError if the data is not on this machine.
    """
    parts: list[object] = [source.kind]
    if source.kind is SourceKind.IMPORTED:
        raise DataError(
            f"The data {source.name!r} of an imported run is not on this machine.",
            "Choose other data.",
        )
    if source.kind is SourceKind.HUB:
        parts += [HUB_ID, HUB_REVISION]
    elif source.folder is None:
        parts += [
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(DEMO_FOLDER.glob("*.txt"))
        ]
    else:
        if source.kind is SourceKind.SAVED and not source.folder.is_dir():
            raise DataError(
                f"The dataset {source.name!r} was deleted.",
                "Choose other data, or add it again under this name.",
            )
        splits = data_files(source.folder)
        stats = [(path, path.stat()) for paths in splits.values() for path in paths]
        parts += [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in stats]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def pointer_path(settings: Settings, source: Source) -> Path:
    """Path of the file that stores the fingerprint of the dataset prepared from ``source``."""
    return settings.prepared / "sources" / f"{source_key(source)}.json"


def hub_snapshot() -> Path | None:
    """Find the complete AG News snapshot at the pinned revision in the local Hub cache, or None."""
    home = Path(
        os.environ.get("HF_HOME")
        or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    )
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    folder = cache / f"datasets--{HUB_ID.replace('/', '--')}" / "snapshots" / HUB_REVISION
    complete = all(any(folder.glob(f"data/{split}-*.parquet")) for split in ("train", "test"))
    return folder if complete else None


def _list_data_files(folder: Path) -> list[Path]:
    paths = [
        path
        for level in LEVELS
        for path in sorted(folder.glob(level))
        if not any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
        and path.name not in METADATA
        and path.is_file()
    ]
    for formats in (FORMATS, OTHER_FORMATS):
        if files := [path for path in paths if path.suffix.lower() in formats]:
            return sorted(files)
    tables = [
        path
        for path in paths
        if path.suffix.lower() in TEXT_FORMATS and split_of(Path(path.name)) is not None
    ]
    return sorted(tables) if len({path.parent for path in tables}) == 1 else []


def has_data_files(folder: Path) -> bool:
    """Whether a folder holds a file in one of ``FORMATS`` or ``OTHER_FORMATS``, or tables of text
    that are called by their split.
    """
    return bool(_list_data_files(folder))


def split_of(path: Path) -> Split | None:
    """Parse the split from a word in the path; the file name takes precedence."""
    for part in (path.stem, *reversed(path.parts[:-1])):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word]
    return None


def _check_files(folder: Path, splits: dict[Split, list[Path]]) -> None:
    example = "for example train.csv and test.csv with the columns text and label."
    if not splits:
        raise DataError(
            f"The folder {folder} contains no .parquet, .csv, .tsv, .jsonl or .json file.",
            f"Put the data there, {example}",
        )
    all_files = [path for paths in splits.values() for path in paths]
    if "train" not in splits:
        raise DataError(
            f"The folder {folder} has no training file; found {all_files[0].name}.",
            f"Name the files by their split, {example}",
        )
    formats = {path.suffix.lower(): path.name for path in all_files}
    if len(formats) > 1:
        raise DataError(
            f"The folder {folder} mixes formats: {', '.join(formats.values())}.",
            "Keep files of one format only.",
        )


def _read_schema_classes(path: Path) -> tuple[str, ...]:
    """Read the class names that ``datasets`` stores in a Parquet schema; empty for other files."""
    if path.suffix.lower() != ".parquet":
        return ()
    import pyarrow.parquet  # noqa: PLC0415 - takes half a second, and only these files need it

    try:
        written = (pyarrow.parquet.read_schema(path).metadata or {}).get(b"huggingface", b"{}")
        return tuple(json.loads(written)["info"]["features"]["label"]["names"])
    # errors are reported when the rows are read
    except (OSError, ValueError, KeyError, TypeError, pyarrow.ArrowException):
        return ()


def _count_test_rows(paths: list[Path]) -> int:
    if not paths or paths[0].suffix.lower() != ".parquet":
        return 0
    import pyarrow.parquet  # noqa: PLC0415 - as above

    try:
        return sum(pyarrow.parquet.read_metadata(path).num_rows for path in paths)
    except (OSError, pyarrow.ArrowException):
        return 0
