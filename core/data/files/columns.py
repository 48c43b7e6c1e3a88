"""Which columns of a table are probably the texts, the labels and the split, as a proposal to start
from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from core.data.files.labels import count_labels
from core.data.files.table import Table
from core.data.sources import SPLIT_WORDS, Split

MOST_CLASSES = 50
LOOKED_AT = 2000  # rows
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
    """Names of columns; empty where none looks like it."""

    text: str
    label: str
    split: str


def propose_columns(table: Table) -> ColumnProposal:
    """By the usual names where what they hold fits, else the longest cells as text and the fewest
    values as label.
    """
    sample = table.frame.head(LOOKED_AT)
    lengths = {name: _mean_length(sample[name]) for name in table.columns}
    values = {name: len(count_labels(sample[name])) for name in table.columns}
    split = next(
        (
            name
            for name in table.columns
            if name.lower() in SPLIT_NAMES and read_splits(table.frame[name])
        ),
        "",
    )
    text = _named(TEXT_NAMES, table.columns) or max(table.columns, key=lambda name: lengths[name])
    left = [name for name in table.columns if name not in (text, split)]
    fitting = [name for name in left if 2 <= values[name] <= MOST_CLASSES]
    label = _named(LABEL_NAMES, fitting) or min(
        fitting or left, key=lambda name: (values[name] < 2, values[name]), default=""
    )
    return ColumnProposal(text, label, split)


def read_splits(values: "pd.Series[str]") -> dict[str, Split]:
    """What each value of a split column means, blank ones aside; empty if one of them is no word
    for a split, or none is train.
    """
    found = {str(value) for value in values.dropna().unique() if str(value).strip()}
    meant = {
        value: SPLIT_WORDS[value.strip().lower()]
        for value in found
        if value.strip().lower() in SPLIT_WORDS
    }
    return meant if len(meant) == len(found) and "train" in meant.values() else {}


def _named(names: Sequence[str], columns: Sequence[str]) -> str:
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), "")


def _mean_length(column: "pd.Series[str]") -> float:
    lengths = column.dropna().str.len()
    return float(lengths.mean()) if len(lengths) else 0.0
