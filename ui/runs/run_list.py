"""The table of runs: state, name, progress or accuracy, model, rows, time and age.

It refreshes while a run is active.
"""

import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import is_
from typing import Literal

import pandas as pd
import pyarrow as pa
import streamlit as st

from core.lesson.lesson_file import Spoiler
from core.runs.waiting_times import read_queue
from core.storage.job import GALLERY_OWNER, UNFINISHED, Job, JobKind, JobState
from core.storage.store import Store
from core.translation import (
    format_number,
    localize,
    read_language,
    translate,
    translate_plural,
)
from ui.lesson import hiding
from ui.session import visitors
from ui.session.error_boundary import boundary
from ui.text import (
    format_accuracy,
    format_age,
    format_duration,
    format_per_cent,
    without_folders,
)
from ui.widgets import tables
from ui.widgets.job_state import (
    DAMAGED,
    DIAGNOSED,
    LIVE_SECONDS,
    LOOKS,
    format_look,
    format_progress,
    format_wait,
)
from ui.widgets.run_summary import Summary, read_accuracies, summarize

SHARED_SECONDS = 1.0
TIME_STEP_SECONDS = 10  # the list is drawn again for each watcher when a text in it changes
COLORS = {
    "green": "#1a7f4e",
    "blue": "#0072B2",
    "orange": "#b45309",
    "red": "#c0392b",
    "gray": "#6b7280",
}


@dataclass(frozen=True, slots=True)
class Table:
    """The ids of the listed runs, and their rows as sent to the browser."""

    ids: list[str]
    rows: pa.Table


def draw_table(table: Table, *, key: str, current: str) -> None:
    """Draw the table. Choosing a row writes the run into the URL; the run in the URL is selected.

    The widget key depends on the selection and the list, so that a refresh with an older selection
    cannot undo a newer one.
    """
    ids = table.ids
    own_key = f"{key}-{current}-{zlib.crc32(' '.join(ids).encode())}"
    _draw_dataframe(
        table,
        own_key,
        partial(_write_run, own_key, ids),
        [ids.index(current)] if current in ids else [],
    )


def draw_links(store: Store, summaries: Sequence[Summary], *, key: str) -> str:
    """Draw the table on another page and return the id of the clicked run, or an empty string."""
    chosen = _draw_dataframe(_tabulate(store, summaries), key, "rerun", [])
    return summaries[chosen[0]].job.id if chosen and chosen[0] < len(summaries) else ""


def _draw_dataframe(
    table: Table,
    key: str,
    on_select: Callable[[], None] | Literal["rerun"],
    chosen: list[int],
) -> list[int]:
    event = st.dataframe(
        table.rows,
        key=key,
        hide_index=True,
        height=tables.compute_height(len(table.ids), rows_in_view=10),
        column_config=_columns(table),
        on_select=on_select,
        selection_mode="single-row",
        selection_default={"selection": {"rows": chosen, "columns": [], "cells": []}},
        placeholder="",
        alt=translate_plural("{n:,} run, newest first", "{n:,} runs, newest first", len(table.ids)),
    )
    return list(event["selection"]["rows"])


@dataclass
class SharedTable:
    """The last table of each language, shared by viewers of the same runs: a class refreshes it
    every two seconds.
    """

    timer: Callable[[], float] = time.monotonic
    _last: dict[str, tuple[Sequence[Summary], float, pa.Table]] = field(default_factory=dict)

    def table(self, store: Store, summaries: Sequence[Summary]) -> pa.Table:
        """Return the table of ``summaries`` as sent to the browser, at most a second old."""
        language, now = read_language(), self.timer()
        last = self._last.get(language)
        if (
            last
            and now - last[1] < SHARED_SECONDS
            and len(last[0]) == len(summaries)
            and all(map(is_, last[0], summaries))
        ):
            return last[2]
        rendered = pa.Table.from_pandas(_frame(store, summaries), nthreads=1)
        if last and rendered.equals(last[2]):
            rendered = last[2]
        self._last[language] = (summaries, now, rendered)
        return rendered


@st.cache_resource(show_spinner=False)
def _shared_table() -> SharedTable:
    return SharedTable()


def _tabulate(store: Store, summaries: Sequence[Summary]) -> Table:
    hidden = hiding.is_hidden(store, Spoiler.RESULTS)
    return Table(
        [summary.job.id for summary in summaries],
        pa.Table.from_pandas(_hide_results(store, summaries), nthreads=1)
        if hidden
        else _shared_table().table(store, summaries),
    )


def _write_run(key: str, ids: list[str]) -> None:
    rows = st.session_state[key]["selection"]["rows"]
    if rows:
        st.query_params["run"] = ids[rows[0]]
    else:
        st.query_params.pop("run", None)


def _hide_results(store: Store, summaries: Sequence[Summary]) -> pd.DataFrame:
    """Return the table without the results of other people's runs, while the lesson hides them."""
    frame = _frame(store, summaries)
    others = [summary.job.owner != store.visitor.id for summary in summaries]
    finished = [summary.job.state.is_finished for summary in summaries]
    frame["curve"] = [
        [] if other else curve for curve, other in zip(frame["curve"], others, strict=True)
    ]
    for name in ("result", "tfidf"):
        frame[name] = [
            translate("hidden by the lesson") if other and ended and value else value
            for value, other, ended in zip(frame[name], others, finished, strict=True)
        ]
    return frame


def _frame(store: Store, summaries: Sequence[Summary]) -> pd.DataFrame:
    now = store.clock()
    curves = read_accuracies(store, [summary.job for summary in summaries])
    waits = {turn.job.id: format_wait(turn) for turn in read_queue(store)}
    rows = [_row(summary, curves.get(summary.job.id, []), now) for summary in summaries]
    return pd.DataFrame(
        [
            {**row, "result": waits.get(each.job.id, row["result"])}
            for each, row in zip(summaries, rows, strict=True)
        ]
    )


def _row(summary: Summary, curve: list[float], now: float) -> dict[str, object]:
    job, request = summary.job, summary.request
    rows, known = _count_rows(summary)
    return {
        "state": [format_look(summary.look)],
        "name": f"{summary.name} ({translate('example')})" if summary.bundled else summary.name,
        "result": _outcome(summary),
        "tfidf": localize(format_per_cent(summary.tfidf.value)) if summary.tfidf else "",
        "curve": curve,
        "model": without_folders(request.config.model) if request else "",
        "rows": (format_number(rows, ",") if rows else translate("all")) if known else "",
        "time": _format_elapsed(job, now) if job.started_at else "",
        "age": format_age(now - job.created_at),
    }


def _format_elapsed(job: Job, now: float) -> str:
    """Return the time so far in steps of ten seconds: the details of a run have every second."""
    seconds = job.elapsed_seconds(now)
    if not job.state.is_finished and seconds > TIME_STEP_SECONDS:
        seconds -= seconds % TIME_STEP_SECONDS
    return format_duration(seconds)


def _count_rows(summary: Summary) -> tuple[int | None, bool]:
    """Return the number of training rows, and whether it is known."""
    if summary.request is None:
        return None, False
    result = summary.run.result
    rows = summary.request.config.train_rows if result.trained_rows is None else result.trained_rows
    return rows, result.config_known


def _outcome(summary: Summary) -> str:
    job = summary.job
    if summary.problem:
        return translate("missing files") if summary.request else translate("unreadable record")
    if not job.state.is_finished:
        return format_progress(job)
    if summary.test:
        return localize(format_accuracy(summary.test))
    return translate(job.cause) if job.state in (JobState.FAILED, JobState.INTERRUPTED) else ""


def _measure_states(table: Table) -> int:
    """Return the width of the column of states in px. The browser measures a column once, so the
    longer name of a later state would be cut off.
    """
    names = (name for names in table.rows["state"].to_pylist() for name in names)
    return 36 + 8 * max(map(len, names), default=0)


def _columns(table: Table) -> tables.Columns:
    looks = [*LOOKS.values(), DIAGNOSED, DAMAGED]
    column = st.column_config
    return {
        "state": column.MultiselectColumn(
            translate("State"),
            options=[format_look(look) for look in looks],
            color=[COLORS[look.color] for look in looks],
            width=_measure_states(table),
        ),
        "name": column.TextColumn(translate("Run"), width="medium"),
        "curve": column.LineChartColumn(
            translate("Validation"),
            y_min=0,
            y_max=1,
            width="small",
            color=COLORS["blue"],
            help=translate("Validation accuracy over time, from 0 to 100 %."),
        ),
        "result": column.TextColumn(
            translate("Progress or accuracy"),
            width=200,
            help=translate("Accuracy on the test texts with its 95 % interval."),
        ),
        "tfidf": column.TextColumn(
            "TF-IDF",
            help=translate("Accuracy of TF-IDF and logistic regression on the same test texts."),
        ),
        "model": column.TextColumn(translate("Model")),
        "rows": column.TextColumn(
            translate("Rows"), alignment="right", help=translate("Training texts.")
        ),
        "time": column.TextColumn(
            translate("Time"),
            alignment="right",
            help=translate("From the start of the worker until it ends."),
        ),
        "age": column.TextColumn(translate("Created"), alignment="right"),
    }


def read(store: Store, chosen: str) -> list[Summary]:
    """Return all runs, newest first; of the gallery's runs only ``chosen``."""
    jobs = store.list_jobs(JobKind.TRAIN)
    return [summarize(store, job) for job in jobs if job.owner != GALLERY_OWNER or job.id == chosen]


def find(summaries: Sequence[Summary], run_id: str) -> Summary | None:
    """Return the run with the id ``run_id``, if any."""
    return next((summary for summary in summaries if summary.job.id == run_id), None)


def draw(store: Store, chosen: str, key: str = "runs") -> None:
    """Draw the table; it refreshes while a run is queued or active."""
    busy = store.list_jobs(JobKind.TRAIN, states=UNFINISHED)
    st.fragment(_draw_live, run_every=LIVE_SECONDS if busy else None)(store, chosen, key)


def _draw_live(store: Store, chosen: str, key: str) -> None:
    with boundary():
        # a row was chosen: the rest of the page follows
        if st.query_params.get("run", "") != chosen:
            st.rerun()
        with visitors.show_live(store, partial(_read_table, chosen=chosen)) as table:
            draw_table(table, key=key, current=chosen)


def _read_table(store: Store, chosen: str) -> Table:
    return _tabulate(store, read(store, chosen))
