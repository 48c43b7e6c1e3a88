"""The Explore page: distinctive words, examples of a word, and sources and boilerplate."""

from typing import Literal, get_args

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.charts.base import HUE, TEXT_COLOURS, class_colours
from core.charts.patterns import times
from core.data.explore.boilerplate import DEBRIS_HELP
from core.data.explore.distinctive_words import example_rows, excerpt, word_in_classes
from core.data.explore.filters import Dimension
from core.data.explore.index import read_rows
from ui.explore import view_cache
from ui.explore.filters import PATTERNS_KEY, words_key
from ui.explore.view_cache import View
from ui.text import count, per_cent, plain
from ui.widgets import chart_view, tables

Show = Literal["cloud", "bars"]
SHOWS: tuple[Show, ...] = get_args(Show)
MOST_CLASSES = 4  # side by side
EXAMPLES_EACH = 3
MOST_PATTERNS = 14


def draw_words(view: View) -> None:
    """Draw the words of each class; a click on a word selects its texts and shows examples."""
    st.markdown("#### Distinctive words of each class")
    show = (
        st.segmented_control(
            "Words as", SHOWS, required=True, default="cloud", key="words-as", bind="query-params"
        )
        or "cloud"
    )
    labels = _classes_shown(view)
    sides = st.grid(2, min_column_width=400, gap="large")
    for label in labels:
        with sides.cell():
            _draw_class(view, label, show)
    others = len(view.classes) - len(labels)
    more = (
        f" {count(others, 'classes')} not shown; choose classes above to see them."
        if others and not view.filters.classes
        else ""
    )
    st.caption(
        "Size shows how distinctive a word is, not how frequent. Click a word for its count and"
        f" examples.{more}"
    )
    if view.filters.word:
        _draw_examples(view)


def draw_patterns(view: View) -> None:
    """Draw sources and boilerplate, the most predictive first; a click selects the matching
    texts.
    """
    st.markdown("#### Sources and boilerplate")
    table = view_cache.evidence(view)
    if not len(table):
        st.caption("No source marks, HTML remains or web addresses were found in these texts.")
        return
    st.markdown(_finding(table, view))
    chart = charts.pattern_bars(table.head(MOST_PATTERNS), view.classes, view.filters.pattern)
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
        st.caption("No distinctive words: too few texts, or only this class is selected.")
        return
    if show == "cloud":
        tints = TEXT_COLOURS[chart_view.dark()]
        tint = tints[label] if len(view.classes) <= len(tints) else tints[0]
        chart_view.draw(
            charts.word_cloud(table, name, tint, view.filters.word), key=key, select="chosen"
        )
    else:
        colour = class_colours(view.classes)[label] if len(view.classes) <= MOST_CLASSES else HUE
        chart_view.draw(
            charts.word_bars(table, name, colour, view.filters.word), key=key, select="chosen"
        )


def _draw_examples(view: View) -> None:
    """Draw how often the chosen word occurs in each class, with example sentences."""
    word = view.filters.word
    counts = word_in_classes(view.index, view_cache.word_counts(view), word)
    with st.container(border=True, key="word-examples"):
        parts = [
            f"{plain(view.classes[label])} {number:,} ({rate:.1f} per 10,000 words)"
            for label, number, rate in (
                counts.sort_values("count", ascending=False)
                .head(MOST_CLASSES)
                .itertuples(index=False)
            )
        ]
        times_found = f"{int(counts['count'].sum()):,} times"
        st.markdown(f"**{plain(word)}** occurs {times_found}: {', '.join(parts)}.")
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
            "class": st.column_config.TextColumn("Class", width=90),
            "example": st.column_config.TextColumn("Example", width="large"),
        }
        tables.plain(
            examples,
            key="examples",
            columns=columns,
            rows_in_view=MOST_CLASSES * EXAMPLES_EACH,
            alt="Sentences with the word",
        )


def _finding(table: pd.DataFrame, view: View) -> str:
    first, total = table.iloc[0], len(view.positions(Dimension.CLASS, Dimension.PATTERN))
    name, texts = plain(view.classes[int(first["top"])]), int(first["texts"])
    share = f"{per_cent(float(first['share']))} of the {count(texts, 'texts')} with it are {name}"
    return (
        f"**{plain(str(first['pattern']))}** is the most predictive pattern: {share}. It occurs in"
        f" {per_cent(texts / max(total, 1))} of the texts."
    )


def _draw_pattern_table(table: pd.DataFrame, view: View) -> None:
    shown = pd.DataFrame(
        {
            "pattern": table["pattern"],
            "texts": table["texts"],
            "class": [view.classes[label] for label in table["top"]],
            "share": table["share"],
            "ratio": [times(ratio) for ratio in table["ratio"]],
            "bits": table["bits"],
            "what": [
                DEBRIS_HELP.get(name, kind)
                for name, kind in zip(table["pattern"], table["kind"], strict=True)
            ],
        }
    )
    number = st.column_config.NumberColumn
    columns = {
        "pattern": st.column_config.TextColumn("Pattern", width=130),
        "what": st.column_config.TextColumn("Description", width=190),
        "texts": number("Texts", format="localized", width=70),
        "class": st.column_config.TextColumn("Class", width=80),
        "share": number(
            "% in class",
            format="percent",
            width=90,
            help="Proportion of the texts with the pattern that belong to this class.",
        ),
        "ratio": st.column_config.TextColumn(
            "Ratio",
            width=85,
            help="How many times more often it occurs in this class than in the others.",
        ),
        "bits": number(
            "Bits",
            format="%.4f",
            width=70,
            help=(
                "Mutual information with the class. The maximum is log2 of the number of equally"
                " frequent classes."
            ),
        ),
    }
    tables.plain(
        shown,
        key="pattern-table",
        columns=columns,
        rows_in_view=7,
        alt="Sources and boilerplate with their class",
    )
