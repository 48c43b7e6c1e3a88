"""From tables and choices to splits that can be saved: which rows are kept, which are left out and
why.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from core.data.files.columns import MOST_CLASSES, read_splits
from core.data.files.labels import read_label
from core.data.files.table import SkippedLines, Table, clean
from core.data.rows import MIN_CLASS_ROWS, SEED, class_order
from core.data.sources import Split
from core.errors import DataError

LONGEST_TEXT = 100_000  # characters: some 50 pages, of which a model reads the first
LONGEST_NAME = 80  # characters of a class
SHOWN_CLASSES = 5
NAMED_LINES = 5
SPLIT_ORDER: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What is taken from tables. ``text`` names one column or more, which are joined by a blank
    line each.

    ``classes`` says what each label is called; one that is called nothing is left out, one that it
    lacks keeps its name. Without a column ``split`` and without a table of test rows,
    ``test_share`` of each class becomes the test split.
    """

    text: tuple[str, ...]
    label: str
    classes: Mapping[str, str] = field(default_factory=dict)
    split: str = ""
    test_share: float = 0.2


@dataclass(frozen=True, slots=True)
class DroppedRows:
    """Rows that were left out: why, how many, and where the first ones are (file: line)."""

    reason: str
    rows: int
    where: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What became of the rows. ``classes`` holds a line per class: its name and its rows in train,
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
    """Splits with the columns text and label (a place in ``classes``), and the report on them."""

    splits: dict[Split, pd.DataFrame] = field(repr=False)
    classes: tuple[str, ...]
    report: BuildReport


def build(parts: Sequence[tuple[Split, Table]], choice: BuildOptions) -> BuiltDataset:
    """The splits that ``choice`` makes of tables, each of which is a split unless a column says
    otherwise.

    Raises DataError where no classifier can be trained on what is left.
    """
    rows = pd.concat([_rows(split, table, choice) for split, table in parts], ignore_index=True)
    skipped = [_where(item, table) for _, table in parts for item in table.skipped]
    kept, dropped = _usable(rows)
    classes = class_order(set(kept.loc[kept["split"] == "train", "class"]))
    check_classes(Counter(kept.loc[kept["split"] == "train", "class"]))
    known = kept["class"].isin(classes)
    if not known.all():
        dropped.append(_dropped("a class that no training row has", kept[~known]))
        kept = kept[known]
    notes: list[str] = []
    if not (kept["split"] == "test").any():
        kept = _with_test_split(kept, choice.test_share)
        notes.append(
            f"{choice.test_share:.0%} of each class, drawn at random, are the test split.".replace(
                "%", " %"
            )
        )
    ids = {name: number for number, name in enumerate(classes)}
    labelled = kept.assign(label=kept["class"].map(ids).astype("int64"))
    splits = {
        split: labelled.loc[labelled["split"] == split, ["text", "label"]].reset_index(drop=True)
        for split in SPLIT_ORDER
    }
    skipped_rows = sum(item.rows for item in skipped)
    counts = {
        split: np.bincount(frame["label"], minlength=len(classes)).tolist()
        for split, frame in splits.items()
    }
    lengths = kept["text"].str.len()
    report = BuildReport(
        rows_read=len(rows) + skipped_rows,
        rows_kept=len(kept),
        dropped=(*skipped, *dropped),
        classes=tuple(
            (name, *(counts[split][place] for split in SPLIT_ORDER))
            for place, name in enumerate(classes)
        ),
        merged=_merged(rows, choice, classes),
        median_characters=int(lengths.median()),
        longest_characters=int(lengths.max()),
        notes=tuple(notes),
    )
    return BuiltDataset(
        {split: frame for split, frame in splits.items() if len(frame)}, classes, report
    )


def check_classes(rows: Mapping[str, int]) -> None:
    """Raise DataError unless there are 2 to 50 classes of at least ten training rows each. ``rows``
    counts those of each class.
    """
    if not rows:
        raise DataError("No training row has both a text and a label.", "Choose other columns.")
    if len(rows) == 1:
        only = next(iter(rows))
        raise DataError(
            f"All rows have the label {only[:LONGEST_NAME]!r}.",
            "Choose a label column with two classes or more.",
        )
    if len(rows) > MOST_CLASSES:
        raise DataError(
            f"The labels have {len(rows):,} different values; up to {MOST_CLASSES} classes work.",
            "Choose another label column, or merge and leave out classes.",
        )
    if long := next((name for name in rows if len(name) > LONGEST_NAME), ""):
        raise DataError(
            f"A label has {len(long):,} characters: {long[:40]!r}.",
            "Choose the column of labels, not of texts, or give it a short name.",
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


def _rows(split: Split, table: Table, choice: BuildOptions) -> pd.DataFrame:
    """Text, found label, class, split and place of every row of a table."""
    table.require(*choice.text, choice.label, *([choice.split] if choice.split else []))
    frame = table.frame
    texts = frame[choice.text[0]].fillna("")
    for column in choice.text[1:]:
        texts = texts.str.cat(frame[column].fillna(""), sep="\n")
    found = (
        frame[choice.label]
        .map({value: read_label(value) for value in frame[choice.label].unique()})
        .fillna("")
    )
    named = found.map(
        {name: " ".join(clean(choice.classes.get(name, name)).split()) for name in found.unique()}
    )
    splits = pd.Series(split, index=frame.index, dtype=object)
    if choice.split:
        meant = read_splits(frame[choice.split])
        if not meant:
            values = (
                ", ".join(
                    repr(str(value)[:20])
                    for value in frame[choice.split].dropna().unique()[:SHOWN_CLASSES]
                )
                or "nothing"
            )
            fix = "Write train, validation and test there, or let the split be made."
            raise DataError(
                f"The column {choice.split!r} does not say the split of each row: it holds"
                f" {values}.",
                fix,
            )
        splits = frame[choice.split].map(meant)
    columns = {
        "text": texts.str.strip(),
        "found": found,
        "class": named,
        "split": splits,
        "file": table.found.name,
        "line": frame.index,
    }
    return pd.DataFrame(columns).reset_index(drop=True)


def _usable(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[DroppedRows]]:
    reasons = {
        "no text": rows["text"] == "",
        "no label": rows["found"] == "",
        "the class is left out": rows["class"] == "",
        "no split": rows["split"].isna(),
        f"a text of more than {LONGEST_TEXT:,} characters": rows["text"].str.len() > LONGEST_TEXT,
    }
    left = pd.Series(True, index=rows.index)
    dropped = []
    for reason, mask in reasons.items():
        if (here := left & mask).any():
            dropped.append(_dropped(reason, rows[here]))
            left &= ~mask
    return rows[left], dropped


def _dropped(reason: str, rows: pd.DataFrame) -> DroppedRows:
    first = rows.head(NAMED_LINES)
    return DroppedRows(
        reason,
        len(rows),
        tuple(f"{file}: {line}" for file, line in zip(first["file"], first["line"], strict=True)),
    )


def _where(skipped: SkippedLines, table: Table) -> DroppedRows:
    return DroppedRows(
        skipped.reason, skipped.rows, tuple(f"{table.found.name}: {line}" for line in skipped.lines)
    )


def _with_test_split(rows: pd.DataFrame, share: float) -> pd.DataFrame:
    """The rows with a ``share`` of each class's training rows, at least one, made test rows; always
    the same ones.
    """
    generator = np.random.default_rng(SEED)
    splits = rows["split"].copy()
    train = rows[rows["split"] == "train"]
    for _, members in train.groupby("class", sort=True):
        taken = generator.permutation(members.index.to_numpy())[: math.ceil(len(members) * share)]
        splits.loc[taken] = "test"
    return rows.assign(split=splits)


def _merged(
    rows: pd.DataFrame, choice: BuildOptions, classes: tuple[str, ...]
) -> tuple[tuple[str, str], ...]:
    """Labels that go by another name now, and that name."""
    pairs = rows.loc[
        rows["class"].isin(classes) & (rows["found"] != rows["class"]), ["found", "class"]
    ].drop_duplicates()
    return tuple(sorted((str(found), str(name)) for found, name in pairs.itertuples(index=False)))
