"""What Explore counts over the rows that are selected: balance, lengths, and what a limit of tokens
cuts off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.explore.index import Mask, TextIndex

BINS = 40
LONGEST_SHOWN = (
    0.995  # quantile: a handful of very long texts would squeeze all others into the first bins
)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
CURVE_POINTS = 64

Numbers = NDArray[np.int32]
Labels = NDArray[np.int16]


def class_balance(index: TextIndex, kept: Mask, classes: int) -> pd.DataFrame:
    """Columns split, label, texts and share (of the split's kept texts, 0 to 1), one line for each
    class in each split.
    """
    texts = np.array(
        [
            np.bincount(index.labels[part][kept[part]], minlength=classes)
            for part in index.splits.values()
        ]
    )  # (S, C)
    return pd.DataFrame(
        {
            "split": np.repeat(list(index.splits), classes),
            "label": np.tile(np.arange(classes), len(texts)),
            "texts": texts.ravel(),
            "share": (texts / np.maximum(texts.sum(axis=1, keepdims=True), 1)).ravel(),
        }
    )


@dataclass(frozen=True, eq=False)
class Histogram:
    """Texts per bin and class, (B, C). Bin b holds the lengths from ``edges`` (B + 1,) b up to, not
    including, b + 1.
    """

    edges: NDArray[np.int64]
    texts: NDArray[np.int64]
    beyond: int  # texts longer than the last edge

    @property
    def longest(self) -> int:
        """The longest length that is shown."""
        return int(self.edges[-1]) - 1


def length_bins(lengths: Numbers, labels: Labels, classes: int) -> Histogram:
    """Bins of equal whole width that hold all but the very longest texts."""
    top = int(np.quantile(lengths, LONGEST_SHOWN, method="higher")) + 1 if lengths.size else 1
    width = ceil(top / BINS)
    edges = np.arange(0, top + width, width, dtype=np.int64)
    bins, shown = len(edges) - 1, lengths < edges[-1]
    cells = (lengths[shown] // width) * np.int64(classes) + labels[shown]
    texts = np.bincount(cells, minlength=bins * classes).reshape(bins, classes)
    return Histogram(edges, texts, int(lengths.size - shown.sum()))


def length_boxes(lengths: Numbers, labels: Labels, classes: int) -> pd.DataFrame:
    """Per class that has texts: label, texts, and the quantiles low (5 %), lower, median, upper
    (quarters), high (95 %), and longest.
    """
    lines = []
    for label in range(classes):
        mine = lengths[labels == label]
        if mine.size:
            lines.append(
                (
                    label,
                    mine.size,
                    *np.quantile(mine, QUANTILES, method="inverted_cdf").tolist(),
                    int(mine.max()),
                )
            )
    return pd.DataFrame(
        lines, columns=["label", "texts", "low", "lower", "median", "upper", "high", "longest"]
    )


@dataclass(frozen=True, slots=True)
class CutCount:
    """What a limit of tokens does to n texts: how many are longer, and the share of all tokens that
    is lost (0 to 1).
    """

    texts: int
    n: int
    lost: float

    @property
    def share(self) -> float:
        """Share of the texts that are cut, 0 to 1."""
        return self.texts / max(self.n, 1)


def cut_at(tokens: Numbers, max_tokens: int) -> CutCount:
    """What is cut off when texts of so many ``tokens`` are limited to ``max_tokens``."""
    lost = int(np.maximum(tokens - max_tokens, 0).sum(dtype=np.int64))
    return CutCount(
        int((tokens > max_tokens).sum()),
        int(tokens.size),
        lost / max(int(tokens.sum(dtype=np.int64)), 1),
    )


def cut_curve(tokens: Numbers, labels: Labels, shown: Sequence[int], longest: int) -> pd.DataFrame:
    """Share of the texts that are longer than each limit up to ``longest``: max_tokens, label (-1:
    all texts), share.
    """
    limits = np.unique(np.linspace(8, longest, CURVE_POINTS).astype(np.int64))
    each = {-1: tokens, **{label: tokens[labels == label] for label in shown}}
    lines = {
        label: 1 - np.searchsorted(np.sort(mine), limits, side="right") / mine.size
        for label, mine in each.items()
        if mine.size
    }
    return pd.DataFrame(
        {
            "max_tokens": np.tile(limits, len(lines)),
            "label": np.repeat(list(lines), len(limits)).astype(np.int64),
            "share": np.concatenate([np.empty(0), *lines.values()]),
        }
    )
