"""Parts of the Explore page: origin, balance, lengths, and what a limit of tokens cuts."""

import pandas as pd
import streamlit as st

from core import charts
from core.charts.distributions import ALL, MOST_LINES
from core.data.dataset import Dataset
from core.data.explore import statistics
from core.data.explore.filters import Dimension
from core.data.explore.index import TextIndex
from core.errors import ArtifactDamaged
from core.settings import Settings
from ui.explore import view_cache
from ui.explore.filters import BALANCE_KEY, BOXES_KEY, LENGTHS_KEY, MAX_TOKENS_KEY, only_cut
from ui.explore.view_cache import View
from ui.session import cache
from ui.session.error_boundary import boundary
from ui.text import count, per_cent, plain
from ui.widgets import chart_view, prepare_data

MARK_TOKENS = 128  # where the default run cuts
MOST_TOKENS = 512  # what the base models can read
TALL_CLASSES, TALL_PIXELS = 8, 480  # more classes than that scroll in a box of their own
HOW_TO_READ = """
- **Every picture is a filter.** A click on a bar, a box, a length, a word or a pattern keeps the
  texts behind it in all the others; another click lets go. The address of the page holds the
  selection: copy it to share what you see.
- **Train** is what a run learns from, **validation** a tenth of the source's training texts held
  back to choose the best checkpoint, **test** is touched once, by the final evaluation.
- **Tokens** are the pieces that the default model reads, its two special tokens included. Longer
  texts are cut at the run's max tokens.
- **Balance** matters because accuracy flatters a model that has seen one class far more often
  than the others.
- **Words that set a class apart** are ranked by the z-score of the log-odds ratio between the
  class and all others, with a Dirichlet prior from the whole dataset that tames rare words
  (Monroe, Colaresi and Quinn, 2008). Only words above 1.96 are shown.
- **Sources and boilerplate** stand in a text without being its content. A pattern that is × 8
  for a class stands in its texts eight times as often as in the others: a model may learn it
  instead of the topic, and fail where it is missing.
"""


def require_index(dataset: Dataset) -> TextIndex:
    """The index of the texts. Where it is missing or damaged the page ends here, with the button
    that builds it.
    """
    try:
        return view_cache.index_of(dataset)
    except ArtifactDamaged:
        store = cache.open_lab()
        status = cache.data_status(store.settings)
        prepare_data.draw(
            store,
            status,
            what=(
                "has to be indexed once: its words are counted for this page. It takes a few"
                " seconds."
            ),
        )
        st.stop()


def draw_origin(dataset: Dataset) -> None:
    """Which data this is: source, rows of each split, fingerprint, why this one, and what was done
    to it.
    """
    rows = (
        f"{dataset.train_rows:,} train rows, {dataset.validation_rows:,} of them for validation,"
        f" {dataset.test_rows:,} test rows"
    )
    st.caption(f"{plain(dataset.name)} · {rows} · fingerprint `{dataset.fingerprint}`")
    source = cache.data_status(Settings()).source
    for note in [*([source.note] if source else []), *dataset.notes]:
        st.caption(plain(note))


def draw_balance(view: View) -> None:
    """Texts per class, in each split where there is room. A click on a bar chooses its class."""
    table = statistics.class_balance(view.index, view.mask(Dimension.CLASS), len(view.classes))
    table = _with_names(table, view)
    missing = table[(table["texts"] == 0) & (table["label"].isin(view.shown))]
    if len(view.classes) > MOST_LINES:
        table = table[table["split"] == view.filters.split]
    chart = charts.class_balance(table[["class", "split", "texts", "share", "kept"]], view.classes)
    _draw_tall(view, chart, BALANCE_KEY)
    if len(missing):
        named = [
            f"{name} in {split}"
            for name, split in zip(missing["class"], missing["split"], strict=True)
        ]
        st.caption(
            f"No text of {plain(', '.join(named[:4]))}{' and others' if len(named) > 4 else ''}."
        )


def draw_boxes(view: View) -> None:
    """How long the texts of each class are. A click on a box chooses its class."""
    found = view.positions(Dimension.CLASS)
    table = statistics.length_boxes(
        view.index.lengths[view.filters.unit][found], view.index.labels[found], len(view.classes)
    )
    named = _with_names(table, view).drop(columns="label")
    _draw_tall(view, charts.length_boxes(named, view.classes, view.filters.unit), BOXES_KEY)


def draw_lengths(view: View) -> None:
    """The distribution of lengths. A click chooses the lengths of a bin, a second one widens the
    range to it.
    """
    filters = view.filters
    limits = (filters.shortest or 0, filters.longest if filters.longest is not None else 10**9)
    kept = limits if Dimension.LENGTH in filters.active else None
    chart = charts.length_histogram(view_cache.histogram(view), view.classes, filters.unit, kept)
    chart_view.draw(chart, key=LENGTHS_KEY, select="chosen")
    st.caption(f"Click to keep a range of lengths. {chart.note}".strip())


@st.fragment  # moving the limit draws nothing else anew
def draw_cut(view: View) -> None:
    """The share of the texts that a limit of tokens cuts, with the limit to move."""
    with boundary():
        _draw_cut(view)


def _draw_cut(view: View) -> None:
    found = view.positions(Dimension.LENGTH)
    tokens, labels = view.index.lengths["tokens"][found], view.index.labels[found]
    sides = st.grid(2, min_column_width=400, gap="large", vertical_alignment="center")
    with sides.cell():
        place = st.container()
    with sides.cell():
        limit = st.slider(
            "Max tokens", 8, MOST_TOKENS, MARK_TOKENS, 8, key=MAX_TOKENS_KEY, bind="query-params"
        )
        cut = statistics.cut_at(tokens, limit)
        lost = f", and {per_cent(cut.lost)} of all tokens with them" if cut.texts else ""
        st.markdown(
            f"**{per_cent(cut.share)}** of the texts are cut: {cut.texts:,} of"
            f" {count(cut.n, 'texts')}{lost}."
        )
        st.caption(
            "A run reads no further than its max tokens. Fewer make it faster; what is cut off it"
            " never sees."
        )
        label = "Read the texts that are cut"
        if st.button(
            label,
            key="only-cut",
            icon=":material/content_cut:",
            disabled=not cut.texts,
            on_click=only_cut,
            args=(limit,),
        ):
            st.rerun()  # the filters are drawn outside of here
    longest = min(MOST_TOKENS, max(limit + 16, int(tokens.max(initial=0)) + 1))
    shown = view.shown if len(view.classes) <= MOST_LINES else ()
    curve = statistics.cut_curve(tokens, labels, shown, longest)
    curve["class"] = curve["label"].map({-1: ALL, **dict(enumerate(view.classes))})
    with place:
        chart_view.draw(
            charts.cut_curve(curve[["max_tokens", "class", "share"]], view.classes, limit, cut),
            key="cut",
        )


def _with_names(table: pd.DataFrame, view: View) -> pd.DataFrame:
    named: dict[str, pd.Series[str]] = {"class": table["label"].map(dict(enumerate(view.classes)))}
    return table.assign(**named, kept=table["label"].isin(view.shown))


def _draw_tall(view: View, chart: charts.Chart, key: str) -> None:
    if len(view.classes) <= TALL_CLASSES:
        chart_view.draw(chart, key=key, select="chosen")
        return
    with st.container(height=TALL_PIXELS, key=f"{key}-scroll"):
        chart_view.draw(chart, key=key, select="chosen")
