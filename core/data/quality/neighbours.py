"""The texts most like a doubted one, by the cosine of their TF-IDF vectors: what its label can be judged beside."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.quality.near import ShouldStop
from core.errors import Stopped

NEAREST = 3
BLOCK = 128  # doubted texts at once: their cosines to 36,000 texts are 37 MB
COLUMNS = ("split", "row", "near_split", "near_row", "similarity")


def find_neighbours(
    features: Any, frame: pd.DataFrame, doubted: NDArray[np.int64], groups: NDArray[np.int64], should_stop: ShouldStop
) -> pd.DataFrame:
    """``COLUMNS``: up to ``NEAREST`` texts for each place in ``doubted``, the most similar first.

    ``features`` (n, d) is sparse with rows of length one or zero, None where there is none; ``frame`` has split and row, ``groups`` (n,)
    the group of near copies, which are left out: they are a finding of their own. Raises Stopped.
    """
    pairs: list[tuple[int, int, float]] = []
    for start in range(0, len(doubted) if features is not None else 0, BLOCK):
        if should_stop():
            raise Stopped("The check was stopped.", "Start it again.")
        places = doubted[start : start + BLOCK]
        likeness = (features[places] @ features.T).toarray()  # (b, n)
        likeness[groups[places][:, None] == groups[None, :]] = 0
        for place, values in zip(places, likeness, strict=True):
            near = np.argpartition(-values, min(NEAREST, len(values) - 1))[:NEAREST]
            near = near[np.argsort(-values[near], kind="stable")]
            pairs += [(int(place), int(other), float(values[other])) for other in near if values[other] > 0]
    one, other = [place for place, _, _ in pairs], [place for _, place, _ in pairs]
    kept = {
        "split": frame["split"].to_numpy(dtype=object)[one],
        "row": frame["row"].to_numpy()[one],
        "near_split": frame["split"].to_numpy(dtype=object)[other],
        "near_row": frame["row"].to_numpy()[other],
        "similarity": np.array([value for _, _, value in pairs], dtype=np.float32),
    }
    return pd.DataFrame(kept, columns=list(COLUMNS))
