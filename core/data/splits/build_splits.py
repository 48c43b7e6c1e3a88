"""Build splits from tables: which rows are kept, which are dropped and why."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from core.data.rows import SEED, check_classes, class_order
from core.data.sources import Split
from core.data.splits.columns import describe_unused_splits, read_splits
from core.data.splits.labels import (
    NO_LABEL,
    SEVERAL,
    LabelReading,
    map_cells,
    near_equal,
    read_labels,
)
from core.data.tables.table import Table, clean
from core.errors import DataError
from core.translation import mark

LONGEST_TEXT = 100_000  # characters, about 50 pages; a model reads only the first
NO_TEXT = mark("no text")
TOO_LONG = mark("text longer than 100,000 characters")  # LONGEST_TEXT
SHOWN_CLASSES = 5
SHOWN_PLACES = 5  # in a message
NAMED_LINES = 100  # in a report
SPLIT_ORDER: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """Options for building a dataset. ``text`` names one column or more, joined by line breaks.

    ``classes`` maps labels to class names: an empty name drops the label, a missing label keeps its
    own name. Without a ``split`` column and without a test table, ``test_share`` of each class
    becomes the test split.
    """

    text: tuple[str, ...]
    label: str
    classes: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    test_share: float = 0.2


@dataclass(frozen=True, slots=True)
class DroppedRows:
    """Dropped rows: reason, count, and the first locations ("file: line")."""

    reason: str
    rows: int
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """The result of building. ``classes`` has one entry per class: name and rows in train,
    validation and test. ``similar`` are pairs of labels that are nearly equal and were not merged.
    """

    rows_read: int
    rows_kept: int
    dropped: tuple[DroppedRows, ...]
    classes: tuple[tuple[str, int, int, int], ...]
    merged: tuple[tuple[str, str], ...]
    median_characters: int
    longest_characters: int
    notes: tuple[str, ...]
    similar: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class BuiltDataset:
    """Splits with the columns text and label (an index into ``classes``), and the build report."""

    splits: dict[Split, pd.DataFrame] = field(repr=False)
    classes: tuple[str, ...]
    report: BuildReport


def build(parts: Sequence[tuple[Split, Table]], choice: BuildOptions) -> BuiltDataset:
    """Build the splits that ``choice`` selects from tables; a split column overrides a table's
    split.

    Raises DataError, which names what was left out, if no classifier can be trained on the
    remaining rows, or if it is unclear whether -1 is a class.
    """
    for _, table in parts:
        table.require(*choice.text, choice.label, *([choice.split] if choice.split else []))
    reading = read_labels([table.frame[choice.label] for _, table in parts], choice.classes)
    _check_minus_one(reading)
    rows = _read_rows(parts, choice, reading)
    usable, dropped = rows.frame, rows.dropped
    in_train = usable.loc[usable["split"] == "train", "class"].value_counts()
    train_classes = {str(name): int(count) for name, count in in_train.items()}
    classes = class_order(set(train_classes))
    try:
        check_classes(train_classes)
    except DataError as error:
        raise DataError(f"{error.message}{_list_left_out(dropped)}", error.fix) from error
    in_training = usable["class"].isin(classes)
    for file, others in usable[~in_training].groupby("file", sort=False):
        _count(dropped, mark("class not in the training split"), str(file), others.index.tolist())
    usable = _filter(usable, in_training).reset_index(drop=True)
    notes = [*reading.notes, *_name_unread(parts, choice)]
    used = {*choice.text, choice.label, choice.split}
    notes += [note for _, table in parts for note in describe_unused_splits(table, used)]
    if not (usable["split"] == "test").any():
        usable = _split_off_test(usable, choice.test_share)
        share = f"{choice.test_share:.0%}".replace("%", " %")
        notes.append(
            mark("Test split: {share} of each class, drawn at random.").format(share=share)
        )
    splits = _divide(usable, classes)
    lengths = usable["text"].str.len()
    report = BuildReport(
        rows_read=sum(table.report.rows for _, table in parts),
        rows_kept=len(usable),
        dropped=tuple(dropped),
        classes=_count_classes(splits, classes),
        merged=_list_renamed(usable),
        median_characters=int(lengths.median()),
        longest_characters=int(lengths.max()),
        notes=tuple(notes),
        similar=_list_similar(reading, choice),
    )
    return BuiltDataset(
        {split: frame for split, frame in splits.items() if len(frame)}, classes, report
    )


def _check_minus_one(reading: LabelReading) -> None:
    if reading.unclear:
        name = reading.unclear
        raise DataError(
            f"The label {name!r} ({reading.counts[name]:,} rows) may be a class, or mark rows"
            " without a label.",
            f"Choose: leave it out, or keep it as a class (on the command line --leave-out={name}"
            f" or --rename={name}={name}).",
        )


def _name_unread(parts: Sequence[tuple[Split, Table]], choice: BuildOptions) -> list[str]:
    """Name the columns of texts that are not read."""
    used = {*choice.text, choice.label, choice.split}
    names = dict.fromkeys(name for _, table in parts for name in table.texts if name not in used)
    if not names:
        return []
    listed = ", ".join(repr(name) for name in names)
    return [f"Texts in other columns are not read: {listed}."]


def _divide(rows: pd.DataFrame, classes: tuple[str, ...]) -> dict[Split, pd.DataFrame]:
    """Return text and label, an index into ``classes``, of each split."""
    ids = {name: number for number, name in enumerate(classes)}
    labeled = pd.DataFrame({"text": rows["text"], "label": rows["class"].map(ids).astype("int64")})
    return {
        split: _filter(labeled, rows["split"] == split).reset_index(drop=True)
        for split in SPLIT_ORDER
    }


def _filter(frame: pd.DataFrame, mask: "pd.Series[bool]") -> pd.DataFrame:
    """Return the rows of ``mask``. Indexing a frame would first copy all texts into one array."""
    chosen = mask.to_numpy(dtype=bool)
    if chosen.all():
        return frame
    columns = {name: frame[name].array[chosen] for name in frame}
    return pd.DataFrame(columns, index=frame.index[chosen])


def _count_classes(
    splits: Mapping[Split, pd.DataFrame], classes: tuple[str, ...]
) -> tuple[tuple[str, int, int, int], ...]:
    train, validation, test = (
        np.bincount(splits[split]["label"], minlength=len(classes)).tolist()
        for split in SPLIT_ORDER
    )
    return tuple(zip(classes, train, validation, test, strict=True))


def _list_similar(reading: LabelReading, choice: BuildOptions) -> tuple[tuple[str, str], ...]:
    """Return pairs of labels that are nearly equal and are not merged."""

    def class_of(label: str) -> str:
        return choice.classes.get(label, label)

    return tuple(
        (label, other)
        for label, other in near_equal(reading.counts).items()
        if class_of(label) and class_of(other) and class_of(label) != class_of(other)
    )


@dataclass(frozen=True, slots=True)
class _Rows:
    """Usable rows of all tables, and the others by reason."""

    frame: pd.DataFrame  # text, label as read, class, split
    dropped: list[DroppedRows]


def _read_rows(
    parts: Sequence[tuple[Split, Table]], choice: BuildOptions, reading: LabelReading
) -> _Rows:
    frames = []
    dropped: list[DroppedRows] = []
    for split, table in parts:
        rows = _read_table_rows(split, table, choice, reading)
        usable = rows["reason"] == ""
        for item in table.report.left_out:
            _count(dropped, item.reason, table.file.name, item.lines)
        for reason in rows.loc[~usable, "reason"].unique():
            lines = rows.index[rows["reason"] == reason]
            _count(dropped, str(reason), table.file.name, lines.tolist())
        frames.append(_filter(rows.drop(columns="reason"), usable))
    return _Rows(pd.concat(frames) if len(frames) > 1 else frames[0], dropped)


def _count(dropped: list[DroppedRows], reason: str, file: str, lines: Sequence[int]) -> None:
    """Add the dropped lines of a file to those of the same reason."""
    before = next((item for item in dropped if item.reason == reason), DroppedRows(reason, 0, ()))
    free = NAMED_LINES - len(before.where)
    where = (*before.where, *(f"{file}: {line}" for line in lines[: max(0, free)]))
    both = DroppedRows(reason, before.rows + len(lines), where)
    if before.rows:
        dropped[dropped.index(before)] = both
    else:
        dropped.append(both)


def _read_table_rows(
    split: Split, table: Table, choice: BuildOptions, reading: LabelReading
) -> pd.DataFrame:
    """Return text, label, class, split, file and the reason to leave it out, of every row."""
    frame = table.frame
    texts = _fill(frame[choice.text[0]])
    for column in choice.text[1:]:
        texts = texts.str.cat(_fill(frame[column]), sep="\n")
    labels = map_cells(frame[choice.label], reading.labels)
    classes = {
        name: clean(choice.classes.get(name, name)).strip()
        for name in {"", *reading.labels.values()}
    }
    splits = _read_split_column(frame[choice.split], choice.split) if choice.split else split
    rows = pd.DataFrame(
        {"text": texts, "found": labels, "class": labels.map(classes), "split": splits}
    ).assign(file=table.file.name)
    return rows.assign(reason=_find_reasons(rows, map_cells(frame[choice.label], reading.reasons)))


def _fill(cells: "pd.Series[str]") -> "pd.Series[str]":
    """Return the cells with empty strings for missing ones, without a copy if there are none."""
    return cells.fillna("") if cells.hasnans else cells


def _read_split_column(values: "pd.Series[str]", column: str) -> "pd.Series[str]":
    """Return the split of each row, a reason where there is none."""
    split_of_value = read_splits(values)
    if not split_of_value:
        shown = [str(value)[:20] for value in values.dropna().unique()[:SHOWN_CLASSES]]
        raise DataError(
            f"The column {column!r} does not name the split of each row: its values are"
            f" {', '.join(map(repr, shown)) or 'empty'}.",
            "Use the values train, validation and test, or let the app split the rows.",
        )
    return map_cells(values, split_of_value)


def _find_reasons(rows: pd.DataFrame, label_reasons: "pd.Series[str]") -> "pd.Series[str]":
    """Return why each row is left out; empty for rows that are kept."""
    masks = {
        NO_TEXT: (rows["text"] == "") | rows["text"].str.isspace(),
        NO_LABEL: (rows["found"] == "") & (label_reasons != SEVERAL),
        SEVERAL: rows["found"] == "",
        mark("class left out"): rows["class"] == "",
        mark("no split"): rows["split"] == "",
        TOO_LONG: rows["text"].str.len() > LONGEST_TEXT,
    }
    reasons = np.full(len(rows), "", dtype=object)
    for reason, mask in reversed(masks.items()):  # the first one that applies
        reasons[mask.to_numpy(dtype=bool)] = reason
    return pd.Series(reasons, index=rows.index, dtype=object)


def _list_left_out(dropped: Sequence[DroppedRows]) -> str:
    listed = [
        f"{item.reason}: {item.rows:,} ({name_places(item.where, item.rows)})" for item in dropped
    ]
    return f" Left out: {'; '.join(listed)}." if listed else ""


def name_places(where: Sequence[str], rows: int) -> str:
    """Return the first places of dropped ``rows``, such as ``a.csv: 2, 3 and 9 more``."""
    shown: dict[str, list[str]] = {}
    for place in where[:SHOWN_PLACES]:
        file, _, line = place.rpartition(": ")
        shown.setdefault(file, []).append(line)
    listed = "; ".join(f"{file}: {', '.join(lines)}" for file, lines in shown.items())
    more = rows - len(where[:SHOWN_PLACES])
    return listed + (f" and {more:,} more" if more else "")


def _split_off_test(rows: pd.DataFrame, share: float) -> pd.DataFrame:
    """Move ``share`` of each class's training rows, at least one, to the test split; the draw is
    fixed.
    """
    generator = np.random.default_rng(SEED)
    splits = rows["split"].copy()
    train = rows.loc[rows["split"] == "train", ["class"]]
    for _, members in train.groupby("class", sort=True, observed=True):
        drawn = generator.permutation(members.index.to_numpy())[: math.ceil(len(members) * share)]
        splits.loc[drawn] = "test"
    return rows.assign(split=splits)


def _list_renamed(rows: pd.DataFrame) -> tuple[tuple[str, str], ...]:
    """Return pairs of each renamed label and its new name."""
    pairs = rows.loc[rows["found"] != rows["class"], ["found", "class"]].drop_duplicates()
    return tuple(sorted((str(label), str(name)) for label, name in pairs.itertuples(index=False)))
