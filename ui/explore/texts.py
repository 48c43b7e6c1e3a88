"""The Explore page: distinctive words, sources and boilerplate, and the selected texts."""

from typing import Literal, get_args

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core import charts
from core.charts.bars import format_ratio
from core.charts.base import HUE, TEXT_COLORS, choose_class_colors
from core.data.explore.boilerplate import DEBRIS_HELP
from core.data.explore.distinctive_words import example_rows, excerpt, word_in_classes
from core.data.explore.filters import Dimension
from core.data.explore.index import read_rows
from core.translation import format_number, localize, mark, translate, translate_plural
from ui import navigation
from ui.explore import view_cache
from ui.explore.filters import LENGTHS, PATTERNS_KEY, words_key
from ui.explore.view_cache import View
from ui.session.error_boundary import boundary
from ui.text import capitalize, format_per_cent, plain
from ui.widgets import chart_view, tables

Show = Literal["cloud", "bars"]
SHOWS: tuple[Show, ...] = get_args(Show)
MOST_CLASSES = 4  # side by side
EXAMPLES_EACH = 3
MOST_PATTERNS = 14
Order = Literal["mixed", "shortest first", "longest first"]
ORDERS: tuple[Order, ...] = get_args(Order)
PAGE_ROWS = 50
PAGE_KEY, LISTED_KEY = "list-page", "listed"
WORDS_OF_OPTIONS = (
    mark("cloud"),
    mark("bars"),
    mark("mixed"),
    mark("shortest first"),
    mark("longest first"),
)
CELL_LETTERS = 400  # more than four lines of a cell; the whole text is shown below
READ_LETTERS = 20_000  # of a whole text: more would slow down the browser
# px: with 90 for the class it fits a 900 px page; on wider pages all columns grow
TEXT_WIDTH = 340


def draw_words(view: View) -> None:
    """Draw the words of each class; a click on a word selects its texts and shows examples."""
    st.markdown(f"#### {translate('Distinctive words of each class')}")
    show = navigation.choose(translate("Words as"), SHOWS, key="words-as", default="cloud")
    labels = _classes_shown(view)
    sides = st.grid(2, min_column_width=400, gap="large")
    for label in labels:
        with sides.cell():
            _draw_class(view, label, show)
    others = len(view.classes) - len(labels)
    counted = view_cache.word_counts(view)
    sentences = [
        translate(
            "Size shows how distinctive a word is, not how frequent. Click a word for its count and"
            " examples."
        )
    ]
    if counted.texts < counted.selected:
        sentences.append(
            translate(
                "Counted in a random sample of {counted:,} of the {n:,} texts.",
                counted=counted.texts,
                n=counted.selected,
            )
        )
    if others and not view.filters.classes:
        sentences.append(
            translate_plural(
                "{n:,} class not shown; choose classes above to see it.",
                "{n:,} classes not shown; choose classes above to see them.",
                others,
            )
        )
    st.caption(" ".join(sentences))
    if view.filters.word:
        _draw_examples(view)


def draw_patterns(view: View) -> None:
    """Draw sources and boilerplate, the most predictive first; a click selects the matching
    texts.
    """
    st.markdown(f"#### {translate('Sources and boilerplate')}")
    table = view_cache.evidence(view)
    if not len(table):
        st.caption(
            translate("No source marks, HTML remains or web addresses were found in these texts.")
        )
        return
    st.markdown(_finding(table, view))
    chart = view_cache.chart(
        view,
        "patterns",
        None,
        lambda: charts.draw_pattern_bars(
            table.head(MOST_PATTERNS), view.classes, view.filters.pattern
        ),
    )
    chart_view.draw(chart, key=PATTERNS_KEY, select="chosen", twin=False)
    _draw_pattern_table(table, view)


def _classes_shown(view: View) -> tuple[int, ...]:
    """Return the chosen classes, else the largest ones, up to MOST_CLASSES."""
    if view.filters.classes or len(view.classes) <= MOST_CLASSES:
        return view.shown[:MOST_CLASSES]
    sizes = view_cache.word_counts(view).totals
    return tuple(sorted(np.argsort(-sizes, kind="stable")[:MOST_CLASSES].tolist()))


def _draw_class(view: View, label: int, show: Show) -> None:
    table, name, key = view_cache.words_of(view, label), view.classes[label], words_key(show, label)
    if not len(table):
        st.markdown(f"**{plain(name)}**")
        st.caption(
            translate("No distinctive words: too few texts, or only this class is selected.")
        )
        return
    if show == "cloud":
        tints = TEXT_COLORS[chart_view.is_dark()]
        tint = tints[label] if len(view.classes) <= len(tints) else tints[0]
        chart = view_cache.chart(
            view,
            key,
            tint,
            lambda: charts.draw_word_cloud(table, name, tint, view.filters.word),
        )
    else:
        color = (
            choose_class_colors(view.classes)[label] if len(view.classes) <= MOST_CLASSES else HUE
        )
        chart = view_cache.chart(
            view,
            key,
            color,
            lambda: charts.draw_word_bars(table, name, color, view.filters.word),
        )
    chart_view.draw(chart, key=key, select="chosen")


def _draw_examples(view: View) -> None:
    """Draw how often the chosen word occurs in each class, with example sentences."""
    word = view.filters.word
    counts = word_in_classes(view.index, view_cache.word_counts(view), word)
    with st.container(border=True, key="word-examples"):
        parts = [
            translate(
                "{name} {count:,} ({rate:.1f} per 10,000 words)",
                name=plain(view.classes[label]),
                count=number,
                rate=rate,
            )
            for label, number, rate in (
                counts.sort_values("count", ascending=False)
                .head(MOST_CLASSES)
                .itertuples(index=False)
            )
        ]
        counted = view_cache.word_counts(view)
        st.markdown(
            translate(
                "{word} occurs {n:,} times in the sample: {classes}."
                if counted.texts < counted.selected
                else "{word} occurs {n:,} times: {classes}.",
                word=f"**{plain(word)}**",
                n=int(counts["count"].sum()),
                classes=", ".join(parts),
            )
        )
        positions = view.positions(Dimension.CLASS)
        shown = [
            label
            for label in counts.sort_values("count", ascending=False)["label"]
            if label in view.shown
        ][:MOST_CLASSES]
        rows = read_rows(view.index, example_rows(view.index, positions, shown, EXAMPLES_EACH))
        examples = pd.DataFrame(
            {
                "class": rows["label"].map(dict(enumerate(view.classes))),
                "example": [excerpt(text, word) for text in rows["text"]],
            }
        )
        columns = {
            "class": st.column_config.TextColumn(
                capitalize(translate("class")), width=tables.class_width(view.classes)
            ),
            "example": st.column_config.TextColumn(translate("Example"), width="large"),
        }
        tables.draw_plain(
            examples,
            key="examples",
            columns=columns,
            rows_in_view=MOST_CLASSES * EXAMPLES_EACH,
            alt=translate("Sentences with the word"),
        )


def _finding(table: pd.DataFrame, view: View) -> str:
    first, total = table.iloc[0], len(view.positions(Dimension.CLASS, Dimension.PATTERN))
    name, texts = plain(view.classes[int(first["top"])]), int(first["texts"])
    return translate(
        "{pattern} is the most predictive pattern: {share} of the {n:,} texts with it are {name}."
        " It occurs in {occurs} of the texts.",
        pattern=f"**{plain(str(first['pattern']))}**",
        share=localize(format_per_cent(float(first["share"]))),
        n=texts,
        name=name,
        occurs=localize(format_per_cent(texts / max(total, 1))),
    )


def _draw_pattern_table(table: pd.DataFrame, view: View) -> None:
    number = st.column_config.NumberColumn
    columns = {
        "pattern": st.column_config.TextColumn(translate("Pattern"), width=130),
        "what": st.column_config.TextColumn(translate("Description"), width=190),
        "texts": number(translate("Texts"), format="localized", width=70),
        "class": st.column_config.TextColumn(capitalize(translate("class")), width=80),
        "share": number(
            translate("% in class"),
            format="percent",
            width=90,
            help=translate("Proportion of the texts with the pattern that belong to this class."),
        ),
        "ratio": st.column_config.TextColumn(
            translate("Ratio"),
            width=85,
            help=translate("How many times more often it occurs in this class than in the others."),
        ),
        "bits": number(
            "Bits",
            **tables.decimals(4),
            width=70,
            help=translate(
                "Mutual information with the class. The maximum is log2 of the number of equally"
                " frequent classes."
            ),
        ),
    }
    tables.draw_plain(
        view_cache.table(view, "patterns", None, lambda: _tabulate_patterns(table, view)),
        key="pattern-table",
        columns=columns,
        rows_in_view=7,
        alt=translate("Sources and boilerplate with their class"),
    )


def _tabulate_patterns(table: pd.DataFrame, view: View) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "pattern": table["pattern"],
            "texts": table["texts"],
            "class": [view.classes[label] for label in table["top"]],
            "share": table["share"],
            "ratio": [localize(format_ratio(ratio)) for ratio in table["ratio"]],
            "bits": table["bits"],
            "what": [
                translate(DEBRIS_HELP.get(name, kind))
                for name, kind in zip(table["pattern"], table["kind"], strict=True)
            ],
        }
    )


@st.fragment  # turning a page or reading a text redraws nothing else
def draw_texts(view: View) -> None:
    """Draw a page of the selected texts; a selected row is shown in full."""
    with boundary():
        _draw_texts(view)


def _draw_texts(view: View) -> None:
    unit = view.filters.unit
    with st.container(
        horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"
    ):
        st.markdown(f"#### {translate('Texts')}", width="content")
        order = navigation.choose(
            translate("Order"), ORDERS, key="order", default="mixed", list_width=180
        )
    texts = len(view.positions())
    table_cell = st.container()
    page = _choose_page(max(1, -(-texts // PAGE_ROWS)), texts, (view.filters, order))

    def read() -> pd.DataFrame:
        first = (page - 1) * PAGE_ROWS
        return read_rows(view.index, _ordered(view, order)[first : first + PAGE_ROWS])

    table = view_cache.table(view, "texts", (order, page), lambda: _tabulate_texts(read(), view))
    number = st.column_config.NumberColumn
    columns = {
        "text": st.column_config.TextColumn(translate("Text"), width=TEXT_WIDTH),
        "class": st.column_config.TextColumn(
            capitalize(translate("class")), width=tables.class_width(view.classes)
        ),
        unit: number(capitalize(translate(unit)), width=80, format="localized"),
        "row": number(
            translate("Row"),
            width=70,
            help=translate("The text's number in its split of the source."),
        ),
    }
    with table_cell:
        chosen = tables.draw_texts(
            table,
            key="texts",
            columns=columns,
            alt=translate("The selected texts with class and length"),
        )
    if chosen is None:
        st.caption(translate("Select a row to read the whole text."))
        return
    line = read().iloc[chosen]
    _draw_whole(view, line, view.classes[line["label"]])


def _tabulate_texts(rows: pd.DataFrame, view: View) -> pd.DataFrame:
    unit = view.filters.unit
    return pd.DataFrame(
        {
            "class": rows["label"].map(dict(enumerate(view.classes))),
            "text": [_cell(text) for text in rows["text"]],
            unit: rows[unit],
            "row": rows["row"],
        }
    )


def _choose_page(pages: int, texts: int, listed: tuple[object, ...]) -> int:
    """Draw the pagination and return the page: from the URL on the first visit, 1 for a new
    list.
    """
    if st.session_state.setdefault(LISTED_KEY, listed) != listed:
        st.session_state[LISTED_KEY] = listed
        st.query_params.pop(PAGE_KEY, None)
    requested = st.query_params.get(PAGE_KEY, "")
    default = min(max(1, int(requested)), pages) if requested.isdecimal() else 1
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        page = st.pagination(pages, default=default, key=f"{PAGE_KEY}-{hash(listed)}")
        first = (page - 1) * PAGE_ROWS + 1
        st.caption(
            translate(
                "{first:,}–{last:,} of {n:,}",
                first=first,
                last=min(first + PAGE_ROWS - 1, texts),
                n=texts,
            )
        )
    if page > 1:
        st.query_params[PAGE_KEY] = str(page)
    else:
        st.query_params.pop(PAGE_KEY, None)
    return page


def _ordered(view: View, order: Order) -> NDArray[np.int32]:
    mixed = view_cache.order_of(view)
    if order == "mixed":
        return mixed
    lengths = view.index.lengths[view.filters.unit][mixed]
    return mixed[np.argsort(lengths if order == "shortest first" else -lengths, kind="stable")]


def _cell(text: str) -> str:
    return text if len(text) <= CELL_LETTERS else f"{text[:CELL_LETTERS]}…"


def _draw_whole(view: View, line: pd.Series, name: str) -> None:
    lengths = ", ".join(
        f"{format_number(int(line[unit]), ',')} {translate(unit)}" for unit in LENGTHS
    )
    selected = view.index.lengths[view.filters.unit][view.positions()]
    share = format_per_cent(float((selected <= line[view.filters.unit]).mean()))
    text = str(line["text"])
    with st.container(border=True, key="whole-text"):
        row = translate("row {row:,}", row=int(line["row"]))
        rank = translate("at least as long as {share} of the selection", share=localize(share))
        st.caption(f"{plain(name)} · {row} · {lengths} · {rank}")
        st.text(text[:READ_LETTERS])
        if len(text) > READ_LETTERS:
            st.caption(
                translate(
                    "The first {shown:,} of {n:,} characters.", shown=READ_LETTERS, n=len(text)
                )
            )
