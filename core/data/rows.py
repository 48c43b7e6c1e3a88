"""Convert raw columns to rows for a classifier, and draw fixed samples.

Labels become class ids; unusable rows are counted and left out. Samples are stratified for training
and validation, and shuffled for display.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.sources import AG_NEWS_CLASSES
from core.errors import DataError
from core.translation import mark

COLUMNS = ("text", "label")
MIN_CLASS_ROWS = 10  # fewer leave no row of the class for validation
MAX_CLASSES = 200  # of a dataset; the charts have been checked with as many
LONGEST_NAME = 80  # characters of a class name
SHOWN_CLASSES = 5
NAMED_LINES = 5
TEST_SHARE = 0.2
SEED = 42


@dataclass(frozen=True)
class RawData:
    """Rows of a source. ``train`` and ``test`` have row (index in the source's split), text and
    label (index into ``classes``).
    """

    train: pd.DataFrame
    test: pd.DataFrame
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    validation: pd.DataFrame | None = None  # None: a tenth of ``train`` is held out


def clean_rows(
    splits: Mapping[str, pd.DataFrame], order: Sequence[str] = (), notes: Sequence[str] = ()
) -> RawData:
    """Check the splits ``train`` and, optionally, ``test``, with columns text and label, strings.

    Rows with a ``reason`` have no single label; ``file`` and ``line`` name the place of each row.
    ``order`` is the known order of the class names. Without a test split, a stratified fifth of
    train becomes the test split. Raises DataError, which names the rows left out, if no classifier
    can be trained.
    """
    all_notes = list(notes)
    usable = {split: _drop_unusable(frame, split, all_notes) for split, frame in splits.items()}
    train, test = usable["train"], usable.get("test")
    classes = class_order(set(train["label"]), order)
    try:
        check_classes(Counter(train["label"]))
    except DataError as error:
        left_out = "".join(f" {note}" for note in all_notes if "left out" in note)
        raise DataError(f"{error.message}{left_out}", error.fix) from error
    if test is not None and len(test):
        _check_test(test, classes)
    else:
        train, test = split_off(train, TEST_SHARE)
        all_notes.append(
            f"There is no labeled test split: {len(test):,} training rows, a fifth of each class,"
            " are held out as the test split."
        )
    ids = {name: number for number, name in enumerate(classes)}
    train, test = (
        frame.assign(label=frame["label"].map(ids).astype("int64")).reset_index(drop=True)
        for frame in (train, test)
    )
    return RawData(train, test, classes, tuple(all_notes))


def split_off(frame: pd.DataFrame, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split a stratified ``share`` off ``frame``, at least one row per class; returns the rest and
    the part in their original order.
    """
    rest, part = draw_positions(frame, share)
    return frame.iloc[rest], frame.iloc[part]


def draw_positions(
    frame: pd.DataFrame, share: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ascending positions of the rest and of the part that ``split_off`` returns."""
    # imported in jobs only; the server imports this module
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    size = max(math.ceil(len(frame) * share), frame["label"].nunique())
    rest, part = train_test_split(
        np.arange(len(frame)), test_size=size, stratify=frame["label"], random_state=SEED
    )
    return np.sort(rest), np.sort(part)


def missing_columns(columns: Sequence[str], where: str) -> DataError:
    """Build the error for a table without ``text`` or ``label``."""
    missing = " and ".join(column for column in COLUMNS if column not in columns)
    names = ", ".join(map(repr, columns[:12])) or "none"
    fix = f"Rename the columns to {' and '.join(COLUMNS)}."
    if len(columns) == 1 and re.search(r"[;\t|]", columns[0]):
        fix = "Separate the columns with commas."
    return DataError(f"{where} has no column {missing}; its columns are {names}.", fix)


def _drop_unusable(frame: pd.DataFrame, split: str, notes: list[str]) -> pd.DataFrame:
    label = frame["label"].fillna("")
    reasons = frame["reason"] if "reason" in frame else pd.Series("", index=frame.index)
    empty = frame["text"].fillna("").str.strip() == ""
    several = ~empty & (reasons != "")
    unlabeled = ~empty & ~several & (label == "")
    for mask, problem in ((empty, "no text"), (several, ""), (unlabeled, "no label")):
        for reason in reasons[mask].unique() if not problem else [problem]:
            rows = frame[mask & (reasons == reason)] if not problem else frame[mask]
            if count := len(rows):
                notes.append(
                    f"{count:,} {split} row{' has' if count == 1 else 's have'} {reason} and"
                    f" {'is' if count == 1 else 'are'} left out{_name_places(rows)}."
                )
    rows = pd.DataFrame({"row": range(len(frame)), "text": frame["text"], "label": label})
    return rows[(label != "") & ~empty & ~several]


def _name_places(rows: pd.DataFrame) -> str:
    """Return the first lines of the rows, if their files are known."""
    if "file" not in rows:
        return ""
    first = rows.head(NAMED_LINES)
    places = [f"{file}: {line}" for file, line in zip(first["file"], first["line"], strict=True)]
    more = f" and {len(rows) - NAMED_LINES:,} more" if len(rows) > NAMED_LINES else ""
    return f" ({', '.join(places)}{more})"


def class_order(names: set[str], order: Sequence[str] = ()) -> tuple[str, ...]:
    """Order names by the known ``order``, otherwise numerically, otherwise alphabetically."""
    if not order and names == set(AG_NEWS_CLASSES):
        order = AG_NEWS_CLASSES  # rows with names or with ids get the same fingerprint
    if order:
        return tuple(name for name in order if name in names)
    numeric = all(re.fullmatch(r"-?[0-9]+", name) for name in names)
    return tuple(sorted(names, key=int) if numeric else sorted(names))


def check_classes(counts: Mapping[str, int]) -> None:
    """Raise DataError unless ``counts``, the training rows per class, has 2 to 200 classes of at
    least ten.
    """
    if not counts:
        raise DataError(
            mark("No training row has both a text and a label."), mark("Choose other columns.")
        )
    if len(counts) == 1:
        only = next(iter(counts))
        raise DataError(
            mark("All rows have the label {label!r}."),
            mark("Choose a label column with two classes or more."),
            label=only[:LONGEST_NAME],
        )
    if len(counts) > MAX_CLASSES:
        raise DataError(
            mark("The labels have {n:,} different values; the limit is {most} classes."),
            mark("Choose another label column, or merge or leave out classes."),
            n=len(counts),
            most=MAX_CLASSES,
        )
    if long := next((name for name in counts if len(name) > LONGEST_NAME), ""):
        raise DataError(
            mark("A label has {n:,} characters: {label!r}."),
            mark("Choose the label column, not the text column, or rename the label."),
            n=len(long),
            label=long[:40],
        )
    small = {name: count for name, count in counts.items() if count < MIN_CLASS_ROWS}
    if small:
        listed = ", ".join(
            f"{name!r} ({count})"
            for name, count in sorted(small.items(), key=lambda item: -item[1])[:SHOWN_CLASSES]
        )
        more = len(small) - SHOWN_CLASSES
        raise DataError(
            mark("Too few training rows: {classes} and {more:,} more.")
            if more > 0
            else mark("Too few training rows: {classes}."),
            mark(
                "A class needs {least} training rows: merge it with another, leave it out, or add"
                " rows."
            ),
            classes=listed,
            more=more,
            least=MIN_CLASS_ROWS,
        )


def _check_test(test: pd.DataFrame, classes: tuple[str, ...]) -> None:
    unknown = sorted(set(test["label"]) - set(classes))
    if unknown:
        listed = ", ".join(map(repr, unknown[:3]))
        raise DataError(
            mark("Test labels that no training row has: {labels}."),
            mark("The classes are {classes}."),
            labels=listed,
            classes=", ".join(classes[:12]),
        )


MIX_SEED = 0  # arbitrary, but must not change


def mix_positions(positions: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Shuffle positions below ``rows`` in a fixed random order; a subset keeps its order among
    all.
    """
    ranks = np.random.default_rng(MIX_SEED).permutation(rows)
    return positions[np.argsort(ranks[positions])]


def stratified_sample(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Draw exactly ``rows`` rows of ``frame``, shuffled by ``seed``, with a new index.

    Each value of ``label`` gets an equal number of rows; a class with fewer gives all, and the
    others fill up. ``rows`` 0, or more than there are, takes all. With the same seed, a smaller
    sample is a subset of a larger one.
    """
    generator = np.random.default_rng(seed)
    labels = frame["label"].to_numpy()
    by_class = [
        generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)
    ]
    total = len(frame) if rows == 0 else min(rows, len(frame))
    shares = equal_shares(np.array([len(members) for members in by_class], dtype=np.int64), total)
    drawn = np.concatenate(
        [
            np.empty(0, dtype=np.int64),
            *(members[:share] for members, share in zip(by_class, shares, strict=True)),
        ]
    )
    return frame.iloc[generator.permutation(drawn)].reset_index(drop=True)


def equal_shares(available: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Divide ``total`` rows over the classes as evenly as ``available`` (C,) allows; the remainder
    goes to the first classes.
    """
    shares = np.zeros_like(available)
    while (missing := min(total, int(available.sum())) - int(shares.sum())) > 0:
        unfinished = np.flatnonzero(shares < available)
        if missing < len(unfinished):
            shares[unfinished[:missing]] += 1
        else:
            shares[unfinished] = np.minimum(
                available[unfinished], shares[unfinished] + missing // len(unfinished)
            )
    return shares
