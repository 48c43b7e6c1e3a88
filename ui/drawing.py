"""Draw a ``core.charts`` chart: its title, the picture with its text alternative, and the table behind it."""

import streamlit as st

from core.charts.chart import Chart
from ui import tables


def draw(chart: Chart, *, key: str, select: str | None = None) -> object:
    """Draw the chart. With ``select``, the name of a selection in its spec, the selection made, else None."""
    if "title" not in chart.spec:
        st.markdown(f"**{chart.title}**")
    event = st.vega_lite_chart(
        chart.data,
        chart.spec,
        key=key,
        alt=chart.alt,
        width="stretch",
        on_select="rerun" if select else "ignore",
        selection_mode=select,
    )
    _draw_twin(chart, key)
    return event["selection"].get(select) if select else None


def _draw_twin(chart: Chart, key: str) -> None:
    with st.expander("Table", key=f"{key}-twin", type="compact", icon=":material/table:"):
        tables.plain(chart.data, key=f"{key}-table", rows_in_view=8)
        st.download_button(
            "Download CSV",
            data=lambda: tables.csv(chart.data),
            file_name=f"{key}.csv",
            mime="text/csv",
            key=f"{key}-csv",
            on_click="ignore",
            icon=":material/download:",
        )
