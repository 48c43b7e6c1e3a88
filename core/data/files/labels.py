"""Labels as somebody wrote them: which there are, and which of them probably mean the same
class.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from itertools import combinations

from core.data.files.table import clean
from core.data.rows import label_name

ALIKE = 0.88  # share of letters in common: politcs and politics have 0.93
SHORTEST = 5  # letters; shorter words that differ in one are different words
MOST_COMPARED = 200  # pairs grow with the square
JOINTS = re.compile(r"[\s_\-./,'’]+")


def read_label(value: object) -> str:
    """The name in a cell: without blanks around it, 1.0 as 1; empty where there is none."""
    if not isinstance(value, str):
        return ""
    return " ".join(label_name(clean(value)).split())


def count_labels(values: Iterable[object]) -> dict[str, int]:
    """Each label and how often it is there, the most frequent first; empty cells do not count."""
    counts = Counter(values)
    named: Counter[str] = Counter()
    for value, rows in counts.items():
        if name := read_label(value):
            named[name] += rows
    return dict(sorted(named.items(), key=lambda item: (-item[1], item[0])))


def near_equal(counts: Mapping[str, int]) -> dict[str, str]:
    """Labels that differ from a more frequent one only in case, blanks, joints or a slip of the
    pen, and that one.
    """
    groups: dict[str, str] = {}
    merged: dict[str, str] = {}
    for name in counts:  # the most frequent comes first
        into = groups.setdefault(_key(name), name)
        if into != name:
            merged[name] = into
    heads = [
        name for name in groups.values() if len(name) >= SHORTEST and not re.search(r"\d", name)
    ]
    for name, other in combinations(heads[:MOST_COMPARED], 2):
        if other not in merged and name not in merged and _alike(_key(name), _key(other)):
            merged[other] = name
    return {name: merged.get(into, into) for name, into in merged.items()}


def _key(name: str) -> str:
    if re.fullmatch(r"[-+]?[0-9.,]+", name):
        return name
    folded = unicodedata.normalize("NFKC", name).casefold()
    return JOINTS.sub("", folded) or folded


def _alike(name: str, other: str) -> bool:
    matcher = SequenceMatcher(None, name, other, autojunk=False)
    return (
        name[:1] == other[:1] and matcher.real_quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE
    )
