"""Texts that occur more than once: copies, near copies, copies with another label, and copies on both sides of a split."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.quality.near import ShouldStop, Step, find_near_pairs, normalise

TRAIN = "train"


@dataclass(frozen=True)
class Duplicates:
    """Each (n,). ``group`` numbers texts that are linked by equality or nearness; ``exact`` numbers equal texts.

    ``similarity`` is the highest Jaccard index with another text, 0 for a text that stands alone. ``leak`` is the place of a
    training text that is equal or near, -1 for none and for training texts themselves.
    """

    group: NDArray[np.int64]
    exact: NDArray[np.int64]
    similarity: NDArray[np.float64]
    leak: NDArray[np.int64]


def find_duplicates(frame: pd.DataFrame, step: Step = lambda done, total: None, should_stop: ShouldStop = lambda: False) -> Duplicates:
    """Compare all texts of ``frame`` with each other, over all its splits. Raises Stopped."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - the server reads reports and never makes one
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    exact = pd.factorize(frame["text"])[0].astype(np.int64)
    key, names = pd.factorize(pd.Series([normalise(text) for text in frame["text"]], dtype=object))
    pairs, scores = find_near_pairs(list(names), step, should_stop)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(names), len(names)))
    _, component = connected_components(links, directed=False)
    best = np.where(np.bincount(key, minlength=len(names)) > 1, 1.0, 0.0)  # equal but for case and punctuation
    for side in (0, 1):
        np.maximum.at(best, pairs[:, side], scores)
    leak = _leaks(frame["split"].to_numpy() == TRAIN, key.astype(np.int64), len(names), pairs[np.argsort(scores, kind="stable")])
    return Duplicates(component[key].astype(np.int64), exact, best[key], leak)


def has_company(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which members (n,) of ``groups`` (n,) are not alone in theirs."""
    return np.asarray(np.bincount(groups)[groups] > 1) if len(groups) else np.zeros(0, dtype=bool)


def has_several(groups: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which members (n,) are in a group whose ``values`` (n,) differ."""
    return np.asarray(pd.Series(values).groupby(groups).transform("nunique").to_numpy() > 1)


def _leaks(train: NDArray[np.bool_], key: NDArray[np.int64], keys: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
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
