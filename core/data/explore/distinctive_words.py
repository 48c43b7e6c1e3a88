"""Words that set each class apart, and where they stand."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.explore.index import Mask, TextIndex
from core.data.sources import Split

# words; those after them are as good as never characteristic, and count in the totals only
MOST_SCORED = 50_000
# the prior weighs as much as the selected texts: rare words are tamed, and so are "the" and "of"
PRIOR_WEIGHT = 1.0
CERTAIN = 1.96  # a z-score below it may be chance (two-sided 5 %)
MIN_COUNT = 3  # in the class; a word seen once or twice says nothing of a class
AROUND = 55  # characters of a text to each side of an example


@dataclass(frozen=True, eq=False)
class WordCounts:
    """How often the ``V`` most frequent words occur per class, (C, V), and all words of each class,
    (C,).
    """

    counts: NDArray[np.int64]
    totals: NDArray[np.int64]


def count_words(
    index: TextIndex, kept: Mask, split: Split, classes: int, whole: WordCounts | None = None
) -> WordCounts:
    """Word counts over the rows of ``split`` that ``kept`` (n,) holds. With the counts of the
    ``whole`` split the fewer rows are read.
    """
    part = index.splits[split]
    if whole is not None and kept[part].mean() > 0.5:
        rest = count_words(index, ~kept, split, classes)
        return WordCounts(whole.counts - rest.counts, whole.totals - rest.totals)
    chosen, labels = kept[part], index.labels[part]
    starts = index.word_starts[part.start : part.stop + 1]
    ids, sizes = index.word_ids[starts[0] : starts[-1]], np.diff(starts)
    scored = min(len(index.words), MOST_SCORED)
    if not chosen.all():
        ids, sizes, labels = ids[np.repeat(chosen, sizes)], sizes[chosen], labels[chosen]
    cells = np.minimum(ids, scored) + np.repeat(
        labels.astype(np.int32) * np.int32(scored + 1), sizes
    )  # the last column: all rarer words
    table = np.bincount(cells, minlength=classes * (scored + 1)).reshape(
        classes, scored + 1
    )  # (C, V + 1)
    return WordCounts(table[:, :scored], table.sum(axis=1))


def log_odds(
    mine: NDArray[np.int64],
    others: NDArray[np.int64],
    totals: tuple[int, int],
    prior: NDArray[np.float64],
    weight: float,
) -> NDArray[np.float64]:
    """z-scores (V,) of the log-odds ratio of words in a class against the others, with an
    informative Dirichlet prior.

    Monroe, Colaresi, Quinn (2008), "Fightin' Words", equations 16, 20 and 22. ``mine`` and
    ``others`` (V,) count each word, ``totals`` all words of both sides, and ``prior`` (V,) holds
    the pseudo-count of each word out of ``weight`` in all.
    """
    up, down = mine + prior, others + prior
    ratio = np.log(up / (totals[0] + weight - up)) - np.log(down / (totals[1] + weight - down))
    return np.asarray(ratio / np.sqrt(1 / up + 1 / down))


def distinctive_words(index: TextIndex, found: WordCounts, label: int, most: int) -> pd.DataFrame:
    """Up to ``most`` words that set the class apart, most certain first: word, z, count, share and
    share_elsewhere (of all words).
    """
    every = found.counts.sum(axis=0)
    mine, total, rest = (
        found.counts[label],
        int(found.totals[label]),
        int(found.totals.sum() - found.totals[label]),
    )
    known = np.flatnonzero(mine >= MIN_COUNT)
    if not len(known) or not rest:
        return pd.DataFrame({"word": [], "z": [], "count": [], "share": [], "share_elsewhere": []})
    weight, others = PRIOR_WEIGHT * (total + rest), (every - mine)[known]
    prior = weight * index.word_counts[known] / max(int(index.word_counts.sum()), 1)
    scores = log_odds(mine[known], others, (total, rest), prior, weight)
    best = np.argsort(-scores, kind="stable")[:most]
    best = best[scores[best] > CERTAIN]
    return pd.DataFrame(
        {
            "word": index.words.take(known[best]).to_pylist(),
            "z": scores[best],
            "count": mine[known][best],
            "share": mine[known][best] / max(total, 1),
            "share_elsewhere": others[best] / max(rest, 1),
        }
    )


def word_in_classes(index: TextIndex, found: WordCounts, word: str) -> pd.DataFrame:
    """How often one word occurs in each class: label, count, per_10000 (of the words of the
    class).
    """
    word_id = index.word_id(word)
    scored = word_id is not None and word_id < found.counts.shape[1]
    counts = found.counts[:, word_id] if scored else np.zeros(len(found.totals), np.int64)
    rates = 10_000 * counts / np.maximum(found.totals, 1)
    return pd.DataFrame({"label": np.arange(len(counts)), "count": counts, "per_10000": rates})


def excerpt(text: str, word: str) -> str:
    """The part of ``text`` around the first ``word``, on one line."""
    pieces = (
        rf"(?<!\w){re.escape(word)}(?!\w)",
        re.escape(word),
    )  # inside a run of letters in scripts without spaces
    match = next(filter(None, (re.search(piece, text, re.IGNORECASE) for piece in pieces)), None)
    start, end = match.span() if match else (0, 0)
    low, high = max(0, start - AROUND), min(len(text), end + AROUND)
    return (
        f"{'…' if low else ''}{' '.join(text[low:high].split())}{'…' if high < len(text) else ''}"
    )


def example_rows(
    index: TextIndex, positions: NDArray[np.int64], labels: Sequence[int], each: int
) -> NDArray[np.int64]:
    """Up to ``each`` of ``positions`` from each of the classes ``labels``, drawn as if at random
    but always the same.
    """
    mixed = positions[np.argsort(index.mixed[positions])]
    return np.concatenate(
        [np.empty(0, np.int64), *(mixed[index.labels[mixed] == label][:each] for label in labels)]
    )
