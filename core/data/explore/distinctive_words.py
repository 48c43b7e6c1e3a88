"""Words that are characteristic of a class, and excerpts that show them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.explore.index import Mask, TextIndex
from core.data.sources import Split

# the prior weighs as much as the selected texts, which shrinks rare words as well as "the", "of"
PRIOR_WEIGHT = 1.0
MIN_Z = 1.96  # two-sided 5 % level
MIN_COUNT = 3  # occurrences in the class; fewer are no evidence
CONTEXT = 55  # characters on each side of the word in an excerpt


@dataclass(frozen=True, slots=True)
class CountLimits:
    """Limits of what is counted and held in memory at once."""

    # rarer words are hardly ever distinctive; they count in the totals only
    words: int = 50_000
    # words times classes: of 200 classes the 10,000 most frequent words count
    cells: int = 2_000_000
    # of more selected texts a random sample is counted; all of AG News are
    texts: int = 120_000
    # two million words, of which the most distinctive ones hardly change with more
    sample: int = 50_000
    # about a million words, so that the arrays stay small
    chunk_texts: int = 25_000


LIMITS = CountLimits()


@dataclass(frozen=True, eq=False)
class WordCounts:
    """Occurrences per class of the ``V`` most frequent words (C, V), and of all words (C,), in
    ``texts`` of the ``selected`` texts.
    """

    counts: NDArray[np.int32]
    totals: NDArray[np.int64]
    texts: int
    selected: int


def count_words(
    index: TextIndex,
    selected: Mask,
    split: Split,
    classes: int,
    whole: WordCounts | None = None,
    limits: CountLimits = LIMITS,
) -> WordCounts:
    """Count words over the ``selected`` rows (n,) of ``split``; of more than ``limits.texts`` rows,
    in a fixed random sample of ``limits.sample``.

    The counts of the ``whole`` split, if given, make this faster: only the rows that are not
    selected are read. Words are sorted by frequency; only the first ``limits.words`` are counted.
    """
    part = index.splits[split]
    rows = np.flatnonzero(selected[part]) + part.start
    size, number = part.stop - part.start, len(rows)
    if whole is not None and whole.texts == whole.selected and 2 * number > size:
        rest = count_words(index, ~selected, split, classes, limits=limits)
        counts, totals = whole.counts - rest.counts, whole.totals - rest.totals
        return WordCounts(counts, totals, number, number)
    if number > limits.texts:
        rows = np.sort(index.mix(rows)[: limits.sample])
    scored = min(len(index.words), limits.words, limits.cells // classes)
    table = np.zeros(classes * (scored + 1), np.int32)  # last column: all rarer words
    for start in range(0, len(rows), limits.chunk_texts):
        table += _count_cells(index, rows[start : start + limits.chunk_texts], scored, len(table))
        index.release()
    by_class = table.reshape(classes, scored + 1)  # (C, V + 1)
    totals = by_class.sum(axis=1, dtype=np.int64)
    return WordCounts(by_class[:, :scored], totals, len(rows), number)


def _count_cells(
    index: TextIndex, rows: NDArray[np.int64] | NDArray[np.int32], scored: int, cells: int
) -> NDArray[np.int32]:
    """Count the words of ``rows`` in the cells (C, V + 1), flat."""
    starts = index.word_starts[rows]
    sizes = index.word_starts[rows + 1] - starts
    # position of each word in ``word_ids``: its text's start, plus its number in the text
    shifts = np.repeat(starts - np.cumsum(sizes) + sizes, sizes)
    ids = index.word_ids[np.arange(len(shifts)) + shifts]
    labels = np.repeat(index.labels[rows].astype(np.int64) * (scored + 1), sizes)
    counts = np.bincount(np.minimum(ids, scored) + labels, minlength=cells)
    return counts.astype(np.int32)


def log_odds(
    mine: NDArray[np.int32],
    others: NDArray[np.int32],
    totals: tuple[int, int],
    prior: NDArray[np.float64],
    weight: float,
) -> NDArray[np.float64]:
    """Compute z-scores (V,) of the log-odds ratio of words in a class against the others, with an
    informative Dirichlet prior.

    Monroe, Colaresi, Quinn (2008), "Fightin' Words", equations 16, 20 and 22. ``mine`` and
    ``others`` (V,) count each word in the class and elsewhere, ``totals`` are the sums over all
    words, and ``prior`` (V,) holds the pseudo-count of each word, which sum to ``weight``.
    """
    up, down = mine + prior, others + prior
    ratio = np.log(up / (totals[0] + weight - up)) - np.log(down / (totals[1] + weight - down))
    return np.asarray(ratio / np.sqrt(1 / up + 1 / down))


def distinctive_words(
    index: TextIndex, word_counts: WordCounts, label: int, most: int
) -> pd.DataFrame:
    """Find up to ``most`` words that distinguish the class ``label``, highest z-score first.

    Columns: word, z, count, share and share_elsewhere (proportions of all words).
    """
    occurrences = word_counts.counts.sum(axis=0)
    mine, total, rest = (
        word_counts.counts[label],
        int(word_counts.totals[label]),
        int(word_counts.totals.sum() - word_counts.totals[label]),
    )
    candidates = np.flatnonzero(mine >= MIN_COUNT)
    if not len(candidates) or not rest:
        return pd.DataFrame({"word": [], "z": [], "count": [], "share": [], "share_elsewhere": []})
    weight, others = PRIOR_WEIGHT * (total + rest), (occurrences - mine)[candidates]
    prior = weight * index.word_counts[candidates] / max(int(index.word_counts.sum()), 1)
    # most words are less frequent in the class than elsewhere, so their score is negative
    up, down = mine[candidates] + prior, others + prior
    more = np.flatnonzero(up * (rest + weight) > down * (total + weight))
    candidates, others = candidates[more], others[more]
    scores = log_odds(mine[candidates], others, (total, rest), prior[more], weight)
    best = np.flatnonzero(scores > MIN_Z)
    best = best[np.argsort(-scores[best], kind="stable")][:most]
    return pd.DataFrame(
        {
            "word": index.words.take(candidates[best]).to_pylist(),
            "z": scores[best],
            "count": mine[candidates][best],
            "share": mine[candidates][best] / max(total, 1),
            "share_elsewhere": others[best] / max(rest, 1),
        }
    )


def word_in_classes(index: TextIndex, word_counts: WordCounts, word: str) -> pd.DataFrame:
    """Count one word in each class: label, count, per_10000 (per 10,000 words of the class)."""
    word_id = index.word_id(word)
    scored = word_id is not None and word_id < word_counts.counts.shape[1]
    counts = (
        word_counts.counts[:, word_id] if scored else np.zeros(len(word_counts.totals), np.int32)
    )
    rates = 10_000 * counts / np.maximum(word_counts.totals, 1)
    return pd.DataFrame({"label": np.arange(len(counts)), "count": counts, "per_10000": rates})


def excerpt(text: str, word: str) -> str:
    """Return the part of ``text`` around the first occurrence of ``word``, on one line."""
    # without word boundaries, for scripts without spaces
    patterns = (
        rf"(?<!\w){re.escape(word)}(?!\w)",
        re.escape(word),
    )
    match = next(
        filter(None, (re.search(pattern, text, re.IGNORECASE) for pattern in patterns)), None
    )
    start, end = match.span() if match else (0, 0)
    low, high = max(0, start - CONTEXT), min(len(text), end + CONTEXT)
    return (
        f"{'…' if low else ''}{' '.join(text[low:high].split())}{'…' if high < len(text) else ''}"
    )


def example_rows(
    index: TextIndex, positions: NDArray[np.int64], labels: Sequence[int], each: int
) -> NDArray[np.int64]:
    """Choose up to ``each`` of ``positions`` for each class in ``labels``, in a fixed random
    order.
    """
    shuffled = index.mix(positions)
    return np.concatenate(
        [
            np.empty(0, np.int64),
            *(shuffled[index.labels[shuffled] == label][:each] for label in labels),
        ]
    )
