"""Drawing of ``core.charts`` charts: title, picture with its text alternative, and table."""

from collections.abc import Callable, Hashable, Sequence
from urllib.parse import urlsplit

import pyarrow as pa
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.charts import CLASS_COLORS, MOST_LABELED, Chart
from core.evaluation.scores import Scores
from core.lesson import open_lesson
from core.reports.pinned_charts import pin_chart
from core.storage.job import JobKind
from core.storage.store import Store
from core.translation import read_language, translate
from ui import navigation
from ui.session import cache
from ui.session.cache import BoundedCache
from ui.session.error_boundary import boundary
from ui.text import capitalize, plain
from ui.widgets import tables

# of some KB each; a curve of 30 classes has 100 KB
_shared: BoundedCache[Hashable, Chart] = BoundedCache(150)
MOST_SIDE_BY_SIDE = 8  # classes of a matrix in half the page


def share(key: Hashable, make: Callable[[], Chart]) -> Chart:
    """Return the chart of ``key``, made once for all visitors in each language.

    ``key`` holds all that the chart depends on.
    """
    return _shared.get_or_make((key, read_language()), make)


def draw(
    chart: Chart, *, key: str, select: str | None = None, twin: bool = True, pin: bool = True
) -> object:
    """Draw the chart and return the selection named ``select`` in its spec, or None.

    Without ``twin`` the caller draws the table. With ``pin`` it can be pinned to the notebook of an
    open lesson. The title is page text, so that it wraps on narrow screens.
    """
    heading = chart.spec.get("title")
    subtitle = heading.get("subtitle") if isinstance(heading, dict) else None
    with st.container(gap="xxsmall", key=f"{key}-chart"):
        st.markdown(f"**{plain(chart.title)}**")
        if subtitle:
            st.caption(plain(str(subtitle)))
        event = st.vega_lite_chart(
            chart.arrow,
            {name: value for name, value in chart.spec.items() if name != "title"},
            key=key,
            alt=chart.alt,
            width="stretch",
            on_select="rerun" if select else "ignore",
            selection_mode=select,
        )
        if twin:
            _draw_twin(chart, key)
        if pin:
            _draw_pin(chart, key)
    if not select or isinstance(event, DeltaGenerator):
        return None
    return event["selection"].get(select)


def choose_class(classes: Sequence[str], key: str) -> str | None:
    """Draw the choice of the class to highlight; None if each class has its own color."""
    if len(classes) <= len(CLASS_COLORS):
        return None
    return st.selectbox(
        capitalize(translate("class")),
        classes,
        index=None,
        placeholder=translate("Choose a class to highlight"),
        key=key,
        bind="query-params",
    )


def _draw_twin(chart: Chart, key: str) -> None:
    twin = st.expander(
        translate("Table"),
        key=f"{key}-twin",
        type="compact",
        icon=":material/table:",
        on_change="rerun",
    )
    if not twin.open:  # no data is sent for a closed table
        return
    with twin:
        tables.draw_plain(chart.table, key=f"{key}-table", rows_in_view=8)
        st.download_button(
            translate("Download CSV"),
            data=lambda: tables.write_csv(chart.table),
            file_name=f"{key}.csv",
            mime="text/csv",
            key=f"{key}-csv",
            on_click="ignore",
            icon=":material/download:",
        )


def _draw_pin(chart: Chart, key: str) -> None:
    """Draw the button that pins the chart, while the visitor follows a lesson."""
    store = cache.open_lab()
    if open_lesson.find_place(store) is None:
        return
    if st.button(
        translate("Pin to notebook"),
        key=f"{key}-pin",
        icon=":material/keep:",
        type="tertiary",
        help=translate("The chart as it is now stands in your notebook, on the page Lesson."),
    ):
        with boundary():
            pin_chart(store, chart, _describe_place(store))
            st.toast(translate("Pinned to your notebook."), icon=":material/keep:")


def _describe_place(store: Store) -> str:
    """Return the title of the page and the name of the run in its address."""
    name = urlsplit(st.context.url or "").path.rsplit("/", 1)[-1]
    entry = navigation.ENTRIES.get(f"pages/{name}.py")
    run_id = st.query_params.get("run", "")
    run = next((job.name for job in store.list_jobs(JobKind.TRAIN) if job.id == run_id), "")
    return " · ".join(filter(None, (entry.title if entry else "", run)))


def count_columns(classes: Sequence[str]) -> int:
    """Return how many charts are side by side: a matrix of many classes takes the whole width."""
    return 2 if len(classes) <= MOST_SIDE_BY_SIDE else 1


def is_dark() -> bool:
    """Return whether the page has a dark background."""
    return st.context.theme.type == "dark"


def draw_per_class(scores: Scores, classes: Sequence[str], *, key: str) -> None:
    """Draw precision, recall and F1 of each class; of many classes the lowest F1 first."""
    draw_class_table(tabulate_classes(scores, classes), key=key)


def tabulate_classes(scores: Scores, classes: Sequence[str]) -> pa.Table:
    """Return the table of ``draw_per_class`` as it is sent to the browser."""
    table = scores.tabulate_classes(classes)
    if len(table) > MOST_LABELED:
        table = table.sort_values("f1", kind="stable", ignore_index=True)
    return pa.Table.from_pandas(table, preserve_index=False, nthreads=1)


def draw_class_table(table: pa.Table, *, key: str) -> None:
    """Draw the table of ``tabulate_classes``."""
    number = st.column_config.NumberColumn
    three = tables.decimals(3)
    tables.draw_plain(
        table,
        key=key,
        columns={
            "class": st.column_config.TextColumn(capitalize(translate("class"))),
            "precision": number(
                translate("Precision"),
                **three,
                help=translate(
                    "Proportion of the texts predicted as this class that belong to it."
                ),
            ),
            "recall": number(
                translate("Recall"),
                **three,
                help=translate(
                    "Proportion of the texts of this class that were predicted as such."
                ),
            ),
            "f1": number("F1", **three, help=translate("Harmonic mean of precision and recall.")),
            "support": number(translate("Texts"), format="localized"),
        },
    )
