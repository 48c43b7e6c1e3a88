"""The selected texts of the Explore page, page by page, and one of them in full."""

from typing import Literal, get_args

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core.data.explore.index import read_rows
from ui.explore import view_cache
from ui.explore.filters import LENGTHS
from ui.explore.view_cache import View
from ui.session.error_boundary import boundary
from ui.text import per_cent, plain
from ui.widgets import tables

Order = Literal["mixed", "shortest first", "longest first"]
ORDERS: tuple[Order, ...] = get_args(Order)
PAGE_ROWS = 50
PAGE_KEY, LISTED_KEY = "list-page", "listed"
CELL_LETTERS = 400  # three lines of a cell; the whole text is shown below
READ_LETTERS = 20_000  # of a whole text: more would slow down the browser
# px: with 90 for the class it fits a 900 px page; on wider pages all columns grow
TEXT_WIDTH = 340


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
        st.markdown("#### Texts", width="content")
        order = st.selectbox("Order", ORDERS, key="order", bind="query-params", width=180)
    positions = _ordered(view, order)
    table_cell = st.container()
    pages = max(1, -(-len(positions) // PAGE_ROWS))
    page = _choose_page(pages, len(positions), (view.filters, order))
    rows = read_rows(view.index, positions[(page - 1) * PAGE_ROWS : page * PAGE_ROWS])
    names = rows["label"].map(dict(enumerate(view.classes)))
    table = pd.DataFrame(
        {
            "class": names,
            "text": [_cell(text) for text in rows["text"]],
            unit: rows[unit],
            "row": rows["row"],
        }
    )
    number = st.column_config.NumberColumn
    columns = {
        "text": st.column_config.TextColumn("Text", width=TEXT_WIDTH),
        "class": st.column_config.TextColumn("Class", width=90),
        unit: number(unit.capitalize(), width=80, format="localized"),
        "row": number("Row", width=70, help="The text's number in its split of the source."),
    }
    with table_cell:
        chosen = tables.texts(
            table, key="texts", columns=columns, alt="The selected texts with class and length"
        )
    if chosen is None:
        st.caption("Select a row to read the whole text.")
        return
    _draw_whole(view, rows.iloc[chosen], str(names.iloc[chosen]))


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
        st.caption(f"{first:,}–{min(first + PAGE_ROWS - 1, texts):,} of {texts:,}")
    if page > 1:
        st.query_params[PAGE_KEY] = str(page)
    else:
        st.query_params.pop(PAGE_KEY, None)
    return page


def _ordered(view: View, order: Order) -> NDArray[np.int64]:
    mixed = view_cache.order_of(view)
    if order == "mixed":
        return mixed
    lengths = view.index.lengths[view.filters.unit][mixed]
    return mixed[np.argsort(lengths if order == "shortest first" else -lengths, kind="stable")]


def _cell(text: str) -> str:
    return text if len(text) <= CELL_LETTERS else f"{text[:CELL_LETTERS]}…"


def _draw_whole(view: View, line: pd.Series, name: str) -> None:
    lengths = ", ".join(f"{line[unit]:,} {unit}" for unit in LENGTHS)
    selected = view.index.lengths[view.filters.unit][view.positions()]
    rank = per_cent(float((selected <= line[view.filters.unit]).mean()))
    text = str(line["text"])
    with st.container(border=True, key="whole-text"):
        st.caption(
            f"{plain(name)} · row {line['row']:,} · {lengths} · at least as long as {rank} of the"
            " selection"
        )
        st.text(text[:READ_LETTERS])
        if len(text) > READ_LETTERS:
            st.caption(f"The first {READ_LETTERS:,} of {len(text):,} characters.")
