"""Read the labels of cells: one, several or none; and find labels that look alike."""

import ast
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd

from core.data.tables.json_values import Json
from core.data.tables.labeling_exports import find_labels
from core.translation import mark

NO_LABEL, SEVERAL = mark("no label"), mark("several labels")
UNLABELED = frozenset({"unsupervised", "unlabeled", "unlabelled"})
SQL_NULL = r"\N"  # in text files that MySQL, PostgreSQL and Hive write
MINUS_ONE = re.compile(r"-1(\.0+)?")
WHOLE_NUMBER = re.compile(r"[0-9]+(\.0+)?")
# a list as NumPy prints it; Python would join its strings
PRINTED = re.compile(r"""\[(\s*('[^'\\]*'|"[^"\\]*"|-?\d+\.?)){2,}\s*\]""")
PRINTED_ITEM = re.compile(r"""'([^']*)'|"([^"]*)"|(-?\d+)""")
JOINERS = re.compile(r"[#|,;]")
SHOWN = 5
LONGEST_LIST = 2000  # characters of a list of labels in a cell


@dataclass(frozen=True, slots=True)
class LabelReading:
    """The labels of a column.

    Args:
        labels: The label of each distinct cell; empty if it has none, or several.
        reasons: Why a cell has no single label.
        counts: Rows of each label, most frequent first.
        notes: Sentences about what was decided.
        unclear: The label -1 if it may be a class, or mark rows without a label.
    """

    labels: Mapping[str, str]
    reasons: Mapping[str, str]
    counts: Mapping[str, int]
    notes: tuple[str, ...] = ()
    unclear: str = ""


def read_label(value: object) -> str:
    """Return the label in a cell as written, without blanks around it; empty if there is none, or
    if there are several.
    """
    labels = list_labels(value)
    return labels[0] if len(labels) == 1 else ""


def list_labels(value: object) -> tuple[str, ...]:
    """Return the labels in a cell. Lists of labels are read as JSON and Python write them."""
    return _list_labels(value) if isinstance(value, str) else ()


@lru_cache(maxsize=100_000)
def _list_labels(cell: str) -> tuple[str, ...]:
    label = cell.strip()
    if label[:1] + label[-1:] in ("[]", "{}") and len(label) < LONGEST_LIST:
        if PRINTED.fullmatch(label):
            items = ["".join(match.groups("")) for match in PRINTED_ITEM.finditer(label)]
            return tuple(dict.fromkeys(item.strip() for item in items))
        for parse in (_parse_json, ast.literal_eval):
            try:
                value = parse(label)
            except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
                continue
            if isinstance(value, dict) and "choices" not in value:
                break
            if isinstance(value, (list, dict)):
                return tuple(text.strip() for text in find_labels(_to_json(value)))
    return (label,) if label and label != SQL_NULL else ()


def _parse_json(text: str) -> object:
    return json.loads(text, parse_float=str, parse_int=str)


def _to_json(value: object) -> Json:
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    return value if isinstance(value, bool | None) else str(value)


def count_labels(values: Iterable[object]) -> dict[str, int]:
    """Count each label, most frequent first; cells without a single label are ignored."""
    counts: Counter[str] = Counter()
    for value, rows in Counter(values).items():
        if label := read_label(value):
            counts[label] += rows
    return _order(counts)


def read_labels(columns: Sequence["pd.Series[str]"], known: Collection[str] = ()) -> LabelReading:
    """Read the label columns of the files of one dataset.

    ``known`` labels are classes in any case: a person has decided about them.
    """
    cells = Counter[str]()
    for column in columns:
        for cell, rows in column.value_counts().items():
            cells[str(cell)] += rows
    lists = {cell: list_labels(cell) for cell in cells}
    labels = {cell: items[0] if len(items) == 1 else "" for cell, items in lists.items()}
    reasons = {
        cell: SEVERAL if len(items) > 1 else NO_LABEL
        for cell, items in lists.items()
        if len(items) != 1
    }
    notes = []
    unwrapped = sum(
        cells[cell] for cell, label in labels.items() if label and label != cell.strip()
    )
    if unwrapped:
        notes.append(f"Lists of one label were read as that label (rows: {unwrapped:,}).")
    without, unclear = _find_unlabeled(columns, cells, labels, known)
    if without:
        rows = sum(cells[cell] for cell, label in labels.items() if label in without)
        notes.append(f"{_join(without)} marks rows without a label (rows: {rows:,}).")
    joined = [name for name in set(labels.values()) - {""} - without if name not in known]
    several = {name for name in joined if _names_several(name, set(labels.values()))}
    if several:
        notes.append(f"{_join(several)} names several labels; give each text one label.")
    for cell, label in labels.items():
        if label in without or label in several:
            reasons[cell] = NO_LABEL if label in without else SEVERAL
            labels[cell] = ""
    counts = Counter[str]()
    for cell, rows in cells.items():
        if labels[cell]:
            counts[labels[cell]] += rows
    return LabelReading(labels, reasons, _order(counts), tuple(notes), unclear)


def map_cells(cells: "pd.Series[str]", values: Mapping[str, str]) -> "pd.Series[str]":
    """Return the value of each cell; the strings are shared, so this takes little memory."""
    codes, distinct = pd.factorize(cells)
    table = np.array([*(values.get(cell, "") for cell in distinct), ""], dtype=object)
    return pd.Series(table[codes], index=cells.index, dtype=object)


def _find_unlabeled(
    columns: Sequence["pd.Series[str]"],
    cells: Mapping[str, int],
    labels: Mapping[str, str],
    known: Collection[str],
) -> tuple[set[str], str]:
    """Return the labels that mark rows without a label, and -1 if that is unclear."""
    names = set(labels.values()) - {""}
    words = {name for name in names if name.lower() in UNLABELED and name not in known}
    minus = {name for name in names if MINUS_ONE.fullmatch(name) and name not in known}
    others = names - minus - words
    if not minus or not others or not all(map(WHOLE_NUMBER.fullmatch, others)):
        return words, ""
    if not others & {"0", "0.0"}:
        return words, ""  # -1 and 1 are two classes
    marked = {cell for cell in cells if labels[cell] in minus}
    masks = [column.isin(marked).to_numpy() for column in columns]
    if all(mask.all() or not mask.any() for mask in masks):
        return words | minus, ""  # a file of its own
    if others <= {"0", "1", "0.0", "1.0"} and not _is_block(columns, masks, len(others)):
        return words, sorted(minus)[0]
    return words | minus, ""


def _is_block(
    columns: Sequence["pd.Series[str]"], masks: Sequence["np.typing.NDArray[np.bool_]"], others: int
) -> bool:
    """Whether the marked rows follow each other while the other labels alternate."""
    mask = np.concatenate(masks)
    codes = pd.factorize(pd.concat(columns))[0]
    starts = int(mask[0]) + int((~mask[:-1] & mask[1:]).sum())
    rest = codes[~mask]
    return starts == 1 and int((rest[1:] != rest[:-1]).sum()) + 1 > others


def _names_several(name: str, labels: Collection[str]) -> bool:
    parts = [part.strip() for part in JOINERS.split(name)]
    return (
        len(parts) > 1 and len(set(parts)) == len(parts) and all(part in labels for part in parts)
    )


def _join(names: Collection[str]) -> str:
    listed = ", ".join(repr(name[:40]) for name in sorted(names)[:SHOWN])
    return listed + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _order(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


MIN_SIMILARITY = 0.88  # proportion of common characters: politcs and politics have 0.93
MIN_LENGTH = 5  # characters; shorter words that differ in one are different words
MAX_COMPARED = 200  # the number of pairs grows quadratically
SEPARATORS = re.compile(r"[\s_\-./,'’]+")


def near_equal(counts: Mapping[str, int]) -> dict[str, str]:
    """Map labels to the more frequent label from which they differ only in case, blanks,
    punctuation, Unicode form or a typo.
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


def spell(name: str) -> str:
    """Return a label in quotes, with escapes if it has characters that do not show."""
    visible = unicodedata.normalize("NFKC", name) == name and not any(
        unicodedata.category(character) in ("Cf", "Cc") for character in name
    )
    return repr(name) if visible else f"{name!r} ({ascii(name)[1:-1]})"


def _fold(name: str) -> str:
    folded = "".join(
        character
        for character in unicodedata.normalize("NFKC", name).casefold()
        if unicodedata.category(character) != "Cf"
    )
    if re.fullmatch(r"[-+]?[0-9.,]+", folded):
        return folded
    return SEPARATORS.sub("", folded) or folded


def _are_similar(name: str, other: str) -> bool:
    matcher = SequenceMatcher(None, name, other, autojunk=False)
    return (
        name[:1] == other[:1]
        and matcher.real_quick_ratio() >= MIN_SIMILARITY
        and matcher.ratio() >= MIN_SIMILARITY
    )
