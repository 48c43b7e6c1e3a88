"""Frame of every page: header, guards, run picker and empty states."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

import streamlit as st

from core.data.dataset import Dataset
from core.lesson.lesson_file import Spoiler
from core.runs import artifacts
from core.runs.run import Run, read_result
from core.storage.job import Job, JobKind
from core.storage.store import Store
from core.translation import mark, translate
from ui import glossary, navigation
from ui.lesson import hiding
from ui.session import cache
from ui.text import plain
from ui.widgets import job_panel
from ui.widgets.job_state import LOOKS

STYLE = Path(__file__).with_name("style.css")


class Needs(StrEnum):
    """Artifact of a run that a page requires."""

    PREDICTIONS = "predictions"
    VALIDATIONS = "validations"
    ADAPTER = "adapter"


# headline; what is missing while the run is active, and after its end
MISSING = {
    Needs.PREDICTIONS: (
        mark("{name} has no predictions."),
        mark("This page opens once the run has written its test predictions."),
        mark("The run is {state}, and its test predictions are missing."),
    ),
    Needs.VALIDATIONS: (
        mark("{name} has no validations."),
        mark("This page opens once the run has written its first validation."),
        mark("The run is {state}, and its first validation is missing."),
    ),
    Needs.ADAPTER: (
        mark("{name} has no adapter."),
        mark("This page opens once the run has written its adapter."),
        mark("The run is {state}, and its adapter is missing."),
    ),
}


def add_style() -> None:
    """Add the CSS rules that the theme cannot express."""
    st.html(STYLE)


def open_page(title: str, question: str) -> Store:
    """Draw the header of a page without requirements and return the store. Raises StoreDamaged."""
    navigation.require_home()
    _draw_header(title, question)
    return cache.open_lab()


def open_data(title: str, question: str) -> Dataset:
    """Draw the header of a page about the data in use and return the prepared dataset.

    Stops the page with the next action if no dataset is prepared.
    """
    store = open_page(title, question)
    status = cache.read_data_status(store.settings)
    if status.dataset is None:
        job_panel.draw_preparation(store, status)
        st.stop()
    return status.dataset


def open_run(title: str, question: str, needs: Needs) -> Run:
    """Draw the header with a run picker; return the run in the URL, else the newest usable one.

    Stops the page with the next action if there is no such run.
    """
    navigation.require_home()
    store = cache.open_lab()
    runs = store.list_jobs(JobKind.TRAIN)
    usable = [job for job in runs if _has(store, job, needs)]
    run_id = run_in_url()
    current = (
        next((job for job in runs if job.id == run_id), None)
        if run_id
        else next(iter(usable), None)
    )
    _draw_header(title, question, lambda: _pick_run(usable, current))
    if needs is not Needs.ADAPTER:
        hiding.stop_if_hidden(store, Spoiler.RESULTS)
    if run_id and current is None:
        draw_empty(
            translate("There is no run {run}.", run=plain(repr(run_id))),
            "Choose another run above, or from the list.",
            navigation.RUNS,
            "Open the list of runs",
        )
    if current is None:
        draw_empty(
            "No run has finished yet.",
            "This page shows what a finished run has learned.",
            navigation.TRAIN,
            "Set up a run",
        )
    if current not in usable:
        _explain_missing(current, needs)
    run = Run.of(store, current)
    run.require_readable()
    if note := run.hidden_note:
        st.caption(note)
    return run


def run_in_url() -> str:
    """Return the run id in the URL, or an empty string.

    The id is written back: a link to the open page reaches only the server, and the next refresh
    would restore the browser's old id.
    """
    run_id = st.query_params.get("run", "")
    if run_id:
        st.query_params["run"] = run_id
    return run_id


def draw_empty(
    headline: str, explanation: str, file: str, label: str, run_id: str = ""
) -> NoReturn:
    """Draw an empty state with what is missing, why, and one action, and stop the page."""
    with st.container(border=True, key="empty-state", horizontal_alignment="center"):
        st.markdown(f"#### {translate(headline)}", text_alignment="center")
        st.markdown(translate(explanation), text_alignment="center")
        if st.button(
            translate(label),
            key="empty-action",
            type="primary",
            disabled=not navigation.exists(file),
        ):
            navigation.open_page(file, run_id)
    st.stop()


def _has(store: Store, job: Job, needs: Needs) -> bool:
    run = Run.of(store, job)
    if needs is Needs.PREDICTIONS:
        return run.has_predictions()
    if needs is Needs.VALIDATIONS:
        return bool(artifacts.list_validation_steps(run.folder)) and bool(run.result.classes)
    return run.has_adapter and not job.state.is_active


def _explain_missing(job: Job, needs: Needs) -> NoReturn:
    name, (headline, not_yet, missing) = plain(job.name), MISSING[needs]
    if not job.state.is_finished:
        draw_empty(
            translate("{name} is {state}.", name=name, state=job.state),
            not_yet,
            navigation.RUNS,
            "View progress",
            job.id,
        )
    if read_result(job).imported is not None and needs is Needs.PREDICTIONS:
        draw_empty(
            translate("{name} has no scores yet.", name=name),
            "It was imported without test predictions.",
            navigation.RUNS,
            "Score the run",
            job.id,
        )
    draw_empty(
        translate(headline, name=name),
        translate(missing, state=translate(LOOKS[job.state].word).lower()),
        navigation.RUNS,
        "View details",
        job.id,
    )


def _draw_header(title: str, question: str, picker: Callable[[], None] | None = None) -> None:
    with st.container(
        key="page-header",
        horizontal=True,
        vertical_alignment="bottom",
        horizontal_alignment="distribute",
    ):
        with st.container(gap="xxsmall", width="stretch"):
            st.title(translate(title), anchor=False)
            st.caption(translate(question), help=glossary.explain_page(title))
        if picker:
            with st.container(width=320):
                picker()


def _pick_run(usable: list[Job], current: Job | None) -> None:
    names = {
        job.id: job.name
        for job in ([current] if current and current not in usable else []) + usable
    }
    if not names:
        return
    # the URL is the state; the picker only writes it
    st.session_state["run-picker"] = current.id if current else None
    st.selectbox(
        translate("Run"),
        list(names),
        index=None,
        format_func=lambda run: names.get(run, run),
        key="run-picker",
        on_change=_write_run,
    )


def _write_run() -> None:
    if chosen := st.session_state["run-picker"]:
        st.query_params["run"] = chosen
