"""Bounded caches of the Explore page: the text index and what is computed from a selection.

Everything here is shared between sessions and read-only. A cache's key names only the filters that
its value depends on.
"""

from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass, replace

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
        key = _without(self.filters, without)
        return _positions(self.dataset.fingerprint, key, self.index)


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
    return _mixed(view.dataset.fingerprint, view.filters, view)


def word_counts(view: View) -> WordCounts:
    """Count words of the selected rows, ignoring the chosen class and word."""
    return _word_counts(
        view.dataset.fingerprint,
        _without(view.filters, (Dimension.CLASS, Dimension.WORD)),
        view.index,
        len(view.classes),
    )


def words_of(view: View, label: int) -> pd.DataFrame:
    """Return the distinctive words of a class: word, z, count, share, share_elsewhere."""
    return _words(
        view.dataset.fingerprint,
        _without(view.filters, (Dimension.CLASS, Dimension.WORD)),
        label,
        view,
    )


def evidence(view: View) -> pd.DataFrame:
    """Return ``boilerplate.evidence`` of the selected rows, ignoring the chosen class and
    pattern.
    """
    return _evidence(
        view.dataset.fingerprint,
        _without(view.filters, (Dimension.CLASS, Dimension.PATTERN)),
        view.index,
        len(view.classes),
    )


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
        return _dimension(fingerprint, replace(alone, unit=unit), dimension, index)

    return find_mask(index, filters, mask_of=remembered)


@st.cache_resource(max_entries=24, show_spinner=False)  # one byte per text
def _dimension(fingerprint: str, filters: Filters, dimension: Dimension, _index: TextIndex) -> Mask:
    return dimension_mask(_index, filters, dimension)


# eight bytes per matching text; most charts of a view have the same
@st.cache_resource(max_entries=2, show_spinner=False)
def _positions(fingerprint: str, filters: Filters, _index: TextIndex) -> NDArray[np.int64]:
    return positions_in_split(_index, _mask(fingerprint, filters, _index), filters.split)


@st.cache_resource(max_entries=6, show_spinner=False)  # four bytes per matching text
def _mixed(fingerprint: str, filters: Filters, _view: View) -> NDArray[np.int32]:
    return _view.index.mix(_view.positions())


@st.cache_resource(max_entries=6, show_spinner=False)  # four bytes per word and class, up to 8 MB
def _word_counts(fingerprint: str, filters: Filters, _index: TextIndex, classes: int) -> WordCounts:
    blank = Filters(split=filters.split)
    whole = _word_counts(fingerprint, blank, _index, classes) if filters.active else None
    return distinctive_words.count_words(
        _index, _mask(fingerprint, filters, _index), filters.split, classes, whole
    )


@st.cache_resource(max_entries=128, show_spinner=False)  # 40 lines
def _words(fingerprint: str, filters: Filters, label: int, _view: View) -> pd.DataFrame:
    return distinctive_words.distinctive_words(_view.index, word_counts(_view), label, MOST_WORDS)


@st.cache_resource(max_entries=32, show_spinner=False)  # about 30 lines
def _evidence(fingerprint: str, filters: Filters, _index: TextIndex, classes: int) -> pd.DataFrame:
    part, selected = _index.splits[filters.split], np.zeros(len(_index), dtype=bool)
    selected[part] = _mask(fingerprint, filters, _index)[part]
    return boilerplate.evidence(_index.patterns, _index.labels, selected, classes)
