"""Bounded caches of the Explore page: the text index and what is computed from a selection.

Everything here is shared between sessions and read-only. A cache's key names only the filters that
its value depends on.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np
import pandas as pd
import pyarrow as pa
import streamlit as st
from numpy.typing import NDArray

from core.charts import Chart
from core.data.dataset import Dataset
from core.data.explore import boilerplate, distinctive_words, statistics
from core.data.explore.distinctive_words import WordCounts
from core.data.explore.filters import (
    Dimension,
    Filters,
    dimension_mask,
    find_mask,
    positions_in_split,
)
from core.data.explore.index import Mask, TextIndex, open_index
from ui.session.cache import BoundedCache
from ui.widgets import chart_view, tables

# Not ``st.cache_resource``: it would compute a hash of the filters at each of 20 reads of a view.
# Of one byte per text; of eight, and of four, per matching text: most charts have the same.
_masks: BoundedCache[Hashable, Mask] = BoundedCache(24)
_positions: BoundedCache[Hashable, NDArray[np.int64]] = BoundedCache(4)
_orders: BoundedCache[Hashable, NDArray[np.int32]] = BoundedCache(6)
_counts: BoundedCache[Hashable, WordCounts] = BoundedCache(6)  # up to 8 MB each
_counting = Lock()  # a count takes 0.2 s and a lot of memory: simultaneous visitors wait for it
_words: BoundedCache[Hashable, pd.DataFrame] = BoundedCache(128)  # of 40 lines
_evidence: BoundedCache[Hashable, pd.DataFrame] = BoundedCache(32)  # of about 30 lines
# three lines per class, and five numbers
_balances: BoundedCache[Hashable, pd.DataFrame] = BoundedCache(50)
_cuts: BoundedCache[Hashable, statistics.CutCount] = BoundedCache(100)
MOST_WORDS = 40  # per class: what fits into a cloud
BLANK = Filters()
FIELDS: dict[Dimension, tuple[str, ...]] = {  # of Filters
    Dimension.CLASS: ("classes",),
    Dimension.LENGTH: ("shortest", "longest"),
    Dimension.TEXT: ("text",),
    Dimension.WORD: ("word",),
    Dimension.PATTERN: ("pattern",),
}


@dataclass(frozen=True)
class View:
    """The dataset and the selection of the filter bar."""

    dataset: Dataset
    index: TextIndex
    filters: Filters

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in the order of their ids."""
        return self.dataset.classes

    @property
    def shown(self) -> tuple[int, ...]:
        """Ids of the chosen classes, or of all classes if none is chosen."""
        return self.filters.classes or tuple(range(len(self.classes)))

    def mask(self, *without: Dimension) -> Mask:
        """Return the mask of matching rows in all splits, ignoring the filters in ``without``."""
        key = _without(self.filters, without)
        return _mask(self.dataset.fingerprint, key, self.index)

    def positions(self, *without: Dimension) -> NDArray[np.int64]:
        """Return the ascending positions of matching rows in the chosen split."""
        filters = _without(self.filters, without)

        def find() -> NDArray[np.int64]:
            mask = _mask(self.dataset.fingerprint, filters, self.index)
            return positions_in_split(self.index, mask, filters.split)

        return _positions.get_or_make((self.dataset.fingerprint, filters), find)


def chart(view: View, name: str, made_from: Hashable, make: Callable[[], Chart]) -> Chart:
    """Return a chart of the selection, made once for all visitors who see it.

    ``made_from`` holds what the chart depends on besides dataset and filters.
    """
    return chart_view.share((*_identify(view), name, made_from), make)


def table(view: View, name: str, made_from: Hashable, make: Callable[[], pd.DataFrame]) -> pa.Table:
    """Return a table of the selection, as ``chart`` does."""
    return tables.share((*_identify(view), name, made_from), make)


def class_balance(view: View) -> pd.DataFrame:
    """Return the texts per split and class, ignoring the chosen class. Shared: never change it."""
    key = *_identify(view), "balance"
    return _balances.get_or_make(
        key,
        lambda: statistics.class_balance(view.index, view.mask(Dimension.CLASS), len(view.classes)),
    )


def cut_at(view: View, max_tokens: int) -> statistics.CutCount:
    """Return what a limit of ``max_tokens`` truncates, ignoring the chosen length."""
    key = *_identify(view), "cut", max_tokens

    def compute() -> statistics.CutCount:
        tokens = view.index.lengths["tokens"][view.positions(Dimension.LENGTH)]
        return statistics.cut_at(tokens, max_tokens)

    return _cuts.get_or_make(key, compute)


def _identify(view: View) -> tuple[str, tuple[str, ...], Filters]:
    return view.dataset.fingerprint, view.classes, view.filters


def index_of(dataset: Dataset) -> TextIndex:
    """Return the index, memory-mapped and checked once. Raises ArtifactDamaged."""
    return _index(dataset.fingerprint, dataset)


def order_of(view: View) -> NDArray[np.int32]:
    """Return the selected positions in random order, as a source may be sorted by class."""
    key = view.dataset.fingerprint, view.filters
    return _orders.get_or_make(key, lambda: view.index.mix(view.positions()))


def word_counts(view: View) -> WordCounts:
    """Count words of the selected rows, ignoring the chosen class and word."""
    filters = _without(view.filters, (Dimension.CLASS, Dimension.WORD))
    counts = _counts.get(_identify_counts(view, filters))
    if counts is None:
        with _counting:
            counts = _count_words(view, filters)
    return counts


def words_of(view: View, label: int) -> pd.DataFrame:
    """Return the distinctive words of a class: word, z, count, share, share_elsewhere."""
    filters = _without(view.filters, (Dimension.CLASS, Dimension.WORD))

    def find() -> pd.DataFrame:
        return distinctive_words.distinctive_words(view.index, word_counts(view), label, MOST_WORDS)

    return _words.get_or_make((view.dataset.fingerprint, filters, label), find)


def evidence(view: View) -> pd.DataFrame:
    """Return ``boilerplate.evidence`` of the selected rows, ignoring the chosen class and
    pattern.
    """
    without = Dimension.CLASS, Dimension.PATTERN

    def measure() -> pd.DataFrame:
        index, part = view.index, view.index.splits[view.filters.split]
        selected = np.zeros(len(index), dtype=bool)
        selected[part] = view.mask(*without)[part]
        return boilerplate.evidence(index.patterns, index.labels, selected, len(view.classes))

    key = view.dataset.fingerprint, len(view.classes), _without(view.filters, without)
    return _evidence.get_or_make(key, measure)


def histogram(view: View) -> statistics.Histogram:
    """Return the length histogram of the selected rows, ignoring the chosen length."""
    positions = view.positions(Dimension.LENGTH)
    return statistics.length_bins(
        view.index.lengths[view.filters.unit][positions],
        view.index.labels[positions],
        len(view.classes),
    )


def _without(filters: Filters, dimensions: Collection[Dimension]) -> Filters:
    """Return ``filters`` with ``dimensions`` reset."""
    blank = {name: getattr(BLANK, name) for dimension in dimensions for name in FIELDS[dimension]}
    return replace(filters, **blank)


# memory-mapped files, whose pages the kernel can drop
@st.cache_resource(max_entries=2, show_spinner=False)
def _index(fingerprint: str, _dataset: Dataset) -> TextIndex:
    return open_index(_dataset)


def _mask(fingerprint: str, filters: Filters, index: TextIndex) -> Mask:
    """Combine the filters; each is cached on its own, as the next view usually changes only one."""

    def remembered(index: TextIndex, filters: Filters, dimension: Dimension) -> Mask:
        alone = _without(
            replace(filters, split=BLANK.split),
            [other for other in Dimension if other is not dimension],
        )
        unit = filters.unit if dimension is Dimension.LENGTH else BLANK.unit
        alone = replace(alone, unit=unit)
        return _masks.get_or_make(
            (fingerprint, alone), lambda: dimension_mask(index, alone, dimension)
        )

    return find_mask(index, filters, mask_of=remembered)


def _count_words(view: View, filters: Filters) -> WordCounts:
    """Count words of the rows that pass ``filters``; hold ``_counting`` meanwhile."""
    classes = len(view.classes)

    def compute() -> WordCounts:
        blank = Filters(split=filters.split)
        whole = _count_words(view, blank) if filters.active else None
        mask = _mask(view.dataset.fingerprint, filters, view.index)
        return distinctive_words.count_words(view.index, mask, filters.split, classes, whole)

    return _counts.get_or_make(_identify_counts(view, filters), compute)


def _identify_counts(view: View, filters: Filters) -> tuple[str, int, Filters]:
    return view.dataset.fingerprint, len(view.classes), filters
