"""Labels as written in a table, and which of them are probably spellings of the same class."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from itertools import combinations

from core.data.files.table import clean
from core.data.rows import label_name

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
