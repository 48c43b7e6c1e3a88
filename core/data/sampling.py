"""Draw fixed samples: in equal shares per class for training and validation, and in mixed order to look at."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MIX_SEED = 0  # any will do, as long as it stays


def mix_positions(positions: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Positions below ``rows`` in a random order that is always the same; a part of them keeps the order it has among all."""
    ranks = np.random.default_rng(MIX_SEED).permutation(rows)
    return positions[np.argsort(ranks[positions])]


def stratified_sample(frame: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Exactly ``rows`` rows of ``frame`` in an order shuffled by ``seed``, with a new index.

    Each value of ``label`` gets an equal share; a class with fewer rows gives all it has and the others fill up.
    ``rows`` 0, or at least the rows there are, takes all. With one seed a smaller sample is part of a larger one.
    """
    generator = np.random.default_rng(seed)
    labels = frame["label"].to_numpy()
    by_class = [generator.permutation(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    wanted = len(frame) if rows == 0 else min(rows, len(frame))
    shares = equal_shares(np.array([len(members) for members in by_class], dtype=np.int64), wanted)
    taken = np.concatenate([np.empty(0, dtype=np.int64), *(members[:share] for members, share in zip(by_class, shares, strict=True))])
    return frame.iloc[generator.permutation(taken)].reset_index(drop=True)


def equal_shares(available: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """How many rows each class gives: as even as ``available`` allows, ``wanted`` in all; what is left over goes to the first."""
    shares = np.zeros_like(available)
    while (missing := min(wanted, int(available.sum())) - int(shares.sum())) > 0:
        unfinished = np.flatnonzero(shares < available)
        if missing < len(unfinished):
            shares[unfinished[:missing]] += 1
        else:
            shares[unfinished] = np.minimum(available[unfinished], shares[unfinished] + missing // len(unfinished))
    return shares
