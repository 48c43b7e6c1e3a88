"""The files that a visitor classified with a run: state, download, delete."""

import streamlit as st

from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.launching import read_job_result
from core.jobs.tasks.classify_texts import ClassifyResult, list_batches
from core.runs.run import Run
from core.storage.job import Job, JobState
from ui.classify import file_form, file_result
from ui.session import cache
from ui.text import count, format_age, plain
from ui.widgets import job_state

SHOWN = 10  # files; older ones appear on request


def draw(run: Run, shown_id: str = "") -> None:
    """Draw the list, newest first; the file ``shown_id`` is on the page already."""
    store = cache.open_lab()
    jobs = list_batches(store, run.job)
    if not jobs:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("#### Files classified with this run", width="content")
        if shown_id:
            st.button(
                "Classify another",
                key="another-file",
                icon=":material/upload_file:",
                on_click=_forget,
            )
    every = len(jobs) <= SHOWN or st.toggle(f"Show all {len(jobs):,}", key="all-batches")
    for job in jobs if every else jobs[:SHOWN]:
        _draw_file(job, job.id == shown_id)


def _draw_file(job: Job, is_shown: bool) -> None:
    store = cache.open_lab()
    result = read_job_result(job, ClassifyResult)
    rows = count(result.rows, "rows") if result else count(job.total, "texts") if job.total else ""
    age = format_age(store.clock() - job.created_at)
    state = job_state.LOOKS[job.state].word
    details = " · ".join(part for part in (rows, age, state, "shown above" * is_shown) if part)
    name = file_result.find_name(job)
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", key=f"file-{job.id}"
    ):
        with st.container(gap=None, width="stretch"):
            st.markdown(f"**{plain(name)}**")
            st.caption(details)
        if not is_shown:
            st.button("Open", key=f"open-{job.id}", on_click=_open, args=(job.id,))
        if job.state is JobState.COMPLETED:
            file_result.draw_download(job, name, ".csv", f"csv-{job.id}", "CSV")
        if job.state.is_finished:
            with st.popover("Delete", key=f"remove-{job.id}", icon=":material/delete:"):
                st.markdown(f"Delete the answers for **{plain(name)}**?")
                st.button(
                    "Delete permanently",
                    key=f"delete-{job.id}",
                    type="primary",
                    on_click=_delete,
                    args=(job, is_shown),
                )


def _open(job_id: str) -> None:
    st.session_state[file_form.WAY_KEY] = file_form.FILE
    st.query_params[file_form.JOB_KEY] = job_id


def _delete(job: Job, is_shown: bool) -> None:
    try:
        actions.delete(cache.open_lab(), job)
    except LoraLabError as error:  # it has been deleted or resumed in the meantime
        st.toast(f"{plain(error.message)} {plain(error.fix)}")
    if is_shown:
        _forget()


def _forget() -> None:
    st.query_params.pop(file_form.JOB_KEY, None)
