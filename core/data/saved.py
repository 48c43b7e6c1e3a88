"""Datasets that somebody saved: ``<home>/datasets/<name>/{train,validation,test}.parquet`` and
``saved.json``.

Add a dataset from files in one go, with what is found where nothing is chosen. The command line
does it so.
"""

import re
import time
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from core.data.files.build_splits import SPLIT_ORDER, BuildOptions, BuildReport, BuiltDataset, build
from core.data.files.columns import propose_columns
from core.data.files.labels import count_labels, near_equal
from core.data.files.read import read_file, read_table
from core.data.files.table import FileFormat, ReadOptions, Table
from core.data.rows import RawData
from core.data.sources import SAVED_CARD, Source, SourceKind, Split, saved_source, split_of
from core.errors import ArtifactDamaged, DataError
from core.settings import Settings
from core.storage import files

NAME = re.compile(
    r"\w[\w .()+-]{0,46}\w|\w"
)  # letters of any language; a folder's name may have 255 bytes
TAKEN = frozenset({"agnews", "democorpus"})  # nobody may mistake another result for theirs


@dataclass(frozen=True, slots=True)
class SavedCard:
    """What ``saved.json`` says. Times are seconds since 1970."""

    format: Literal[1]
    name: str
    created_at: float
    classes: tuple[str, ...]
    files: tuple[FileFormat, ...]
    text: tuple[str, ...]
    label: str
    report: BuildReport
    origin: str = ""  # where the files are from, if not from this machine

    def rows(self, split: Split) -> int:
        """Rows of the split."""
        place = 1 + SPLIT_ORDER.index(split)
        return sum(int(line[place]) for line in self.report.classes)


CARD = TypeAdapter(SavedCard)


def check_name(name: str) -> str:
    """``name`` as it is kept. Raises DataError if nothing can be called so."""
    tidy = unicodedata.normalize("NFC", " ".join(name.split()))
    if not NAME.fullmatch(tidy):
        what = (
            f"{tidy[:60]!r} cannot be the name of a dataset."
            if tidy
            else "The dataset has no name."
        )
        raise DataError(
            what,
            "Use up to 48 letters, digits, spaces and . - _ ( ) +, beginning and ending with a"
            " letter or digit.",
        )
    if re.sub(r"[\W_]", "", tidy).casefold() in TAKEN:
        raise DataError(
            f"{tidy!r} is the name of data that comes with the app.", "Choose another name."
        )
    return tidy


def save(
    settings: Settings,
    name: str,
    built: BuiltDataset,
    choice: BuildOptions,
    found: Sequence[FileFormat],
    *,
    origin: str = "",
    replace: bool = False,
) -> Source:
    """Keep the dataset, whole or not at all. ``origin`` says where the files are from.

    Raises DataError if it cannot have that name, or another has it and is not to be replaced.
    """
    tidy = check_name(name)
    there = next(
        (folder for folder in _folders(settings) if folder.name.casefold() == tidy.casefold()), None
    )
    if there is not None and not replace:
        raise DataError(
            f"There is already a dataset {there.name!r}.",
            "Choose another name, or delete that one first.",
        )
    folder = there or settings.datasets / tidy
    card = SavedCard(
        1,
        folder.name,
        time.time(),
        built.classes,
        tuple(found),
        choice.text,
        choice.label,
        built.report,
        origin,
    )
    contents = {
        f"{split}.parquet": frame.to_parquet(index=False) for split, frame in built.splits.items()
    }
    files.write_folder(folder, contents | {SAVED_CARD: CARD.dump_json(card, indent=1)})
    return Source(SourceKind.SAVED, folder.name, folder.absolute())


def list_saved(settings: Settings) -> list[SavedCard]:
    """All saved datasets that can be read, newest first."""
    cards = []
    for folder in _folders(settings):
        try:
            cards.append(_read_card(folder))
        except ArtifactDamaged:  # asked for by name it says so; a list shows what can be used
            continue
    return sorted(cards, key=lambda card: -card.created_at)


def read_saved_card(settings: Settings, name: str) -> SavedCard:
    """The card of one dataset. Raises DataError if there is none of that name, and
    ArtifactDamaged.
    """
    source = saved_source(settings, name)
    if source is None or source.folder is None:
        raise DataError(
            f"There is no saved dataset {name!r}.", "`python -m core data list` shows them."
        )
    return _read_card(source.folder)


def read_saved(source: Source) -> RawData:
    """All rows of a saved dataset. Raises DataError if it was deleted, and ArtifactDamaged."""
    folder = source.folder
    if folder is None or not folder.is_dir():
        raise DataError(
            f"The dataset {source.name!r} was deleted.",
            "Choose other data, or add it again under this name.",
        )
    card = _read_card(folder)
    train, test = _read_split(folder, "train", card), _read_split(folder, "test", card)
    validation = _read_split(folder, "validation", card) if card.rows("validation") else None
    return RawData(train, test, card.classes, _notes(card), validation)


def delete_saved(settings: Settings, name: str) -> None:
    """Remove a dataset from disk. Runs keep their own tables. Raises DataError if there is none of
    that name.
    """
    source = saved_source(settings, name)
    if source is None or source.folder is None:
        raise DataError(
            f"There is no saved dataset {name!r}.", "`python -m core data list` shows them."
        )
    files.remove_folder(source.folder)


def _folders(settings: Settings) -> list[Path]:
    if not settings.datasets.is_dir():
        return []
    return sorted(
        folder for folder in settings.datasets.iterdir() if saved_source(settings, folder.name)
    )


def _read_card(folder: Path) -> SavedCard:
    try:
        return CARD.validate_python(files.read_json(folder / SAVED_CARD))
    except (ArtifactDamaged, ValidationError) as error:
        raise ArtifactDamaged(
            f"The card of the dataset {folder.name!r} is damaged.",
            "Delete the dataset and add it again.",
        ) from error


def _read_split(folder: Path, split: Split, card: SavedCard) -> pd.DataFrame:
    try:
        frame = files.read_parquet(folder / f"{split}.parquet", ["text", "label"])
    except ArtifactDamaged as error:
        raise ArtifactDamaged(
            f"The dataset {card.name!r}: {error.message}", "Delete the dataset and add it again."
        ) from error
    if len(frame) != card.rows(split) or not frame["label"].between(0, len(card.classes) - 1).all():
        raise ArtifactDamaged(
            f"{split}.parquet of the dataset {card.name!r} is not what was written.",
            "Delete it and add it again.",
        )
    return frame.assign(row=range(len(frame)))[["row", "text", "label"]]


def _notes(card: SavedCard) -> tuple[str, ...]:
    report = card.report
    left_out = report.rows_read - report.rows_kept
    reasons = ", ".join(f"{item.reason} ({item.rows:,})" for item in report.dropped)
    said = [f"From {card.origin}."] if card.origin else []
    said += (
        [f"{left_out:,} of {report.rows_read:,} rows were left out: {reasons}."] if left_out else []
    )
    return (*said, *report.notes)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What somebody asks for when adding files. Empty means: as it is found."""

    text: tuple[str, ...] = ()
    label: str = ""
    split: str = ""
    merge: bool = False
    leave_out: tuple[str, ...] = ()
    rename: tuple[tuple[str, str], ...] = ()
    test_share: float = 0.2
    reading: ReadOptions = ReadOptions()


def add_files(
    settings: Settings,
    paths: Sequence[Path],
    name: str,
    wishes: ImportOptions,
    *,
    origin: str = "",
    replace: bool = False,
) -> SavedCard:
    """Read the files, each a split by its name if there are several, and save them as the dataset
    ``name``. Raises DataError.
    """
    check_name(name)
    parts = split_parts([read_table(path.name, read_file(path), wishes.reading) for path in paths])
    proposal = propose_columns(parts[0][1])
    if not (label := wishes.label or proposal.label):
        raise DataError(
            f"{parts[0][1].found.name} has no column that looks like labels.",
            "Name it with --label.",
        )
    for _, table in parts:
        table.require(label)
    counts = count_labels(value for _, table in parts for value in table.frame[label])
    classes = near_equal(counts) if wishes.merge else {}
    for found, called in [*wishes.rename, *((left, "") for left in wishes.leave_out)]:
        if found not in counts:
            raise DataError(
                f"There is no label {found!r}.", f"The labels are {', '.join(list(counts)[:12])}."
            )
        classes[found] = called
    split = wishes.split or (proposal.split if len(parts) == 1 else "")
    choice = BuildOptions(wishes.text or (proposal.text,), label, classes, split, wishes.test_share)
    source = save(
        settings,
        name,
        build(parts, choice),
        choice,
        [table.found for _, table in parts],
        origin=origin,
        replace=replace,
    )
    return read_saved_card(settings, source.name)


def split_parts(tables: Sequence[Table]) -> list[tuple[Split, Table]]:
    """Each table with the split that its file's name tells; a single one is train. Train comes
    first.
    """
    if len(tables) == 1:
        return [("train", tables[0])]
    parts: list[tuple[Split, Table]] = [
        (split_of(Path(table.found.name)) or "train", table) for table in tables
    ]
    if all(split != "train" for split, _ in parts):
        names = ", ".join(table.found.name for table in tables)
        raise DataError(
            f"None of the files is the training split: {names}.",
            "Put train, validation or test into their names.",
        )
    return sorted(parts, key=lambda part: part[0] != "train")
