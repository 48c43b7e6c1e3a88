"""Saved datasets: ``<home>/datasets/<name>/{train,validation,test}.parquet`` and ``saved.json``.

``add_files`` builds and saves a dataset from files in one step, as the command line does.
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

from core.data.rows import RawData
from core.data.sources import SAVED_CARD, Source, SourceKind, Split, saved_source, split_of
from core.data.splits.build_splits import (
    SPLIT_ORDER,
    BuildOptions,
    BuildReport,
    BuiltDataset,
    build,
)
from core.data.splits.columns import is_split_name, propose_columns
from core.data.splits.data_folders import list_tables, read_source
from core.data.splits.labels import near_equal, read_labels
from core.data.tables.read_report import ReadOptions
from core.data.tables.table import SHOWN_NAMES, FileFormat, ReportRows, Table
from core.errors import ArtifactDamaged, DataError
from core.settings import Settings
from core.storage import files
from core.translation import mark

# letters of any language; a folder name may have 255 bytes
NAME = re.compile(r"\w[\w .()+-]{0,46}\w|\w")
RESERVED = frozenset({"agnews", "democorpus"})  # results on bundled data must stay identifiable


@dataclass(frozen=True, slots=True)
class SavedCard:
    """The content of ``saved.json``. Times are Unix times in seconds."""

    format: Literal[1]
    name: str
    created_at: float
    classes: tuple[str, ...]
    files: tuple[FileFormat, ...]
    text: tuple[str, ...]
    label: str
    report: BuildReport
    origin: str = ""  # source of the files, if not this machine

    def rows(self, split: Split) -> int:
        """Return the number of rows of a split."""
        column = 1 + SPLIT_ORDER.index(split)
        return sum(int(entry[column]) for entry in self.report.classes)


CARD = TypeAdapter(SavedCard)


def check_name(name: str) -> str:
    """Normalize ``name``. Raises DataError if it is not a valid name of a dataset."""
    tidy = unicodedata.normalize("NFC", " ".join(name.split()))
    if not NAME.fullmatch(tidy):
        raise DataError(
            mark("{name!r} cannot be the name of a dataset.")
            if tidy
            else mark("The dataset has no name."),
            mark(
                "Use up to 48 letters, digits, spaces and . - _ ( ) +, beginning and ending with a"
                " letter or digit."
            ),
            name=tidy[:60],
        )
    if re.sub(r"[\W_]", "", tidy).casefold() in RESERVED:
        raise DataError(
            mark("{name!r} is the name of a bundled dataset."),
            mark("Choose another name."),
            name=tidy,
        )
    return tidy


def save(
    settings: Settings,
    name: str,
    built: BuiltDataset,
    choice: BuildOptions,
    file_formats: Sequence[FileFormat],
    *,
    origin: str = "",
    replace: bool = False,
) -> Source:
    """Store the dataset atomically. ``origin`` is the source of the files.

    Raises DataError if the name is invalid, or in use and ``replace`` is not set.
    """
    tidy = check_name(name)
    existing = next(
        (folder for folder in _list_folders(settings) if folder.name.casefold() == tidy.casefold()),
        None,
    )
    if existing is not None and not replace:
        raise DataError(
            mark("There is already a dataset {name!r}."),
            mark("Choose another name, or delete that one first."),
            name=existing.name,
        )
    folder = existing or settings.datasets / tidy
    card = SavedCard(
        1,
        folder.name,
        time.time(),
        built.classes,
        tuple(file_formats),
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
    """List all readable saved datasets, newest first."""
    cards = []
    for folder in _list_folders(settings):
        try:
            cards.append(_read_card(folder))
        except ArtifactDamaged:
            # opening it by name reports the damage; the list shows usable datasets
            continue
    return sorted(cards, key=lambda card: -card.created_at)


def read_saved_card(settings: Settings, name: str) -> SavedCard:
    """Read the card of a dataset. Raises DataError if it does not exist, and ArtifactDamaged."""
    source = saved_source(settings, name)
    if source is None or source.folder is None:
        raise DataError(
            f"There is no saved dataset {name!r}.", "List them with `python -m core data list`."
        )
    return _read_card(source.folder)


def read_saved(source: Source) -> RawData:
    """Read all rows of a saved dataset. Raises DataError if it was deleted, and ArtifactDamaged."""
    folder = source.folder
    if folder is None or not folder.is_dir():
        raise DataError(
            f"The dataset {source.name!r} was deleted.",
            "Choose other data, or add it again under this name.",
        )
    card = _read_card(folder)
    train, test = _read_split(folder, "train", card), _read_split(folder, "test", card)
    validation = _read_split(folder, "validation", card) if card.rows("validation") else None
    return RawData(train, test, card.classes, _list_notes(card), validation)


def delete_saved(settings: Settings, name: str) -> None:
    """Delete a dataset. Runs keep their own tables. Raises DataError if it does not exist."""
    source = saved_source(settings, name)
    if source is None or source.folder is None:
        raise DataError(
            f"There is no saved dataset {name!r}.", "List them with `python -m core data list`."
        )
    files.remove_folder(source.folder)


def _list_folders(settings: Settings) -> list[Path]:
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
            f"{split}.parquet of the dataset {card.name!r} was changed.",
            "Delete it and add it again.",
        )
    return frame.assign(row=range(len(frame)))[["row", "text", "label"]]


def _list_notes(card: SavedCard) -> tuple[str, ...]:
    report = card.report
    left_out = report.rows_read - report.rows_kept
    reasons = ", ".join(f"{item.reason} ({item.rows:,})" for item in report.dropped)
    notes = [f"From {card.origin}."] if card.origin else []
    notes += (
        [f"{left_out:,} of {report.rows_read:,} rows were left out: {reasons}."] if left_out else []
    )
    return (*notes, *report.notes)


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """Options for adding files. Empty values mean automatic detection."""

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
    options: ImportOptions,
    *,
    origin: str = "",
    replace: bool = False,
    report: ReportRows | None = None,
) -> SavedCard:
    """Read the files, each a split by its name if there are several, or the tables of folders, and
    save them as the dataset ``name``. ``report`` gets the rows read so far and their
    bytes.

    Raises DataError.
    """
    check_name(name)
    parts = split_parts(_read_files(paths, options, report))
    proposal = propose_columns(parts[0][1])
    if not (label := options.label or proposal.label):
        table = parts[0][1]
        raise DataError(
            f"{table.file.name} has no column that looks like labels. Its columns are"
            f" {', '.join(map(repr, table.columns[:SHOWN_NAMES]))}.",
            "Name it with --label, or choose another separator with --separator."
            if len(table.columns) == 1 and table.file.separator
            else "Name it with --label.",
        )
    for _, table in parts:
        table.require(label)
    split = options.split or (proposal.split if len(parts) == 1 else "")
    text = options.text or (proposal.text,)
    classes = _choose_classes([table.frame[label] for _, table in parts], options)
    choice = BuildOptions(text, label, classes, split, options.test_share)
    built, formats = build(parts, choice), [table.file for _, table in parts]
    parts.clear()  # the memory of large files
    source = save(settings, name, built, choice, formats, origin=origin, replace=replace)
    return read_saved_card(settings, source.name)


def _read_files(
    paths: Sequence[Path], options: ImportOptions, report: ReportRows | None
) -> list[Table]:
    """Read the columns of the options, or those that are proposed for the first rows."""

    def choose(sample: Table) -> set[str]:
        proposal = propose_columns(sample)
        text = options.text or (proposal.text,)
        needed = {*text, options.label or proposal.label, options.split or proposal.split} - {""}
        needed |= set(filter(is_split_name, sample.columns))  # one that is not used is reported
        # all of them for a missing one, which is reported with the names of the others
        return needed if needed <= set(sample.columns) else set(sample.columns)

    return [
        read_source(name, source, options.reading, choose, report)
        for path in paths
        for name, source in list_tables(path)
    ]


def _choose_classes(columns: Sequence["pd.Series[str]"], options: ImportOptions) -> dict[str, str]:
    """Return the classes of labels that are merged, renamed or left out. Raises DataError for a
    label that no row has.
    """
    changes = [*options.rename, *((label, "") for label in options.leave_out)]
    counts = read_labels(columns, {label for label, _ in changes}).counts
    classes = near_equal(counts) if options.merge else {}
    for label, new_name in changes:
        if label not in counts:
            raise DataError(
                f"There is no label {label!r}.",
                f"The labels are {', '.join(list(counts)[:12])}.",
            )
        classes[label] = new_name
    return classes


def split_parts(tables: Sequence[Table]) -> list[tuple[Split, Table]]:
    """Assign each table a split by its file name; a single table is train. Train comes first."""
    if len(tables) == 1:
        return [("train", tables[0])]
    parts: list[tuple[Split, Table]] = [
        (split_of(Path(table.file.name)) or "train", table) for table in tables
    ]
    if all(split != "train" for split, _ in parts):
        names = ", ".join(table.file.name for table in tables)
        raise DataError(
            f"None of the files is the training split: {names}.",
            "Include train, validation or test in the file names.",
        )
    return sorted(parts, key=lambda part: part[0] != "train")
