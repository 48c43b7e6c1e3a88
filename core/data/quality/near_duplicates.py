"""Find exact and near duplicates, duplicates with different labels, and leakage between splits.

MinHash signatures find candidate pairs, the exact Jaccard index of their shingles decides. Broder,
On the resemblance and containment of documents (1997); bands as in Leskovec et al., Mining of
Massive Datasets, 3.4.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import Stopped

SHINGLE_CHARACTERS = 5  # characters, not words: also works for languages without spaces
MIN_JACCARD = 0.7  # changing one word of ten leaves about 0.75
# a pair at 0.7 becomes a candidate with probability 0.99, at 0.8 with 0.9999, at 0.3 with 0.06
BANDS, BAND_ROWS = 25, 5
SEED = 42
CHUNK_TEXTS = 2000  # about 0.2 s between checks for a stop
LARGE_BUCKET = 64  # in larger buckets each member is compared with the next few only
COMPARED_IN_LARGE_BUCKET = 16
CACHED_SHINGLES = 20_000
WORDLESS = re.compile(r"[\W_]+")

Step = Callable[[int, int], None]  # done, total
ShouldStop = Callable[[], bool]
Pairs = tuple[NDArray[np.int64], NDArray[np.float64]]


def normalize_text(text: str) -> str:
    """Remove case, punctuation and extra spaces from ``text``; unchanged if nothing would be
    left.
    """
    return WORDLESS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip() or text


def shingles(text: str) -> frozenset[str]:
    """Return all substrings of five characters, or ``text`` itself if it is shorter."""
    return frozenset(
        text[start : start + SHINGLE_CHARACTERS]
        for start in range(max(1, len(text) - SHINGLE_CHARACTERS + 1))
    )


def find_near_pairs(
    texts: Sequence[str],
    step: Step = lambda done, total: None,
    should_stop: ShouldStop = lambda: False,
) -> Pairs:
    """Find pairs of texts with a Jaccard index of at least 0.7.

    Returns the positions of each pair (m, 2), the smaller first, and the Jaccard indices (m,).
    ``texts`` are normalized and distinct. In a very large bucket each text is compared with the
    next sixteen only, which still links all of them. Raises Stopped.
    """
    if len(texts) < 2:
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    candidates = _find_candidates(_compute_signatures(texts, step, should_stop))
    cached = lru_cache(maxsize=CACHED_SHINGLES)(lambda position: shingles(texts[position]))
    scores = np.zeros(len(candidates))
    for number, (first, second) in enumerate(candidates.tolist()):
        if number % CHUNK_TEXTS == 0:
            _check_stop(should_stop)
        a, b = cached(first), cached(second)
        # otherwise the index cannot reach MIN_JACCARD
        if min(len(a), len(b)) >= MIN_JACCARD * max(len(a), len(b)):
            common = len(a & b)
            scores[number] = common / (len(a) + len(b) - common)
    similar = scores >= MIN_JACCARD
    return candidates[similar], scores[similar]


def _compute_signatures(
    texts: Sequence[str], step: Step, should_stop: ShouldStop
) -> NDArray[np.uint32]:
    """Compute MinHash signatures (n, BANDS · BAND_ROWS)."""
    from rensa import RMinHash  # noqa: PLC0415 - used in jobs only

    digests = [np.empty((0, BANDS * BAND_ROWS), dtype=np.uint32)]
    for start in range(0, len(texts), CHUNK_TEXTS):
        _check_stop(should_stop)
        step(start, len(texts))
        sets = [list(shingles(text)) for text in texts[start : start + CHUNK_TEXTS]]
        # one array per chunk: as lists of Python integers they take ten times the memory
        part = RMinHash.digests_from_token_sets(sets, BANDS * BAND_ROWS, SEED)
        digests.append(np.array(part, dtype=np.uint32))
    step(len(texts), len(texts))
    return np.concatenate(digests)


def _find_candidates(signatures: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the pairs (m, 2) that agree in a whole band, sorted and without duplicates."""
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for band in range(BANDS):
        part = np.ascontiguousarray(signatures[:, band * BAND_ROWS : (band + 1) * BAND_ROWS])
        keys = part.view(np.dtype((np.void, part.dtype.itemsize * BAND_ROWS))).ravel()
        _, bucket, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(sizes)
        for end, size in zip(ends[sizes > 1], sizes[sizes > 1], strict=True):
            pairs.append(_pair_members(order[end - size : end]))
    return np.unique(np.concatenate(pairs), axis=0)


def _pair_members(members: NDArray[np.int64]) -> NDArray[np.int64]:
    reach = len(members) - 1 if len(members) <= LARGE_BUCKET else COMPARED_IN_LARGE_BUCKET
    return np.concatenate(
        [np.stack([members[:-gap], members[gap:]], axis=1) for gap in range(1, reach + 1)]
    )


def _check_stop(should_stop: ShouldStop) -> None:
    if should_stop():
        raise Stopped("The check was stopped.", "Start it again.")


TRAIN = "train"


@dataclass(frozen=True)
class Duplicates:
    """Duplicates of n texts, each array (n,).

    ``group`` numbers texts linked by equality or near equality; ``exact`` numbers equal texts.
    ``similarity`` is the highest Jaccard index with another text, 0 without one. ``leak`` is the
    position of an equal or nearly equal training text, -1 for none and for training texts.
    """

    group: NDArray[np.int64]
    exact: NDArray[np.int64]
    similarity: NDArray[np.float64]
    leak: NDArray[np.int64]


def find_duplicates(
    frame: pd.DataFrame,
    step: Step = lambda done, total: None,
    should_stop: ShouldStop = lambda: False,
) -> Duplicates:
    """Compare all texts of ``frame`` with each other across splits. Raises Stopped."""
    # imported in jobs only, not in the server
    from scipy.sparse import coo_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    exact = pd.factorize(frame["text"])[0].astype(np.int64)
    key, names = pd.factorize(
        pd.Series([normalize_text(text) for text in frame["text"]], dtype=object)
    )
    pairs, scores = find_near_pairs(list(names), step, should_stop)
    links = coo_array(
        (np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(names), len(names))
    )
    _, component = connected_components(links, directed=False)
    # equal but for case and punctuation
    best = np.where(np.bincount(key, minlength=len(names)) > 1, 1.0, 0.0)
    for side in (0, 1):
        np.maximum.at(best, pairs[:, side], scores)
    leak = _find_leaks(
        frame["split"].to_numpy() == TRAIN,
        key.astype(np.int64),
        len(names),
        pairs[np.argsort(scores, kind="stable")],
    )
    return Duplicates(component[key].astype(np.int64), exact, best[key], leak)


def has_company(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which members (n,) of ``groups`` (n,) share their group with another."""
    return np.asarray(np.bincount(groups)[groups] > 1) if len(groups) else np.zeros(0, dtype=bool)


def has_several(groups: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which members (n,) are in a group with different ``values`` (n,)."""
    return np.asarray(pd.Series(values).groupby(groups).transform("nunique").to_numpy() > 1)


def _find_leaks(
    train: NDArray[np.bool_], key: NDArray[np.int64], keys: int, pairs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Find the most similar training text of each other text; ``pairs`` of keys are sorted by
    ascending similarity.
    """
    first = np.full(keys, -1, dtype=np.int64)  # a training text of each key
    positions = np.flatnonzero(train)[::-1]
    first[key[positions]] = positions
    partner = first.copy()
    for left, right in pairs.tolist():
        if first[left] < 0 <= first[right]:
            partner[left] = first[right]
        elif first[right] < 0 <= first[left]:
            partner[right] = first[left]
    return np.where(train, -1, partner[key])
