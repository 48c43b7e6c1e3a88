"""Propose the text, label and split columns of a table, and read the labels."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import combinations

import pandas as pd

from core.data.files.table import Table, clean
from core.data.rows import MAX_CLASSES, label_name
from core.data.sources import SPLIT_WORDS, Split

SAMPLE_ROWS = 2000
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
    """Propose columns by their usual names, otherwise the longest cells as text and the fewest
    values as label.
    """
    sample = table.frame.head(SAMPLE_ROWS)
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
    text = _find_name(TEXT_NAMES, table.columns) or max(
        table.columns, key=lambda name: lengths[name]
    )
    rest = [name for name in table.columns if name not in (text, split)]
    fitting = [name for name in rest if 2 <= values[name] <= MAX_CLASSES]
    label = _find_name(LABEL_NAMES, fitting) or min(
        fitting or rest, key=lambda name: (values[name] < 2, values[name]), default=""
    )
    return ColumnProposal(text, label, split)


def read_splits(values: "pd.Series[str]") -> dict[str, Split]:
    """Map each non-blank value of a split column to its split; empty if a value is unknown or none
    is train.
    """
    distinct = {str(value) for value in values.dropna().unique() if str(value).strip()}
    splits = {
        value: SPLIT_WORDS[value.strip().lower()]
        for value in distinct
        if value.strip().lower() in SPLIT_WORDS
    }
    return splits if len(splits) == len(distinct) and "train" in splits.values() else {}


def _find_name(names: Sequence[str], columns: Sequence[str]) -> str:
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name] for name in names if name in lower), "")


def _mean_length(column: "pd.Series[str]") -> float:
    lengths = column.dropna().str.len()
    return float(lengths.mean()) if len(lengths) else 0.0


MIN_SIMILARITY = 0.88  # proportion of common characters: politcs and politics have 0.93
MIN_LENGTH = 5  # characters; shorter words that differ in one are different words
MAX_COMPARED = 200  # the number of pairs grows quadratically
SEPARATORS = re.compile(r"[\s_\-./,'’]+")


def read_label(value: object) -> str:
    """Return the label in a cell without surrounding blanks, 1.0 as 1; empty for an empty cell."""
    if not isinstance(value, str):
        return ""
    return " ".join(label_name(clean(value)).split())


def count_labels(values: Iterable[object]) -> dict[str, int]:
    """Count each label, most frequent first; empty cells are ignored."""
    counts = Counter(values)
    named: Counter[str] = Counter()
    for value, rows in counts.items():
        if name := read_label(value):
            named[name] += rows
    return dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))


def near_equal(counts: Mapping[str, int]) -> dict[str, str]:
    """Map labels to the more frequent label from which they differ only in case, blanks,
    punctuation or a typo.
    """
    groups: dict[str, str] = {}
    merged: dict[str, str] = {}
    for name in counts:  # the most frequent comes first
        target = groups.setdefault(_fold(name), name)
        if target != name:
            merged[name] = target
    candidates = [
        name for name in groups.values() if len(name) >= MIN_LENGTH and not re.search(r"\d", name)
    ]
    for name, other in combinations(candidates[:MAX_COMPARED], 2):
        if other not in merged and name not in merged and _are_similar(_fold(name), _fold(other)):
            merged[other] = name
    return {name: merged.get(target, target) for name, target in merged.items()}


def _fold(name: str) -> str:
    if re.fullmatch(r"[-+]?[0-9.,]+", name):
        return name
    folded = unicodedata.normalize("NFKC", name).casefold()
    return SEPARATORS.sub("", folded) or folded


def _are_similar(name: str, other: str) -> bool:
    matcher = SequenceMatcher(None, name, other, autojunk=False)
    return (
        name[:1] == other[:1]
        and matcher.real_quick_ratio() >= MIN_SIMILARITY
        and matcher.ratio() >= MIN_SIMILARITY
    )
