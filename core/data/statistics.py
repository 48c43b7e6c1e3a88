"""What Explore asks of a dataset: balance and search. Frames are as ``Dataset.read`` gives them."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Length = Literal["characters", "words", "tokens"]


def class_balance(frames: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """Columns split, class, rows and share (of its split, 0 to 1), one line for each class in each split."""
    lines = []
    for split, frame in frames.items():
        rows = np.bincount(frame["label"], minlength=len(classes))
        lines.append(pd.DataFrame({"split": split, "class": list(classes), "rows": rows, "share": rows / max(len(frame), 1)}))
    return pd.concat(lines, ignore_index=True)


def find_rows(
    frame: pd.DataFrame,
    text: str = "",
    labels: Collection[int] = (),
    column: Length = "tokens",
    shortest: int | None = None,
    longest: int | None = None,
) -> NDArray[np.int64]:
    """Positions, ascending, of texts that hold ``text`` literally in any case, have one of ``labels`` (none: any) and fit the range.

    Positions rather than rows: a selection can be cached without a copy of its texts.
    """
    keep = np.ones(len(frame), dtype=bool)
    if labels:
        keep &= frame["label"].isin(list(labels)).to_numpy()
    if shortest is not None:
        keep &= (frame[column] >= shortest).to_numpy()
    if longest is not None:
        keep &= (frame[column] <= longest).to_numpy()
    if text:
        texts = pc.utf8_normalize(pa.array(frame["text"], type=pa.large_string()), "NFC")
        found = pc.match_substring(texts, unicodedata.normalize("NFC", text), ignore_case=True)
        keep &= found.to_numpy(zero_copy_only=False)
    return np.flatnonzero(keep)
