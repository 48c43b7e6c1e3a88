"""Convert raw columns to rows for a classifier, and draw fixed samples.

Labels become class ids; unusable rows are counted and left out. Samples are stratified for training
and validation, and shuffled for display.
"""

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.sources import AG_NEWS_CLASSES
from core.errors import DataError

COLUMNS = ("text", "label")
MAX_CLASSES = 200  # of a dataset; the charts have been checked with as many
MIN_CLASS_ROWS = 10  # fewer leave no row of the class for validation
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
    """Check the splits ``train`` and, optionally, ``test``, with columns text and label (strings or
    integers).

    ``order`` is the known order of the class names. Without a test split, a stratified fifth of
    train becomes the test split. Raises DataError if no classifier can be trained.
    """
    all_notes = list(notes)
    usable = {split: _drop_unusable(frame, split, all_notes) for split, frame in splits.items()}
    train, test = usable["train"], usable.get("test")
    classes = class_order(set(train["label"]), order)
    _check_classes(train, classes)
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
    # imported in jobs only; the server imports this module
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    size = max(math.ceil(len(frame) * share), frame["label"].nunique())
    rest, part = train_test_split(
        range(len(frame)), test_size=size, stratify=frame["label"], random_state=SEED
    )
    return frame.iloc[sorted(rest)], frame.iloc[sorted(part)]


def missing_columns(columns: Sequence[str], where: str) -> DataError:
    """Build the error for a table without ``text`` or ``label``."""
    missing = " and ".join(column for column in COLUMNS if column not in columns)
    names = ", ".join(map(repr, columns[:12])) or "none"
    fix = f"Rename the columns to {' and '.join(COLUMNS)}."
    if len(columns) == 1 and re.search(r"[;\t|]", columns[0]):
        fix = "Separate the columns with commas."
    return DataError(f"{where} has no column {missing}; its columns are {names}.", fix)


def _drop_unusable(frame: pd.DataFrame, split: str, notes: list[str]) -> pd.DataFrame:
    text, label = frame["text"], _normalize_labels(frame["label"], split)
    invalid = next((value for value in text.dropna() if not isinstance(value, str)), None)
    if invalid is not None:
        raise DataError(
            f"The column text of {split} holds {type(invalid).__name__} values such as"
            f" {str(invalid)[:40]!r}.",
            "Use plain texts.",
        )
    empty = text.isna() | (text.fillna("").str.strip() == "")
    unlabeled = ~empty & (label == "")
    for mask, problem in ((empty, "no text"), (unlabeled, "no label")):
        if count := int(mask.sum()):
            notes.append(
                f"{count:,} {split} row{' has' if count == 1 else 's have'} {problem} and"
                f" {'is' if count == 1 else 'are'} left out."
            )
    rows = pd.DataFrame(
        {"row": range(len(frame)), "text": text.to_numpy(), "label": label.to_numpy()}
    )
    return rows[(~empty & ~unlabeled).to_numpy()]


def _normalize_labels(labels: pd.Series, split: str) -> pd.Series:
    try:
        names = {value: label_name(value) for value in labels.dropna().unique()}
    except TypeError as error:  # lists and dictionaries are not hashable
        raise DataError(
            f"The column label of {split} holds more than one value per row.",
            "Give each text one label.",
        ) from error
    except ValueError as error:
        raise DataError(
            f"The label {error} of {split} is not a class.", "Use names or whole numbers as labels."
        ) from error
    return labels.map(names).astype("object").fillna("")


def label_name(value: object) -> str:
    """Normalize a label: a name without surrounding blanks, or a whole number. Raises ValueError
    for other numbers.
    """
    if isinstance(value, str):
        name = value.strip()
        return str(int(float(name))) if re.fullmatch(r"-?[0-9]{1,15}(\.0+)?", name) else name
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return str(value)
    if not float(value).is_integer():
        raise ValueError(value)
    return str(int(float(value)))


def class_order(names: set[str], order: Sequence[str] = ()) -> tuple[str, ...]:
    """Order names by the known ``order``, otherwise numerically, otherwise alphabetically."""
    if not order and names == set(AG_NEWS_CLASSES):
        order = AG_NEWS_CLASSES  # rows with names or with ids get the same fingerprint
    if order:
        return tuple(name for name in order if name in names)
    numeric = all(re.fullmatch(r"-?[0-9]+", name) for name in names)
    return tuple(sorted(names, key=int) if numeric else sorted(names))


def _check_classes(train: pd.DataFrame, classes: tuple[str, ...]) -> None:
    if not classes:
        raise DataError(
            "No training row has both a text and a label.", "Check the columns text and label."
        )
    if len(classes) == 1:
        raise DataError(
            f"All {len(train):,} training rows have the label {classes[0]!r}.",
            "A classifier needs texts of two classes or more.",
        )
    if len(classes) > MAX_CLASSES:
        raise DataError(
            f"The labels have {len(classes):,} different values; the limit is {MAX_CLASSES}"
            " classes.",
            "Choose another label column, or merge or leave out classes.",
        )
    counts = cast(dict[str, int], train["label"].value_counts().to_dict())
    small = [name for name in classes if counts[name] < MIN_CLASS_ROWS]
    if small:
        listed = ", ".join(f"{name!r} ({counts[name]})" for name in small[:3]) + (
            f" and {len(small) - 3:,} more" if len(small) > 3 else ""
        )
        raise DataError(
            f"Too few training rows: {listed}.",
            f"Give each class at least {MIN_CLASS_ROWS} rows, or remove it.",
        )


def _check_test(test: pd.DataFrame, classes: tuple[str, ...]) -> None:
    unknown = sorted(set(test["label"]) - set(classes))
    if unknown:
        listed = ", ".join(map(repr, unknown[:3]))
        raise DataError(
            f"Test labels that no training row has: {listed}.",
            f"The classes are {', '.join(classes[:12])}.",
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
