"""Sources and boilerplate: what stands in texts without being their content, and how much of the
class it gives away.

A model that reads "(Reuters)" as a sign of a class has learned who wrote a text, not what it says.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

COMMON_SHARE, COMMON_TEXTS = (
    0.001,
    10,
)  # a source is a pattern once it stands in a thousandth of the texts, and in ten
MOST_SOURCES = 24
SMOOTHING = 0.5  # added to each count, so that a class without the pattern gives a finite ratio


class PatternKind(StrEnum):
    """What a pattern is."""

    BRACKETS = "in brackets"
    DASH = "before a dash"
    DEBRIS = "debris"


@dataclass(frozen=True, slots=True)
class Pattern:
    """A piece of boilerplate and the rows, ascending, of the texts that hold it."""

    name: str
    kind: PatternKind
    rows: NDArray[np.int32]


BRACKETS = re.compile(r"[(（]([^()（）\n]{2,24})[)）]")
DASH = re.compile(
    r"(?:[)）]\s*([A-Z][\w.&]*(?: [A-Z][\w.&]*){0,2})"  # "(Canadian Press) Canadian Press - "
    r"|(?:^|\s)([A-Z]{2,}(?: [A-Z]{2,}){0,2})"  # "NEW YORK - "
    r"|(?:^|\s)([^\W\d_a-z][\w.&]{1,24})) --? "  # "USATODAY.com - "
)
DEBRIS = {
    "#39;": re.compile(r"#\d{2,5};"),
    "&lt;b&gt;": re.compile(r"&?\blt;/?\s*[A-Za-z]"),
    "quot; amp;": re.compile(r"&?\b(?:amp|quot|apos|nbsp);"),
    "<b>": re.compile(r"</?[A-Za-z][^<>]{0,200}>"),
    "\\": re.compile(r"\\"),
    "http://": re.compile(r"https?://|\bwww\."),
    "â€™": re.compile("â€|Ã[\u0080-\u00bf]|\ufffd"),
}
DEBRIS_HELP = {
    "#39;": "a character written as its number",
    "&lt;b&gt;": "a tag of HTML, escaped",
    "quot; amp;": "a character written by its HTML name",
    "<b>": "a tag of HTML",
    "\\": "a stray backslash",
    "http://": "a web address",
    "â€™": "letters read in the wrong encoding",
}


def find_patterns(texts: Iterable[str]) -> list[Pattern]:
    """The patterns in ``texts``, most frequent first: known debris, and sources that occur often
    enough to be found.
    """
    sources: dict[tuple[str, PatternKind], list[int]] = defaultdict(list)
    debris: dict[str, list[int]] = {name: [] for name in DEBRIS}
    row = -1
    for row, text in enumerate(texts):
        for key in _sources(text):
            sources[key].append(row)
        for name, expression in DEBRIS.items():
            if expression.search(text):
                debris[name].append(row)
    enough = max(COMMON_TEXTS, COMMON_SHARE * (row + 1))
    common = sorted(
        (key for key, rows in sources.items() if len(rows) >= enough),
        key=lambda key: (-len(sources[key]), key),
    )
    found = [
        Pattern(name, kind, np.array(sources[name, kind], np.int32))
        for name, kind in common[:MOST_SOURCES]
    ]
    found += [
        Pattern(name, PatternKind.DEBRIS, np.array(rows, np.int32))
        for name, rows in debris.items()
        if rows
    ]
    return sorted(found, key=lambda pattern: -len(pattern.rows))


def evidence(
    patterns: Sequence[Pattern], labels: NDArray[np.int16], kept: NDArray[np.bool_], classes: int
) -> pd.DataFrame:
    """What each pattern says of the class, over the rows that ``kept`` (n,) holds; patterns that
    give most away first.

    Columns: pattern, kind, texts, ``top`` (the class it points at, which has most part in the
    bits), share (of the texts with it that are of that class), ratio (likelihood ratio: how many
    times as often it stands in that class as in the others, counts smoothed by 0.5), bits (mutual
    information with the class), and ``class 0`` … with the counts. Patterns that no kept text has
    are left out.
    """
    sizes = np.bincount(labels[kept], minlength=classes)
    counts = np.array(
        [
            np.bincount(labels[rows[kept[rows]]], minlength=classes)
            for rows in (pattern.rows for pattern in patterns)
        ]
    )
    counts = counts.reshape(len(patterns), classes)
    rates = (counts + SMOOTHING) / (sizes + 2 * SMOOTHING)
    others = (counts.sum(axis=1, keepdims=True) - counts + SMOOTHING) / (
        sizes.sum() - sizes + 2 * SMOOTHING
    )
    every, texts = np.arange(len(patterns)), counts.sum(axis=1)
    expected = texts[:, None] * sizes / max(int(sizes.sum()), 1)
    weights = counts * np.log(
        np.divide(counts, expected, out=np.ones_like(expected), where=counts > 0)
    )
    top = weights.argmax(axis=1) if len(patterns) else np.zeros(0, dtype=np.int64)
    ratios = rates / others
    table = pd.DataFrame(
        {
            "pattern": [pattern.name for pattern in patterns],
            "kind": [pattern.kind.value for pattern in patterns],
            "texts": texts,
            "top": top,
            "share": counts[every, top] / np.maximum(texts, 1),
            "ratio": ratios[every, top],
            "bits": mutual_information(counts, sizes),
        }
    )
    table = pd.concat(
        [table, pd.DataFrame(counts, columns=[f"class {number}" for number in range(classes)])],
        axis=1,
    )
    return table[table["texts"] > 0].sort_values(
        "bits", ascending=False, kind="stable", ignore_index=True
    )


def mutual_information(with_it: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Bits that knowing a pattern tells of the class. ``with_it`` (P, C) texts with it, ``sizes``
    (C,) all texts.
    """
    total = max(int(sizes.sum()), 1)
    shares = sizes / total  # (C,)
    bits = np.zeros(len(with_it))
    for cells in (with_it, sizes - with_it):
        joint = cells / total  # (P, C)
        expected = joint.sum(axis=1, keepdims=True) * shares
        ratio = np.divide(joint, expected, out=np.ones_like(joint), where=joint > 0)
        bits += (joint * np.log2(ratio)).sum(axis=1)
    return np.maximum(bits, 0.0)


def _sources(text: str) -> set[tuple[str, PatternKind]]:
    found = {(f"({name.strip()})", PatternKind.BRACKETS) for name in BRACKETS.findall(text)}
    return found | {(f"{''.join(names)} -", PatternKind.DASH) for names in DASH.findall(text)}
