"""Draw a ``core.charts`` chart: its title, the picture with its text alternative, and the table behind it."""

from collections.abc import Sequence

import streamlit as st

from core.charts import Chart
from core.evaluation.scores import Scores
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
    twin = st.expander("Table", key=f"{key}-twin", type="compact", icon=":material/table:", on_change="rerun")
    if not twin.open:  # nothing is sent for a table that nobody looks at
        return
    with twin:
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


def dark() -> bool:
    """Whether the page is drawn on a dark background."""
    return st.context.theme.type == "dark"


def per_class(scores: Scores, classes: Sequence[str], *, key: str) -> None:
    """Precision, recall and F1 of each class."""
    share = {"format": "%.3f"}
    number = st.column_config.NumberColumn
    tables.plain(
        scores.per_class(classes),
        key=key,
        columns={
            "class": st.column_config.TextColumn("Class"),
            "precision": number("Precision", help="Of the texts given this class, the share that belongs to it.", **share),
            "recall": number("Recall", help="Of the texts of this class, the share that was found.", **share),
            "f1": number("F1", help="Harmonic mean of precision and recall.", **share),
            "support": number("Texts", format="localized"),
        },
    )
