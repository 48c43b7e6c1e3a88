"""Propose the text, label and split columns of a table."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd

from core.data.rows import MAX_CLASSES
from core.data.sources import SPLIT_WORDS, Split
from core.data.splits.labels import UNLABELED, count_labels
from core.data.tables.table import Table

SAMPLE_ROWS = 2000
SHOWN_VALUES = 5
START_CHARACTERS = 1000
CODE = r"[!-~]*[\d@/\\_][!-~]*"  # a word of ASCII with a digit or a sign of paths and addresses
CODE_WEIGHT = 0.1
LETTER = r"[^\W\d_]"
OBJECT = r"\{[\s\S]*:[\s\S]*\}"
TEXT_NAMES = (
    "text",
    "sentence",
    "review",
    "content",
    "body",
    "message",
    "comment",
    "tweet",
    "headline",
    "description",
)
LABEL_NAMES = (
    "label",
    "class",
    "category",
    "sentiment",
    "target",
    "topic",
    "label_text",
    "intent",
    "rating",
)
SPLIT_NAMES = ("split", "set", "subset", "partition", "fold", "part")


@dataclass(frozen=True, slots=True)
class ColumnProposal:
    """Column names; empty where no column fits."""

    text: str
    label: str
    split: str


def propose_columns(table: Table) -> ColumnProposal:
    """Propose columns by their usual names, otherwise the cells with most letters as text and the
    fewest values as label.
    """
    sample = table.frame.head(SAMPLE_ROWS)
    scores = {name: _score_texts(sample[name]) for name in table.columns}
    values = {name: len(count_labels(sample[name])) for name in table.columns}
    split = next(filter(lambda name: _names_splits(table, name), table.columns), "")
    text = _find_name(TEXT_NAMES, [name for name in table.columns if any(scores[name])]) or max(
        table.columns, key=lambda name: scores[name]
    )
    rest = [name for name in table.columns if name not in (text, split)]
    fitting = [name for name in rest if 2 <= values[name] <= MAX_CLASSES]
    label = _find_name(LABEL_NAMES, fitting) or min(
        fitting or rest, key=lambda name: (values[name] < 2, values[name]), default=""
    )
    return ColumnProposal(text, label, split)


def _names_splits(table: Table, name: str) -> bool:
    """Whether a column names the split of each row: by its name, or by all its values."""
    if is_split_name(name):
        return bool(read_splits(table.frame[name]))
    if name.lower() in LABEL_NAMES:
        return False
    values = table.frame[name].head(SAMPLE_ROWS).dropna().unique()
    splits = read_splits(pd.Series(values, dtype=str)) if len(values) <= len(SPLIT_WORDS) else {}
    return len(splits) == len(values) > 1


def read_splits(values: "pd.Series[str]") -> dict[str, Split]:
    """Map each known value of a split column to its split; empty if none is train, or unless most
    values are known.
    """
    distinct = {
        str(value)
        for value in values.dropna().unique()
        if str(value).strip() and not marks_unlabeled(value)
    }
    splits = {
        value: SPLIT_WORDS[value.strip().lower()]
        for value in distinct
        if value.strip().lower() in SPLIT_WORDS
    }
    known = 2 * len(splits) > len(distinct) and "train" in splits.values()
    return splits if known else {}


def describe_unused_splits(table: Table, used: Collection[str]) -> list[str]:
    """Return a sentence for each column that is called like a split, holds words for splits, and
    still does not name the split of each row.
    """
    notes = []
    for name in table.columns:
        if name in used or not is_split_name(name) or read_splits(table.frame[name]):
            continue
        values = [str(value).strip() for value in table.frame[name].dropna().unique()]
        if any(value.lower() in SPLIT_WORDS for value in values):
            shown = ", ".join(map(repr, sorted(values)[:SHOWN_VALUES]))
            notes.append(
                f"The column {name!r} is not used to split the rows: its values are {shown}. Use"
                " the values train, validation and test."
            )
    return notes


def is_split_name(name: str) -> bool:
    """Whether columns of splits are usually called so."""
    return name.strip().lower() in SPLIT_NAMES


def marks_unlabeled(value: object) -> bool:
    """Whether a split column says that the row has no label."""
    return str(value).strip().lower() in {*UNLABELED, "unsup"}


def _find_name(names: Sequence[str], columns: Sequence[str]) -> str:
    lower = {column.lower(): column for column in reversed(columns)}
    lower |= {column: column for column in columns}
    return next((lower[name] for name in names if name in lower), "")


def _score_texts(column: "pd.Series[str]") -> tuple[float, float]:
    """Return the mean number of letters, times the share of distinct cells, and the mean number of
    characters; the lowest numbers for objects of JSON.

    Letters in ids, addresses and paths count little.
    """
    cells = column.dropna().str.slice(0, START_CHARACTERS)
    if cells.empty:
        return 0.0, 0.0
    if cells.str.fullmatch(OBJECT).all():
        return 0.0, 1.0  # texts only if their column has a usual name
    letters = cells.str.count(LETTER)
    in_words = cells.str.replace(CODE, "", regex=True).str.count(LETTER)
    counted = CODE_WEIGHT * letters + (1 - CODE_WEIGHT) * in_words
    return float(counted.mean()) * cells.nunique() / len(cells), float(cells.str.len().mean())
