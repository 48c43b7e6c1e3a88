"""Tables whose cells are plain text: user text never passes through Markdown or HTML."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from math import log10
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import streamlit as st
from streamlit.elements.lib.column_types import ColumnConfig

from core.data.tables.exported_cells import to_csv
from core.translation import read_language
from ui.session.cache import BoundedCache

Columns = Mapping[str, ColumnConfig | str | None]  # configuration of each column, or its heading
ROW_PIXELS = 38  # at the theme's 17 px
TEXT_ROW_PIXELS = 83  # four whole lines of text
# of some KB each; 500 texts have 150 KB
_shared: BoundedCache[Hashable, pa.Table] = BoundedCache(64)


def decimals(digits: int) -> dict[str, Any]:
    """Return the format of a column of numbers with ``digits`` decimal places, with the separators
    of the browser's language; the tables below round their values.
    """
    return {"format": "localized", "step": 10**-digits}


def per_cent() -> dict[str, Any]:
    """Return the format of a column of proportions as percentages with one decimal place."""
    return {"format": "percent", "step": 10**-3}


def round_numbers(
    frame: pd.DataFrame | pa.Table, columns: Columns | None
) -> pd.DataFrame | pa.Table:
    """Return the table with its numbers rounded to the step of their columns: the browser cuts off
    what is smaller.
    """
    for name, column in (columns or {}).items():
        config = column.get("type_config") if isinstance(column, dict) else None
        step = config.get("step") if isinstance(config, dict) else None
        if not isinstance(step, float):
            continue
        digits = round(-log10(step))
        if isinstance(frame, pd.DataFrame) and name in frame:
            frame = frame.assign(**{name: pd.to_numeric(frame[name]).round(digits)})
        elif isinstance(frame, pa.Table) and name in frame.column_names:
            rounded = pc.round(frame[name].cast(pa.float64()), digits)
            frame = frame.set_column(frame.column_names.index(name), name, rounded)
    return frame


def share(key: Hashable, make: Callable[[], pd.DataFrame]) -> pa.Table:
    """Return the table of ``key`` as it is sent to the browser, made once for all visitors in each
    language.

    ``key`` holds all that the table depends on.
    """
    return _shared.get_or_make(
        (key, read_language()),
        lambda: pa.Table.from_pandas(make(), preserve_index=False, nthreads=1),
    )


def draw_plain(
    frame: pd.DataFrame | pa.Table,
    *,
    key: str,
    columns: Columns | None = None,
    rows_in_view: int = 12,
    alt: str = "",
    on_select: Callable[[], None] | None = None,
) -> None:
    """Draw a table without an index, up to ``rows_in_view`` rows tall; ``on_select`` is called
    after a row was selected.
    """
    # Streamlit declares both types, but not their union
    data: Any = round_numbers(frame, columns)
    st.dataframe(
        data,
        key=key,
        hide_index=True,
        column_config=columns,
        height=compute_height(len(frame), rows_in_view),
        placeholder="–",
        alt=alt or None,
        on_select=on_select or "ignore",
        selection_mode="single-row",
    )


def draw_texts(
    frame: pd.DataFrame | pa.Table,
    *,
    key: str,
    columns: Columns | None = None,
    rows_in_view: int = 8,
    alt: str = "",
) -> int | None:
    """Draw texts in tall rows (four lines) and return the selected position, or None."""
    chosen = _texts(frame, key, columns, rows_in_view, alt, "single-row")
    return chosen[0] if chosen else None


def draw_several_texts(
    frame: pd.DataFrame,
    *,
    key: str,
    columns: Columns | None = None,
    rows_in_view: int = 8,
    alt: str = "",
) -> list[int]:
    """Draw texts with multiple selection and return the positions, the latest choice last."""
    return _texts(frame, key, columns, rows_in_view, alt, "multi-row")


def _texts(
    frame: pd.DataFrame | pa.Table,
    key: str,
    columns: Columns | None,
    rows_in_view: int,
    alt: str,
    mode: Literal["single-row", "multi-row"],
) -> list[int]:
    data: Any = round_numbers(frame, columns)  # as above
    event = st.dataframe(
        data,
        key=key,
        hide_index=True,
        column_config={
            "text": st.column_config.TextColumn("Text", width="large"),
            **(columns or {}),
        },
        row_height=TEXT_ROW_PIXELS,
        height=compute_height(len(frame), rows_in_view, TEXT_ROW_PIXELS),
        on_select="rerun",
        selection_mode=mode,
        placeholder="–",
        alt=alt or None,
    )
    return [int(row) for row in event["selection"]["rows"] if row < len(frame)]


def class_width(classes: Sequence[str]) -> int:
    """Return the width of a column of class names in px: long names need more before they wrap."""
    return min(170, max(90, 9 * max(map(len, classes), default=0)))


def write_csv(frame: pd.DataFrame) -> bytes:
    """Convert the table to CSV that is safe to open in a spreadsheet."""
    return to_csv(frame)


def compute_height(
    rows: int, rows_in_view: int, row_pixels: int = ROW_PIXELS
) -> int | Literal["content"]:
    """Return the height of the table: all rows, or ``rows_in_view`` of them."""
    return (
        "content"
        if 0 < rows <= rows_in_view
        else ROW_PIXELS + row_pixels * max(1, min(rows, rows_in_view))
    )
