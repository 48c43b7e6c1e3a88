"""From raw columns to rows a classifier can learn from: labels become class ids, unusable rows are
counted and left out.

Draw fixed samples: in equal shares per class for training and validation, and in mixed order to
look at.
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
MIN_CLASS_ROWS = 10  # fewer leave no row of the class for validation
TEST_SHARE = 0.2
SEED = 42


@dataclass(frozen=True)
class RawData:
    """Rows as the source has them. ``train`` and ``test`` hold row (place in the source's split),
    text and label (place in ``classes``).
    """

    train: pd.DataFrame
    test: pd.DataFrame
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    validation: pd.DataFrame | None = (
        None  # where the source brings its own; otherwise a tenth of ``train`` is split off
    )


def clean_rows(
    splits: Mapping[str, pd.DataFrame], order: Sequence[str] = (), notes: Sequence[str] = ()
) -> RawData:
    """Check the splits ``train`` and, if there is one, ``test``, whose columns are text and label
    (strings or whole numbers).

    ``order`` is the known order of the class names. Without a test split a stratified fifth of
    train becomes it. Raises DataError for what no classifier can be trained on.
    """
    said = list(notes)
    named = {split: _usable(frame, split, said) for split, frame in splits.items()}
    train, test = named["train"], named.get("test")
    classes = class_order(set(train["label"]), order)
    _check_classes(train, classes)
    if test is not None and len(test):
        _check_test(test, classes)
    else:
        train, test = split_off(train, TEST_SHARE)
        said.append(
            f"There is no labelled test split: {len(test):,} training rows, a fifth of each class,"
            " serve as test and are not trained on."
        )
    ids = {name: number for number, name in enumerate(classes)}
    train, test = (
        frame.assign(label=frame["label"].map(ids).astype("int64")).reset_index(drop=True)
        for frame in (train, test)
    )
    return RawData(train, test, classes, tuple(said))


def split_off(frame: pd.DataFrame, share: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rest of ``frame`` and a stratified ``share`` of it, both in the old order; at least one
    row per class is split off.
    """
    # Only the job splits; the server imports this module.
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    size = max(math.ceil(len(frame) * share), frame["label"].nunique())
    rest, part = train_test_split(
        range(len(frame)), test_size=size, stratify=frame["label"], random_state=SEED
    )
    return frame.iloc[sorted(rest)], frame.iloc[sorted(part)]


def missing_columns(found: Sequence[str], where: str) -> DataError:
    """The error for a table without ``text`` or ``label``."""
    missing = " and ".join(column for column in COLUMNS if column not in found)
    names = ", ".join(map(repr, found[:12])) or "none"
    fix = f"Rename the columns to {' and '.join(COLUMNS)}."
    if len(found) == 1 and re.search(r"[;\t|]", found[0]):
        fix = "Separate the columns with commas."
    return DataError(f"{where} has no column {missing}; its columns are {names}.", fix)


def _usable(frame: pd.DataFrame, split: str, notes: list[str]) -> pd.DataFrame:
    text, label = frame["text"], _label_names(frame["label"], split)
    other = next((value for value in text.dropna() if not isinstance(value, str)), None)
    if other is not None:
        raise DataError(
            f"The column text of {split} holds {type(other).__name__} values such as"
            f" {str(other)[:40]!r}.",
            "Give it plain texts.",
        )
    empty = text.isna() | (text.fillna("").str.strip() == "")
    unlabelled = ~empty & (label == "")
    for mask, what in ((empty, "no text"), (unlabelled, "no label")):
        if count := int(mask.sum()):
            notes.append(
                f"{count:,} {split} row{' has' if count == 1 else 's have'} {what} and"
                f" {'is' if count == 1 else 'are'} left out."
            )
    rows = pd.DataFrame(
        {"row": range(len(frame)), "text": text.to_numpy(), "label": label.to_numpy()}
    )
    return rows[(~empty & ~unlabelled).to_numpy()]


def _label_names(labels: pd.Series, split: str) -> pd.Series:
    try:
        names = {value: label_name(value) for value in labels.dropna().unique()}
    except TypeError as error:  # lists and dictionaries cannot be counted
        raise DataError(
            f"The column label of {split} holds more than one value a row.",
            "Give each text one label.",
        ) from error
    except ValueError as error:
        raise DataError(
            f"The label {error} of {split} is no class.", "Give classes as names or whole numbers."
        ) from error
    return labels.map(names).astype("object").fillna("")


def label_name(value: object) -> str:
    """The class that a label means: a name without blanks around it, or a whole number. Raises
    ValueError for another number.
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
    """The names in their known ``order``, else numbers by size, else by the alphabet."""
    if not order and names == set(AG_NEWS_CLASSES):
        order = AG_NEWS_CLASSES  # the same rows with names instead of ids give the same fingerprint
    if order:
        return tuple(name for name in order if name in names)
    whole = all(re.fullmatch(r"-?[0-9]+", name) for name in names)
    return tuple(sorted(names, key=int) if whole else sorted(names))


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
    counts = cast(dict[str, int], train["label"].value_counts().to_dict())
    small = [name for name in classes if counts[name] < MIN_CLASS_ROWS]
    if small:
        listed = ", ".join(f"{name!r} ({counts[name]})" for name in small[:3]) + (
            f" and {len(small) - 3:,} more" if len(small) > 3 else ""
        )
        raise DataError(
            f"Too few training rows: {listed}.",
            f"Give each class at least {MIN_CLASS_ROWS}, or take it out.",
        )


def _check_test(test: pd.DataFrame, classes: tuple[str, ...]) -> None:
    unknown = sorted(set(test["label"]) - set(classes))
    if unknown:
        listed = ", ".join(map(repr, unknown[:3]))
        raise DataError(
            f"Test labels that no training row has: {listed}.",
            f"The classes are {', '.join(classes[:12])}.",
        )


MIX_SEED = 0  # any will do, as long as it stays


def mix_positions(positions: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Positions below ``rows`` in a random order that is always the same; a part of them keeps the
    order it has among all.
    """
    ranks = np.random.default_rng(MIX_SEED).permutation(rows)
    return positions[np.argsort(ranks[positions])]


def stratified_sample(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Exactly ``rows`` rows of ``frame`` in an order shuffled by ``seed``, with a new index.

    Each value of ``label`` gets an equal share; a class with fewer rows gives all it has and the
    others fill up. ``rows`` 0, or at least the rows there are, takes all. With one seed a smaller
    sample is part of a larger one.
    """
    generator = np.random.default_rng(seed)
    labels = frame["label"].to_numpy()
    by_class = [
        generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)
    ]
    wanted = len(frame) if rows == 0 else min(rows, len(frame))
    shares = equal_shares(np.array([len(members) for members in by_class], dtype=np.int64), wanted)
    taken = np.concatenate(
        [
            np.empty(0, dtype=np.int64),
            *(members[:share] for members, share in zip(by_class, shares, strict=True)),
        ]
    )
    return frame.iloc[generator.permutation(taken)].reset_index(drop=True)


def equal_shares(available: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """How many rows each class gives: as even as ``available`` allows, ``wanted`` in all; what is
    left over goes to the first.
    """
    shares = np.zeros_like(available)
    while (missing := min(wanted, int(available.sum())) - int(shares.sum())) > 0:
        unfinished = np.flatnonzero(shares < available)
        if missing < len(unfinished):
            shares[unfinished[:missing]] += 1
        else:
            shares[unfinished] = np.minimum(
                available[unfinished], shares[unfinished] + missing // len(unfinished)
            )
    return shares
