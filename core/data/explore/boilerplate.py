"""Boilerplate in texts (news agencies, HTML remains), and how much of the class it gives away.

A model that learns "(Reuters)" as a sign of a class has learned who wrote a text, not its content.
"""

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.translation import mark

# a source counts as a pattern if it occurs in at least 0.1 % of the texts and in ten texts
MIN_TEXT_PROPORTION, MIN_TEXTS = 0.001, 10
MAX_SOURCES = 24
SMOOTHING = 0.5  # added to each count to keep the ratio finite for a class without the pattern


class PatternKind(StrEnum):
    """The kind of a pattern."""

    BRACKETS = mark("in brackets")
    DASH = mark("before a dash")
    DEBRIS = mark("debris")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A boilerplate pattern and the rows, ascending, of the texts that contain it."""

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
# what each kind of debris contains; searching for it is faster than the expression
DEBRIS_SIGNS = {
    "#39;": (";",),
    "&lt;b&gt;": ("lt;",),
    "quot; amp;": (";",),
    "<b>": ("<",),
    "\\": ("\\",),
    "http://": ("://", "www."),
    "â€™": ("â€", "Ã", "\ufffd"),
}
SIGNS = [(sign, name) for name, signs in DEBRIS_SIGNS.items() for sign in signs]
DEBRIS_HELP = {
    "#39;": mark("a numeric HTML entity"),
    "&lt;b&gt;": mark("an escaped HTML tag"),
    "quot; amp;": mark("a named HTML entity"),
    "<b>": mark("an HTML tag"),
    "\\": mark("a stray backslash"),
    "http://": mark("a web address"),
    "â€™": mark("characters decoded with the wrong encoding"),
}


def find_patterns(texts: Iterable[str]) -> list[Pattern]:
    """Find the patterns in ``texts``, most frequent first: encoding or HTML remains, and sources
    that occur often enough.
    """
    # arrays, because Python integers of a million texts take several times the memory
    sources: dict[tuple[str, PatternKind], array[int]] = defaultdict(partial(array, "i"))
    debris = {name: array("i") for name in DEBRIS}
    row = -1
    for row, text in enumerate(texts):
        for key in _find_sources(text):
            sources[key].append(row)
        for name in {name for sign, name in SIGNS if sign in text}:
            if DEBRIS[name].search(text):
                debris[name].append(row)
    min_texts = max(MIN_TEXTS, MIN_TEXT_PROPORTION * (row + 1))
    common = sorted(
        (key for key, rows in sources.items() if len(rows) >= min_texts),
        key=lambda key: (-len(sources[key]), key),
    )
    patterns = [
        Pattern(name, kind, np.array(sources[name, kind], np.int32))
        for name, kind in common[:MAX_SOURCES]
    ]
    patterns += [
        Pattern(name, PatternKind.DEBRIS, np.array(rows, np.int32))
        for name, rows in debris.items()
        if rows
    ]
    return sorted(patterns, key=lambda pattern: -len(pattern.rows))


def evidence(
    patterns: Sequence[Pattern],
    labels: NDArray[np.int16],
    selected: NDArray[np.bool_],
    classes: int,
) -> pd.DataFrame:
    """Measure the association of each pattern with the classes over the ``selected`` rows (n,),
    most informative pattern first.

    Columns: pattern, kind, texts, ``top`` (the class with the largest part of the information),
    share (proportion of the texts with the pattern that are of that class), ratio (likelihood ratio
    of the pattern in that class against the others, counts smoothed by 0.5), bits (mutual
    information with the class), and ``class 0`` … with the counts. Patterns that occur in no
    selected text are left out.
    """
    sizes = np.bincount(labels[selected], minlength=classes)
    counts = np.array(
        [
            np.bincount(labels[rows[selected[rows]]], minlength=classes)
            for rows in (pattern.rows for pattern in patterns)
        ]
    )
    counts = counts.reshape(len(patterns), classes)
    rates = (counts + SMOOTHING) / (sizes + 2 * SMOOTHING)
    others = (counts.sum(axis=1, keepdims=True) - counts + SMOOTHING) / (
        sizes.sum() - sizes + 2 * SMOOTHING
    )
    pattern_ids, texts = np.arange(len(patterns)), counts.sum(axis=1)
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
            "share": counts[pattern_ids, top] / np.maximum(texts, 1),
            "ratio": ratios[pattern_ids, top],
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


def mutual_information(counts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute the mutual information (P,) of each pattern and the class in bits.

    ``counts`` (P, C) are the texts with the pattern, ``sizes`` (C,) all texts.
    """
    total = max(int(sizes.sum()), 1)
    priors = sizes / total  # (C,)
    bits = np.zeros(len(counts))
    for cells in (counts, sizes - counts):
        joint = cells / total  # (P, C)
        expected = joint.sum(axis=1, keepdims=True) * priors
        ratio = np.divide(joint, expected, out=np.ones_like(joint), where=joint > 0)
        bits += (joint * np.log2(ratio)).sum(axis=1)
    return np.maximum(bits, 0.0)


def _find_sources(text: str) -> set[tuple[str, PatternKind]]:
    sources = set()
    if "(" in text or "（" in text:
        sources = {(f"({name.strip()})", PatternKind.BRACKETS) for name in BRACKETS.findall(text)}
    if " - " in text or " -- " in text:
        sources |= {(f"{''.join(names)} -", PatternKind.DASH) for names in DASH.findall(text)}
    return sources
