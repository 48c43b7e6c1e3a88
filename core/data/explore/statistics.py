"""Statistics over the selected rows: class balance, text lengths and truncation."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.explore.index import Mask, TextIndex

BINS = 40
# quantile: a few very long texts would squeeze all others into the first bins
LONGEST_SHOWN = 0.995
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
CURVE_POINTS = 64

Numbers = NDArray[np.int32]
Labels = NDArray[np.int16]


def class_balance(index: TextIndex, selected: Mask, classes: int) -> pd.DataFrame:
    """Count the ``selected`` texts (n,) of each class in each split.

    Columns: split, label, texts and share (proportion of the split's selected texts).
    """
    texts = np.array(
        [
            np.bincount(index.labels[part][selected[part]], minlength=classes)
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
    """Texts per bin and class (B, C). Bin b covers lengths from ``edges`` (B + 1,) b to b + 1,
    exclusive.
    """

    edges: NDArray[np.int64]
    texts: NDArray[np.int64]
    beyond: int  # texts longer than the last edge

    @property
    def longest(self) -> int:
        """The longest length shown."""
        return int(self.edges[-1]) - 1


def length_bins(lengths: Numbers, labels: Labels, classes: int) -> Histogram:
    """Count lengths in bins of equal integer width that cover all but the very longest texts."""
    up_to = np.bincount(lengths, minlength=1).cumsum()  # texts of each length or less
    rank = ceil(LONGEST_SHOWN * (lengths.size - 1))
    top = int(np.searchsorted(up_to, rank, side="right")) + 1 if lengths.size else 1
    width = ceil(top / BINS)
    edges = np.arange(0, top + width, width, dtype=np.int64)
    bins, inside = len(edges) - 1, lengths < edges[-1]
    cells = (lengths[inside] // width) * np.int64(classes) + labels[inside]
    texts = np.bincount(cells, minlength=bins * classes).reshape(bins, classes)
    return Histogram(edges, texts, int(lengths.size - inside.sum()))


def length_boxes(lengths: Numbers, labels: Labels, classes: int) -> pd.DataFrame:
    """Compute length quantiles of each class that has texts.

    Columns: label, texts, low (5 %), lower (25 %), median, upper (75 %), high (95 %), and longest.
    """
    rows = []
    cells = lengths * np.int64(classes) + labels
    span = int(lengths.max(initial=0)) + 1
    texts = np.bincount(cells, minlength=span * classes).reshape(span, classes)  # (L, C)
    up_to = texts.cumsum(axis=0)  # texts of each length or less
    for label in np.flatnonzero(up_to[-1]).tolist():
        size = int(up_to[-1, label])
        quantiles = np.searchsorted(up_to[:, label], np.ceil(size * np.array(QUANTILES)))
        rows.append((label, size, *quantiles.tolist(), int(texts[:, label].nonzero()[0][-1])))
    return pd.DataFrame(
        rows, columns=["label", "texts", "low", "lower", "median", "upper", "high", "longest"]
    )


@dataclass(frozen=True, slots=True)
class CutCount:
    """The effect of a token limit on n texts: how many are truncated, and the proportion of tokens
    lost.
    """

    texts: int
    n: int
    lost: float

    @property
    def share(self) -> float:
        """Proportion of the texts that are truncated."""
        return self.texts / max(self.n, 1)


def cut_at(tokens: Numbers, max_tokens: int) -> CutCount:
    """Count texts and tokens lost when texts of these lengths are truncated to ``max_tokens``."""
    lost = int(np.maximum(tokens - max_tokens, 0).sum(dtype=np.int64))
    return CutCount(
        int((tokens > max_tokens).sum()),
        int(tokens.size),
        lost / max(int(tokens.sum(dtype=np.int64)), 1),
    )


def cut_curve(
    tokens: Numbers, labels: Labels, selected: Sequence[int], longest: int
) -> pd.DataFrame:
    """Compute the proportion of texts longer than each limit up to ``longest``.

    Columns: max_tokens, label (-1 for all texts), share.
    """
    limits = np.unique(np.linspace(8, longest, CURVE_POINTS).astype(np.int64))
    classes, beyond = int(labels.max(initial=0)) + 1, int(limits[-1]) + 1
    cells = np.minimum(tokens, beyond) * np.int32(classes) + labels
    counts = np.bincount(cells, minlength=(beyond + 1) * classes).reshape(-1, classes)  # (L, C)
    up_to = {-1: counts.sum(axis=1).cumsum()}
    up_to |= {label: counts[:, label].cumsum() for label in selected if label < classes}
    proportions = {
        label: 1 - texts[limits] / texts[-1] for label, texts in up_to.items() if texts[-1]
    }
    return pd.DataFrame(
        {
            "max_tokens": np.tile(limits, len(proportions)),
            "label": np.repeat(list(proportions), len(limits)).astype(np.int64),
            "share": np.concatenate([np.empty(0), *proportions.values()]),
        }
    )
