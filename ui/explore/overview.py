"""The Explore page: origin, balance, lengths, and the texts that a token limit truncates."""

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
from core.translation import localize, mark, translate, translate_recorded
from ui.explore import view_cache
from ui.explore.filters import BALANCE_KEY, BOXES_KEY, LENGTHS_KEY, MAX_TOKENS_KEY, only_cut
from ui.explore.view_cache import View
from ui.session import cache
from ui.session.error_boundary import boundary
from ui.text import format_per_cent, plain
from ui.widgets import chart_view, job_panel

MARK_TOKENS = 128  # max tokens of the default run
MOST_TOKENS = 512  # maximum of the base models
TALL_CLASSES, TALL_PIXELS = 8, 480  # more classes scroll in their own box
HOW_TO_READ = mark("""\
- **Every chart is a filter.** Click a bar, box, length, word or pattern to filter all other
  charts by it; click again to clear. The page's URL holds the selection: copy it to share what
  you see.
- **Train** is what a run learns from. **Validation** is a tenth of the source's training texts,
  held out to choose the best checkpoint. **Test** is used once, by the final evaluation.
- **Tokens** are counted with the default model's tokenizer, including its two special tokens.
  Longer texts are truncated at the run's max tokens.
- **Balance** matters because accuracy overrates a model that has seen one class far more often
  than the others.
- **Distinctive words** are ranked by the z-score of the log-odds ratio between the class and all
  others, with a Dirichlet prior from the whole dataset that reduces the weight of rare words
  (Monroe, Colaresi and Quinn, 2008). Only words above 1.96 are shown.
- **Sources and boilerplate** occur in a text without being part of its content. A pattern with
  × 8 for a class occurs eight times as often in its texts as in the others: a model may learn
  the pattern instead of the topic, and fail where it is missing.
""")


def require_index(dataset: Dataset) -> TextIndex:
    """Return the text index; if it is missing or damaged, draw its preparation and stop the
    page.
    """
    try:
        return view_cache.index_of(dataset)
    except ArtifactDamaged:
        store = cache.open_lab()
        status = cache.read_data_status(store.settings)
        job_panel.draw_preparation(
            store,
            status,
            need=mark(
                "must be indexed once to count its words. This takes a few seconds; a million rows"
                " take a minute."
            ),
        )
        st.stop()


def draw_origin(dataset: Dataset) -> None:
    """Draw the dataset's name, rows per split, fingerprint, source and preparation notes."""
    rows = translate(
        "{train:,} train rows, {validation:,} of them for validation, {test:,} test rows",
        train=dataset.train_rows,
        validation=dataset.validation_rows,
        test=dataset.test_rows,
    )
    fingerprint = translate("fingerprint {fingerprint}", fingerprint=f"`{dataset.fingerprint}`")
    st.caption(f"{plain(dataset.name)} · {rows} · {fingerprint}")
    source = cache.read_data_status(Settings()).source
    for note in [*([source.note] if source else []), *dataset.notes]:
        st.caption(plain(translate_recorded(note)))


def draw_balance(view: View) -> None:
    """Draw texts per class, for each split if there is room; a click on a bar selects the class."""
    table = _with_names(view_cache.class_balance(view), view)
    missing = table[(table["texts"] == 0) & (table["label"].isin(view.shown))]
    if len(view.classes) > MOST_LINES:
        table = table[table["split"] == view.filters.split]
    if len(view.classes) > TALL_CLASSES:
        table = table.sort_values("texts", ascending=False, kind="stable")
    chart = view_cache.chart(
        view,
        "balance",
        None,
        lambda: charts.draw_class_balance(
            table[["class", "split", "texts", "share", "kept"]], view.classes
        ),
    )
    _draw_tall(view, chart, BALANCE_KEY)
    if len(missing):
        named = [
            f"{name} ({translate(split)})"
            for name, split in zip(missing["class"], missing["split"], strict=True)
        ]
        st.caption(
            translate(
                "No texts of {names}." if len(named) <= 4 else "No texts of {names} and others.",
                names=plain(", ".join(named[:4])),
            )
        )


def draw_boxes(view: View) -> None:
    """Draw the text lengths of each class; a click on a box selects the class."""
    chart = view_cache.chart(view, "boxes", None, lambda: _make_boxes(view))
    _draw_tall(view, chart, BOXES_KEY)


def _make_boxes(view: View) -> charts.Chart:
    positions = view.positions(Dimension.CLASS)
    table = statistics.length_boxes(
        view.index.lengths[view.filters.unit][positions],
        view.index.labels[positions],
        len(view.classes),
    )
    named = _with_names(table, view).drop(columns="label")
    return charts.draw_length_boxes(named, view.classes, view.filters.unit)


def draw_lengths(view: View) -> None:
    """Draw the length distribution; a click selects a bin, a second one widens the range."""
    filters = view.filters
    limits = (filters.shortest or 0, filters.longest if filters.longest is not None else 10**9)
    selected = limits if Dimension.LENGTH in filters.active else None
    chart = view_cache.chart(
        view,
        "lengths",
        None,
        lambda: charts.draw_length_histogram(
            view_cache.histogram(view), view.classes, filters.unit, selected
        ),
    )
    chart_view.draw(chart, key=LENGTHS_KEY, select="chosen")
    click = translate("Click to select a range of lengths.")
    st.caption(f"{click} {chart.note}".strip())


@st.fragment  # moving the limit redraws nothing else
def draw_cut(view: View) -> None:
    """Draw the proportion of texts that a token limit truncates, with a slider for the limit."""
    with boundary():
        _draw_cut(view)


def _draw_cut(view: View) -> None:
    sides = st.grid(2, min_column_width=400, gap="large", vertical_alignment="center")
    with sides.cell():
        chart_cell = st.container()
    with sides.cell():
        limit = st.slider(
            translate("Max tokens"),
            8,
            MOST_TOKENS,
            MARK_TOKENS,
            8,
            key=MAX_TOKENS_KEY,
            bind="query-params",
        )
        cut = view_cache.cut_at(view, limit)
        st.markdown(
            translate(
                "{share} of the texts are truncated: {cut:,} of {n:,} texts, losing {lost} of all"
                " tokens."
                if cut.texts
                else "{share} of the texts are truncated: {cut:,} of {n:,} texts.",
                share=f"**{localize(format_per_cent(cut.share))}**",
                cut=cut.texts,
                n=cut.n,
                lost=localize(format_per_cent(cut.lost)),
            )
        )
        st.caption(
            translate(
                "A run reads texts only up to its max tokens. A lower limit is faster, but more of"
                " each text is truncated."
            )
        )
        if st.button(
            translate("Show the truncated texts"),
            key="only-cut",
            icon=":material/content_cut:",
            disabled=not cut.texts,
            on_click=only_cut,
            args=(limit,),
        ):
            st.rerun()  # the filters are drawn outside this fragment

    def make() -> charts.Chart:
        positions = view.positions(Dimension.LENGTH)
        tokens, labels = view.index.lengths["tokens"][positions], view.index.labels[positions]
        longest = min(MOST_TOKENS, max(limit + 16, int(tokens.max(initial=0)) + 1))
        shown = view.shown if len(view.classes) <= MOST_LINES else ()
        curve = statistics.cut_curve(tokens, labels, shown, longest)
        curve["class"] = curve["label"].map({-1: ALL, **dict(enumerate(view.classes))})
        return charts.draw_cut_curve(
            curve[["max_tokens", "class", "share"]], view.classes, limit, cut
        )

    with chart_cell:
        chart_view.draw(view_cache.chart(view, "cut", limit, make), key="cut")


def _with_names(table: pd.DataFrame, view: View) -> pd.DataFrame:
    named: dict[str, pd.Series[str]] = {"class": table["label"].map(dict(enumerate(view.classes)))}
    return table.assign(**named, kept=table["label"].isin(view.shown))


def _draw_tall(view: View, chart: charts.Chart, key: str) -> None:
    if len(view.classes) <= TALL_CLASSES:
        chart_view.draw(chart, key=key, select="chosen")
        return
    with st.container(height=TALL_PIXELS, key=f"{key}-scroll"):
        chart_view.draw(chart, key=key, select="chosen")
