"""What Explore shows of a dataset: balance, lengths, how many texts are cut, and search. Frames are as ``Dataset.read`` gives them."""

import math
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Length = Literal["characters", "words", "tokens"]

TAIL_FROM = 0.99  # one text of a hundred goes to the last bin: a single very long one would press all others into a corner
QUANTILES = {"shortest": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "99 %": 0.99, "longest": 1.0}


def class_balance(frames: Mapping[str, pd.DataFrame], classes: Sequence[str]) -> pd.DataFrame:
    """Columns split, class, rows and share (of its split, 0 to 1), one line for each class in each split."""
    lines = []
    for split, frame in frames.items():
        rows = np.bincount(frame["label"], minlength=len(classes))
        lines.append(pd.DataFrame({"split": split, "class": list(classes), "rows": rows, "share": rows / max(len(frame), 1)}))
    return pd.concat(lines, ignore_index=True)


def length_histogram(frame: pd.DataFrame, classes: Sequence[str], column: Length, bins: int = 30) -> pd.DataFrame:
    """Columns class, start, end (both included), bin ("20–23", the last "120 or more") and rows: up to ``bins`` + 1 lines a class.

    Bins are equally wide up to the 99th percentile; the last one gathers all longer texts.
    """
    lengths = frame[column].to_numpy()
    starts, names = _bins(lengths, bins)
    places = np.searchsorted(starts, lengths, side="right") - 1  # (n,) the bin of each text
    rows = np.bincount(frame["label"].to_numpy() * len(starts) + places, minlength=len(classes) * len(starts))
    ends = np.append(starts[1:] - 1, lengths.max(initial=0))[: len(starts)]
    columns = {"start": np.tile(starts, len(classes)), "end": np.tile(ends, len(classes)), "bin": names * len(classes), "rows": rows}
    return pd.DataFrame({"class": np.repeat(list(classes), len(starts)), **columns})


def length_quantiles(frame: pd.DataFrame, classes: Sequence[str], column: Length) -> pd.DataFrame:
    """Columns class, shortest, 5 %, median, 95 %, 99 %, longest, one line a class and a last line "all"."""
    values = frame[column].to_numpy()
    labels = frame["label"].to_numpy()
    groups = {name: values[labels == number] for number, name in enumerate(classes)} | {"all": values}
    lines = {name: np.quantile(group, list(QUANTILES.values()), method="lower") for name, group in groups.items() if len(group)}
    table = pd.DataFrame.from_dict(lines, orient="index", columns=list(QUANTILES))
    return table.rename_axis("class").reset_index()


def share_cut(frame: pd.DataFrame, max_tokens: int) -> float:
    """Share (0 to 1) of texts longer than ``max_tokens`` tokens of the default model, special tokens included."""
    return float((frame["tokens"] > max_tokens).mean()) if len(frame) else 0.0


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


def _bins(lengths: NDArray[np.int64], bins: int) -> tuple[NDArray[np.int64], list[str]]:
    """Where each bin starts, and what it is called."""
    if not len(lengths):
        return np.empty(0, dtype=np.int64), []
    low, last = int(lengths.min()), int(np.quantile(lengths, TAIL_FROM, method="higher"))
    width = math.ceil((last + 1 - low) / bins)
    starts = np.arange(low, last + 1, width)
    names = [str(start) if width == 1 else f"{start}–{start + width - 1}" for start in starts]
    beyond = int(starts[-1]) + width
    if lengths.max() < beyond:
        return starts, names
    return np.append(starts, beyond), [*names, f"{beyond} or more"]
