"""Build splits from tables: which rows are kept, which are dropped and why."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from core.data.files.columns import read_label, read_splits
from core.data.files.table import SkippedLines, Table, clean
from core.data.rows import MAX_CLASSES, MIN_CLASS_ROWS, SEED, class_order
from core.data.sources import Split
from core.errors import DataError

LONGEST_TEXT = 100_000  # characters, about 50 pages; a model reads only the first
LONGEST_NAME = 80  # characters of a class name
SHOWN_CLASSES = 5
NAMED_LINES = 5
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
    validation and test.
    """

    rows_read: int
    rows_kept: int
    dropped: tuple[DroppedRows, ...]
    classes: tuple[tuple[str, int, int, int], ...]
    merged: tuple[tuple[str, str], ...]
    median_characters: int
    longest_characters: int
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class BuiltDataset:
    """Splits with the columns text and label (an index into ``classes``), and the build report."""

    splits: dict[Split, pd.DataFrame] = field(repr=False)
    classes: tuple[str, ...]
    report: BuildReport


def build(parts: Sequence[tuple[Split, Table]], choice: BuildOptions) -> BuiltDataset:
    """Build the splits that ``choice`` selects from tables; a split column overrides a table's
    split.

    Raises DataError if no classifier can be trained on the remaining rows.
    """
    rows = pd.concat(
        [_read_rows(split, table, choice) for split, table in parts], ignore_index=True
    )
    skipped = [_summarize_skipped(item, table) for _, table in parts for item in table.skipped]
    usable, dropped = _drop_unusable(rows)
    train_classes = usable.loc[usable["split"] == "train", "class"]
    classes = class_order(set(train_classes))
    check_classes(Counter(train_classes))
    in_training = usable["class"].isin(classes)
    if not in_training.all():
        dropped.append(_summarize_dropped("class not in the training split", usable[~in_training]))
        usable = usable[in_training]
    notes: list[str] = []
    if not (usable["split"] == "test").any():
        usable = _split_off_test(usable, choice.test_share)
        notes.append(
            f"Test split: {choice.test_share:.0%} of each class, drawn at random.".replace(
                "%", " %"
            )
        )
    ids = {name: number for number, name in enumerate(classes)}
    labeled = usable.assign(label=usable["class"].map(ids).astype("int64"))
    splits = {
        split: labeled.loc[labeled["split"] == split, ["text", "label"]].reset_index(drop=True)
        for split in SPLIT_ORDER
    }
    skipped_rows = sum(item.rows for item in skipped)
    counts = {
        split: np.bincount(frame["label"], minlength=len(classes)).tolist()
        for split, frame in splits.items()
    }
    lengths = usable["text"].str.len()
    report = BuildReport(
        rows_read=len(rows) + skipped_rows,
        rows_kept=len(usable),
        dropped=(*skipped, *dropped),
        classes=tuple(
            (name, *(counts[split][number] for split in SPLIT_ORDER))
            for number, name in enumerate(classes)
        ),
        merged=_list_renamed(rows, choice, classes),
        median_characters=int(lengths.median()),
        longest_characters=int(lengths.max()),
        notes=tuple(notes),
    )
    return BuiltDataset(
        {split: frame for split, frame in splits.items() if len(frame)}, classes, report
    )


def check_classes(rows: Mapping[str, int]) -> None:
    """Raise DataError unless ``rows``, the training rows per class, has two classes up to
    ``MAX_CLASSES``, of at least ten rows each.
    """
    if not rows:
        raise DataError("No training row has both a text and a label.", "Choose other columns.")
    if len(rows) == 1:
        only = next(iter(rows))
        raise DataError(
            f"All rows have the label {only[:LONGEST_NAME]!r}.",
            "Choose a label column with two classes or more.",
        )
    if len(rows) > MAX_CLASSES:
        raise DataError(
            f"The labels have {len(rows):,} different values; the limit is {MAX_CLASSES} classes.",
            "Choose another label column, or merge or leave out classes.",
        )
    if long := next((name for name in rows if len(name) > LONGEST_NAME), ""):
        raise DataError(
            f"A label has {len(long):,} characters: {long[:40]!r}.",
            "Choose the label column, not the text column, or rename the label.",
        )
    small = {name: count for name, count in rows.items() if count < MIN_CLASS_ROWS}
    if small:
        listed = ", ".join(
            f"{name!r} ({count})"
            for name, count in sorted(small.items(), key=lambda item: -item[1])[:SHOWN_CLASSES]
        )
        more = f" and {len(small) - SHOWN_CLASSES:,} more" if len(small) > SHOWN_CLASSES else ""
        fix = (
            f"A class needs {MIN_CLASS_ROWS} training rows: merge it with another, leave it out, or"
            " add rows."
        )
        raise DataError(f"Too few training rows: {listed}{more}.", fix)


def _read_rows(split: Split, table: Table, choice: BuildOptions) -> pd.DataFrame:
    """Return text, label, class, split and location of every row of a table."""
    table.require(*choice.text, choice.label, *([choice.split] if choice.split else []))
    frame = table.frame
    texts = frame[choice.text[0]].fillna("")
    for column in choice.text[1:]:
        texts = texts.str.cat(frame[column].fillna(""), sep="\n")
    labels = (
        frame[choice.label]
        .map({value: read_label(value) for value in frame[choice.label].unique()})
        .fillna("")
    )
    classes = labels.map(
        {name: " ".join(clean(choice.classes.get(name, name)).split()) for name in labels.unique()}
    )
    splits = pd.Series(split, index=frame.index, dtype=object)
    if choice.split:
        split_of_value = read_splits(frame[choice.split])
        if not split_of_value:
            values = (
                ", ".join(
                    repr(str(value)[:20])
                    for value in frame[choice.split].dropna().unique()[:SHOWN_CLASSES]
                )
                or "empty"
            )
            fix = "Use the values train, validation and test, or let the app split the rows."
            raise DataError(
                f"The column {choice.split!r} does not name the split of each row: its values are"
                f" {values}.",
                fix,
            )
        splits = frame[choice.split].map(split_of_value)
    columns = {
        "text": texts.str.strip(),
        "found": labels,
        "class": classes,
        "split": splits,
        "file": table.file.name,
        "line": frame.index,
    }
    return pd.DataFrame(columns).reset_index(drop=True)


def _drop_unusable(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[DroppedRows]]:
    reasons = {
        "no text": rows["text"] == "",
        "no label": rows["found"] == "",
        "class left out": rows["class"] == "",
        "no split": rows["split"].isna(),
        f"text longer than {LONGEST_TEXT:,} characters": rows["text"].str.len() > LONGEST_TEXT,
    }
    remaining = pd.Series(True, index=rows.index)
    dropped = []
    for reason, mask in reasons.items():
        if (matching := remaining & mask).any():
            dropped.append(_summarize_dropped(reason, rows[matching]))
            remaining &= ~mask
    return rows[remaining], dropped


def _summarize_dropped(reason: str, rows: pd.DataFrame) -> DroppedRows:
    first = rows.head(NAMED_LINES)
    return DroppedRows(
        reason,
        len(rows),
        tuple(f"{file}: {line}" for file, line in zip(first["file"], first["line"], strict=True)),
    )


def _summarize_skipped(skipped: SkippedLines, table: Table) -> DroppedRows:
    return DroppedRows(
        skipped.reason, skipped.rows, tuple(f"{table.file.name}: {line}" for line in skipped.lines)
    )


def _split_off_test(rows: pd.DataFrame, share: float) -> pd.DataFrame:
    """Move ``share`` of each class's training rows, at least one, to the test split; the draw is
    fixed.
    """
    generator = np.random.default_rng(SEED)
    splits = rows["split"].copy()
    train = rows[rows["split"] == "train"]
    for _, members in train.groupby("class", sort=True):
        drawn = generator.permutation(members.index.to_numpy())[: math.ceil(len(members) * share)]
        splits.loc[drawn] = "test"
    return rows.assign(split=splits)


def _list_renamed(
    rows: pd.DataFrame, choice: BuildOptions, classes: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Return pairs of each renamed label and its new name."""
    pairs = rows.loc[
        rows["class"].isin(classes) & (rows["found"] != rows["class"]), ["found", "class"]
    ].drop_duplicates()
    return tuple(sorted((str(label), str(name)) for label, name in pairs.itertuples(index=False)))
