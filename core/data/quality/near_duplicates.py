"""Pairs of nearly equal texts: MinHash signatures find candidates, the exact Jaccard index of their
shingles decides.

Broder, On the resemblance and containment of documents (1997); bands as in Leskovec et al., Mining
of Massive Datasets, 3.4.

Texts that occur more than once: copies, near copies, copies with another label, and copies on both
sides of a split.
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

SHINGLE_CHARACTERS = 5  # characters, not words: languages without spaces work too
SIMILAR = 0.7  # one word of ten changed leaves about 0.75
BANDS, BAND_ROWS = (
    25,
    5,
)  # a pair at 0.7 is met with probability 0.99, at 0.8 with 0.9999, at 0.3 with 0.06
SEED = 42
CHUNK_TEXTS = 2000  # about 0.2 s: how soon a stop is noticed
CROWD = 64  # members of one bucket from which on each is compared with some of the others only
CROWD_COMPARED = 16
KEPT_SHINGLES = 20_000
WORDLESS = re.compile(r"[\W_]+")

Step = Callable[[int, int], None]  # done, total
ShouldStop = Callable[[], bool]
Pairs = tuple[NDArray[np.int64], NDArray[np.float64]]


def normalise(text: str) -> str:
    """``text`` without case, punctuation and spare spaces; as it is where nothing would be left."""
    return WORDLESS.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip() or text


def shingles(text: str) -> frozenset[str]:
    """All runs of five characters; the text itself where it is shorter."""
    return frozenset(
        text[start : start + SHINGLE_CHARACTERS]
        for start in range(max(1, len(text) - SHINGLE_CHARACTERS + 1))
    )


def find_near_pairs(
    texts: Sequence[str],
    step: Step = lambda done, total: None,
    should_stop: ShouldStop = lambda: False,
) -> Pairs:
    """Places of the two texts of each pair (m, 2), the smaller first, and their Jaccard index (m,),
    at least 0.7. Raises Stopped.

    ``texts`` are normalised and differ from each other. Where very many texts share a bucket, each
    is compared with the next sixteen of it, which still links them all.
    """
    if len(texts) < 2:
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    candidates = _candidates(_signatures(texts, step, should_stop))
    cached = lru_cache(maxsize=KEPT_SHINGLES)(lambda place: shingles(texts[place]))
    scores = np.zeros(len(candidates))
    for number, (one, other) in enumerate(candidates.tolist()):
        if number % CHUNK_TEXTS == 0:
            _check_stop(should_stop)
        a, b = cached(one), cached(other)
        if min(len(a), len(b)) >= SIMILAR * max(
            len(a), len(b)
        ):  # otherwise the index cannot reach it
            common = len(a & b)
            scores[number] = common / (len(a) + len(b) - common)
    similar = scores >= SIMILAR
    return candidates[similar], scores[similar]


def _signatures(texts: Sequence[str], step: Step, should_stop: ShouldStop) -> NDArray[np.uint32]:
    """(n, BANDS · BAND_ROWS)"""
    from rensa import RMinHash  # noqa: PLC0415 - the server reads reports and never makes one

    made = []
    for start in range(0, len(texts), CHUNK_TEXTS):
        _check_stop(should_stop)
        step(start, len(texts))
        sets = [list(shingles(text)) for text in texts[start : start + CHUNK_TEXTS]]
        made += RMinHash.digests_from_token_sets(sets, BANDS * BAND_ROWS, SEED)
    step(len(texts), len(texts))
    return np.array(made, dtype=np.uint32)


def _candidates(signatures: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Pairs that agree in a whole band, each once, sorted (m, 2)."""
    found = [np.empty((0, 2), dtype=np.int64)]
    for band in range(BANDS):
        part = np.ascontiguousarray(signatures[:, band * BAND_ROWS : (band + 1) * BAND_ROWS])
        keys = part.view(np.dtype((np.void, part.dtype.itemsize * BAND_ROWS))).ravel()
        _, bucket, sizes = np.unique(keys, return_inverse=True, return_counts=True)
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(sizes)
        for end, size in zip(ends[sizes > 1], sizes[sizes > 1], strict=True):
            found.append(_pairs_within(order[end - size : end]))
    return np.unique(np.concatenate(found), axis=0)


def _pairs_within(members: NDArray[np.int64]) -> NDArray[np.int64]:
    reach = len(members) - 1 if len(members) <= CROWD else CROWD_COMPARED
    return np.concatenate(
        [np.stack([members[:-gap], members[gap:]], axis=1) for gap in range(1, reach + 1)]
    )


def _check_stop(should_stop: ShouldStop) -> None:
    if should_stop():
        raise Stopped("The check was stopped.", "Start it again.")


TRAIN = "train"


@dataclass(frozen=True)
class Duplicates:
    """Each (n,). ``group`` numbers texts that are linked by equality or nearness; ``exact`` numbers
    equal texts.

    ``similarity`` is the highest Jaccard index with another text, 0 for a text that stands alone.
    ``leak`` is the place of a training text that is equal or near, -1 for none and for training
    texts themselves.
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
    """Compare all texts of ``frame`` with each other, over all its splits. Raises Stopped."""
    # The server reads reports and never makes one.
    from scipy.sparse import coo_array  # noqa: PLC0415
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    exact = pd.factorize(frame["text"])[0].astype(np.int64)
    key, names = pd.factorize(pd.Series([normalise(text) for text in frame["text"]], dtype=object))
    pairs, scores = find_near_pairs(list(names), step, should_stop)
    links = coo_array(
        (np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(names), len(names))
    )
    _, component = connected_components(links, directed=False)
    best = np.where(
        np.bincount(key, minlength=len(names)) > 1, 1.0, 0.0
    )  # equal but for case and punctuation
    for side in (0, 1):
        np.maximum.at(best, pairs[:, side], scores)
    leak = _leaks(
        frame["split"].to_numpy() == TRAIN,
        key.astype(np.int64),
        len(names),
        pairs[np.argsort(scores, kind="stable")],
    )
    return Duplicates(component[key].astype(np.int64), exact, best[key], leak)


def has_company(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which members (n,) of ``groups`` (n,) are not alone in theirs."""
    return np.asarray(np.bincount(groups)[groups] > 1) if len(groups) else np.zeros(0, dtype=bool)


def has_several(groups: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which members (n,) are in a group whose ``values`` (n,) differ."""
    return np.asarray(pd.Series(values).groupby(groups).transform("nunique").to_numpy() > 1)


def _leaks(
    train: NDArray[np.bool_], key: NDArray[np.int64], keys: int, pairs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """``pairs`` of keys come least similar first, so that the nearest is written last."""
    first = np.full(keys, -1, dtype=np.int64)  # a training text of each key
    places = np.flatnonzero(train)[::-1]
    first[key[places]] = places
    partner = first.copy()
    for one, other in pairs.tolist():
        if first[one] < 0 <= first[other]:
            partner[one] = first[other]
        elif first[other] < 0 <= first[one]:
            partner[other] = first[one]
    return np.where(train, -1, partner[key])
