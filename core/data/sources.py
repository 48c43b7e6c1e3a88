"""Which data is used: a folder, AG News from the Hub, or the embedded demo corpus, in this order.
Reads no texts and loads no ML.
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

HUB_ID = "fancyzhx/ag_news"
HUB_REVISION = "eb185aade064a813bc0b7f42de02595523103ca4"
AG_NEWS_CLASSES = ("World", "Sports", "Business", "Sci/Tech")
AG_NEWS_TEST_ROWS = 7600
DEMO_FOLDER = Path(__file__).parents[1] / "demo" / "corpus"
FORMATS = (".parquet", ".csv", ".jsonl")
SAVED_CARD = "saved.json"
LONGEST_NAME = 255  # bytes of a file's name: a system refuses to look for a longer one
LEVELS = (
    "*",
    "*/*",
    "*/*/*",
    # as deep as the Hugging Face layout goes; a home folder given by mistake is not searched to its
    # end
)

Split = Literal["train", "validation", "test"]
SPLIT_WORDS: dict[
    str, Split
] = {  # the words by which datasets tells splits apart in names of files and folders
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


class SourceKind(StrEnum):
    """Where rows come from."""

    FOLDER = "folder"
    HUB = "hub"
    DEMO = "demo"
    SAVED = "saved"
    IMPORTED = "imported"  # told by an imported run; the rows are elsewhere


@dataclass(frozen=True, slots=True)
class Source:
    """The data that is or will be used. ``note`` says in one line why, where that is not plain."""

    kind: SourceKind
    name: str
    folder: Path | None = None
    note: str = field(default="", compare=False)


def saved_source(settings: Settings, name: str) -> Source | None:
    """The dataset that was saved under ``name``, or None."""
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
    """What ``--data`` names: a saved dataset, otherwise a folder; ``./name`` is always a folder.
    Raises DataError.
    """
    if found := saved_source(settings, data):
        return found
    folder = Path(data).expanduser().absolute()
    if not folder.exists() and Path(data).name == data:
        raise DataError(
            f"There is neither a saved dataset nor a folder {data!r}.",
            "`python -m core data list` shows the saved ones.",
        )
    return find_source(settings, folder)


def find_source(settings: Settings, data: Path | None = None) -> Source:
    """The folder ``data`` or ``LORALAB_DATA``, else AG News if it is here or the Hub answers, else
    the demo corpus.

    Raises DataError if the folder is missing or holds no data files.
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
    why = "The Hub cannot be reached" if settings.hub else "The Hub is switched off"
    return demo_source(f"{why}, so the demo corpus is used.")


def demo_source(note: str = "") -> Source:
    """The embedded demo corpus."""
    return Source(SourceKind.DEMO, "Demo corpus", None, note)


def folder_source(folder: Path) -> Source:
    """The data in ``folder``. Raises DataError if it is missing or holds no data files."""
    folder = folder.expanduser().absolute()
    splits = data_files(folder)
    name = dataset_name(
        _classes_in_schema(splits["train"][0]), folder, _test_rows(splits.get("test", []))
    )
    return Source(SourceKind.FOLDER, name, folder)


def data_files(folder: Path) -> dict[Split, list[Path]]:
    """Data files of each split, told apart by the words train, validation and test in their paths;
    files without any are train.
    """
    if not folder.is_dir():
        fault = "is a file, not a folder" if folder.exists() else "does not exist"
        raise DataError(
            f"The data folder {folder} {fault}.",
            "Check --data or LORALAB_DATA, or leave it out to use AG News or the demo corpus.",
        )
    every = sorted(
        path for level in LEVELS for path in folder.glob(level) if _is_data_file(path, folder)
    )
    splits: dict[Split, list[Path]] = {}
    for path in every:
        if split := split_of(path.relative_to(folder)):
            splits.setdefault(split, []).append(path)
    splits = splits or ({"train": every} if every else {})
    _check_files(folder, splits)
    return splits


def dataset_name(classes: Collection[str], folder: Path | None, test_rows: int) -> str:
    """``AG News`` if classes and either the size of the test split or the folder's name say so,
    otherwise the folder's name.
    """
    name = "" if folder is None else folder.resolve().name or str(folder)
    looks_so = test_rows == AG_NEWS_TEST_ROWS or "agnews" in re.sub(r"[^a-z]", "", name.lower())
    return "AG News" if looks_so and set(classes) == set(AG_NEWS_CLASSES) else name


def source_key(source: Source) -> str:
    """Changes when the rows may have changed: by path, size and time of each file, pinned revision,
    or content of the demo corpus.
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
    """The small file that says which prepared dataset belongs to ``source``."""
    return settings.prepared / "sources" / f"{source_key(source)}.json"


def hub_snapshot() -> Path | None:
    """The folder of AG News in the Hub cache of this machine, at the pinned revision and complete,
    or None.
    """
    home = Path(
        os.environ.get("HF_HOME")
        or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface"
    )
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()
    folder = cache / f"datasets--{HUB_ID.replace('/', '--')}" / "snapshots" / HUB_REVISION
    complete = all(any(folder.glob(f"data/{split}-*.parquet")) for split in ("train", "test"))
    return folder if complete else None


def _is_data_file(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith((".", "__")) for part in path.relative_to(folder).parts)
    return path.suffix.lower() in FORMATS and not hidden and path.is_file()


def split_of(path: Path) -> Split | None:
    """The split that a word in the path names; the file's own name counts first."""
    for part in (path.stem, *reversed(path.parts[:-1])):
        for word in re.split(r"[^a-z]+", part.lower()):
            if word in SPLIT_WORDS:
                return SPLIT_WORDS[word]
    return None


def _check_files(folder: Path, splits: dict[Split, list[Path]]) -> None:
    example = "for example train.csv and test.csv with the columns text and label."
    if not splits:
        raise DataError(
            f"The folder {folder} holds no .parquet, .csv or .jsonl file.",
            f"Put the data there, {example}",
        )
    found = [path for paths in splits.values() for path in paths]
    if "train" not in splits:
        raise DataError(
            f"The folder {folder} has no training file; found {found[0].name}.",
            f"Name the files by their split, {example}",
        )
    formats = {path.suffix.lower(): path.name for path in found}
    if len(formats) > 1:
        raise DataError(
            f"The folder {folder} mixes formats: {', '.join(formats.values())}.",
            "Keep the files of one format.",
        )


def _classes_in_schema(path: Path) -> tuple[str, ...]:
    """Class names that ``datasets`` wrote into the schema of a Parquet file; empty if there are
    none, or it is another format.
    """
    if path.suffix.lower() != ".parquet":
        return ()
    import pyarrow.parquet  # noqa: PLC0415 - takes half a second, and only these files need it

    try:
        written = (pyarrow.parquet.read_schema(path).metadata or {}).get(b"huggingface", b"{}")
        return tuple(json.loads(written)["info"]["features"]["label"]["names"])
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        pyarrow.ArrowException,
    ):  # reading the rows says what is wrong, if anything
        return ()


def _test_rows(paths: list[Path]) -> int:
    if not paths or paths[0].suffix.lower() != ".parquet":
        return 0
    import pyarrow.parquet  # noqa: PLC0415 - as above

    try:
        return sum(pyarrow.parquet.read_metadata(path).num_rows for path in paths)
    except (OSError, pyarrow.ArrowException):
        return 0
