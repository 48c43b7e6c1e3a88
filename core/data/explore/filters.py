"""Which rows a person has selected: each filter a mask over the rows of an index, and all of them
together.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.data.explore.index import Length, Mask, TextIndex
from core.data.explore.words import fold
from core.data.sources import Split


class Dimension(StrEnum):
    """What can be filtered. A picture of one dimension is narrowed by all the others."""

    CLASS = "class"
    LENGTH = "length"
    TEXT = "text"
    WORD = "word"
    PATTERN = "pattern"


@dataclass(frozen=True)
class Filters:
    """What is selected; hashable, so that what follows from it can be cached. Empty, or None, is
    without a limit.
    """

    split: Split = "train"
    classes: tuple[int, ...] = ()
    unit: Length = "tokens"
    shortest: int | None = None
    longest: int | None = None
    text: str = ""
    word: str = ""
    pattern: str = ""

    @property
    def active(self) -> tuple[Dimension, ...]:
        """Dimensions that leave rows out."""
        limits = {
            Dimension.CLASS: bool(self.classes),
            Dimension.LENGTH: self.shortest is not None or self.longest is not None,
            Dimension.TEXT: bool(self.text),
            Dimension.WORD: bool(self.word),
            Dimension.PATTERN: bool(self.pattern),
        }
        return tuple(dimension for dimension, on in limits.items() if on)


def dimension_mask(index: TextIndex, filters: Filters, dimension: Dimension) -> Mask:
    """Rows (n,), of all splits, that one of the filters leaves."""
    match dimension:
        case Dimension.CLASS:
            return np.isin(index.labels, filters.classes)
        case Dimension.LENGTH:
            lengths = index.lengths[filters.unit]
            low = 0 if filters.shortest is None else filters.shortest
            return (
                (lengths >= low)
                if filters.longest is None
                else (lengths >= low) & (lengths <= filters.longest)
            )
        case Dimension.TEXT:
            return _holding(index, filters.text)
        case Dimension.WORD:
            return _with_word(index, filters.word)
        case Dimension.PATTERN:
            return _with_pattern(index, filters.pattern)


MaskOf = Callable[[TextIndex, Filters, Dimension], Mask]


def find_mask(
    index: TextIndex,
    filters: Filters,
    without: Collection[Dimension] = (),
    mask_of: MaskOf = dimension_mask,
) -> Mask:
    """Rows (n,), of all splits, that every filter but those of ``without`` leaves. ``mask_of`` may
    remember masks.
    """
    kept = np.ones(len(index), dtype=bool)
    for dimension in filters.active:
        if dimension not in without:
            kept &= mask_of(index, filters, dimension)
    return kept


def positions_in_split(index: TextIndex, kept: Mask, split: Split) -> NDArray[np.int64]:
    """Positions, ascending, of the rows of ``split`` that ``kept`` (n,) holds."""
    part = index.splits[split]
    positions: NDArray[np.int64] = np.flatnonzero(kept[part]) + part.start
    return positions


def _holding(index: TextIndex, text: str) -> Mask:
    """Texts that hold ``text`` literally, in any case and either form of accents."""
    found: Mask = pc.match_substring(index.folded, fold(text)).to_numpy(zero_copy_only=False)
    return found


def _with_word(index: TextIndex, word: str) -> Mask:
    """Texts with the whole word."""
    kept, word_id = np.zeros(len(index), dtype=bool), index.word_id(fold(word.strip()))
    if word_id is not None:
        places = np.flatnonzero(index.word_ids == word_id)
        kept[np.searchsorted(index.word_starts, places, side="right") - 1] = True
    return kept


def _with_pattern(index: TextIndex, name: str) -> Mask:
    kept = np.zeros(len(index), dtype=bool)
    for pattern in index.patterns:
        if pattern.name == name:
            kept[pattern.rows] = True
    return kept
