"""Row filters: a mask over the rows of an index for each filter, and their intersection."""

import re
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from core.data.explore.index import Length, Mask, TextIndex
from core.data.explore.words import fold
from core.data.sources import Split

SEARCH_THREADS = 2  # RE2 runs without the GIL; more would slow down the other sessions
LONGEST_EXPRESSION = 500  # characters; RE2 refuses expressions that need too much memory


class Dimension(StrEnum):
    """A dimension that can be filtered. A chart of one dimension shows the rows that pass all
    others.
    """

    CLASS = "class"
    LENGTH = "length"
    TEXT = "text"
    WORD = "word"
    PATTERN = "pattern"


@dataclass(frozen=True)
class Filters:
    """The current filters. Hashable, so that results can be cached; empty and None mean no
    limit.
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
        """Dimensions that exclude rows."""
        limits = {
            Dimension.CLASS: bool(self.classes),
            Dimension.LENGTH: self.shortest is not None or self.longest is not None,
            Dimension.TEXT: bool(self.text),
            Dimension.WORD: bool(self.word),
            Dimension.PATTERN: bool(self.pattern),
        }
        return tuple(dimension for dimension, on in limits.items() if on)


def dimension_mask(index: TextIndex, filters: Filters, dimension: Dimension) -> Mask:
    """Rows (n,) of all splits that pass the filter of one dimension."""
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
            return _match_text(index, filters.text)
        case Dimension.WORD:
            return _match_word(index, filters.word)
        case Dimension.PATTERN:
            return _match_pattern(index, filters.pattern)


MaskOf = Callable[[TextIndex, Filters, Dimension], Mask]


def find_mask(
    index: TextIndex,
    filters: Filters,
    without: Collection[Dimension] = (),
    mask_of: MaskOf = dimension_mask,
) -> Mask:
    """Rows (n,) of all splits that pass every filter except those in ``without``. ``mask_of`` may
    cache, so the result may be shared and must not be changed.
    """
    masks = [
        mask_of(index, filters, dimension)
        for dimension in filters.active
        if dimension not in without
    ]
    return reduce(np.logical_and, masks) if masks else np.ones(len(index), dtype=bool)


def positions_in_split(index: TextIndex, mask: Mask, split: Split) -> NDArray[np.int64]:
    """Return the positions, ascending, of the rows of ``split`` in ``mask`` (n,)."""
    part = index.splits[split]
    positions: NDArray[np.int64] = np.flatnonzero(mask[part])
    positions += part.start
    return positions


def _match_text(index: TextIndex, text: str) -> Mask:
    """Match texts that contain ``text`` literally, ignoring case and the composition of accents.

    As an expression for RE2 a text is found four times as fast as by ``match_substring``.
    """
    folded, mask = fold(text), np.empty(len(index), dtype=bool)
    find = pc.match_substring_regex if len(folded) <= LONGEST_EXPRESSION else pc.match_substring
    pattern = re.escape(folded) if len(folded) <= LONGEST_EXPRESSION else folded

    def match(part: slice) -> None:
        mask[part] = find(index.folded[part], pattern).to_numpy(zero_copy_only=False)
        index.release()

    with ThreadPoolExecutor(SEARCH_THREADS) as threads:
        list(threads.map(match, index.list_parts()))  # raises the errors of the threads
    return mask


def _match_word(index: TextIndex, word: str) -> Mask:
    """Match texts that contain ``word`` as a whole word."""
    mask, word_id = np.zeros(len(index), dtype=bool), index.word_id(fold(word.strip()))
    if word_id is None:
        return mask
    for part in index.list_parts():
        starts = index.word_starts[part.start : part.stop + 1]
        occurrences = np.flatnonzero(index.word_ids[starts[0] : starts[-1]] == word_id)
        rows = np.searchsorted(starts, occurrences + starts[0], side="right") - 1
        mask[rows + part.start] = True
        index.release()
    return mask


def _match_pattern(index: TextIndex, name: str) -> Mask:
    mask = np.zeros(len(index), dtype=bool)
    for pattern in index.patterns:
        if pattern.name == name:
            mask[pattern.rows] = True
    return mask
