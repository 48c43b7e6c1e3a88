"""Preparation of the data: the button that starts it, its progress, and its failure."""

import streamlit as st

from core.jobs import actions
from core.runs.requests import read_prepare_request
from core.storage.job import ACTIVE, Job, JobKind, JobState
from core.storage.store import Store
from ui.session.cache import DataStatus
from ui.session.error_boundary import show
from ui.text import plain
from ui.widgets.job_progress import watch

NEEDED = "must be prepared once: read, checked and split. This takes a few seconds."


def draw(store: Store, status: DataStatus, primary: bool = True, what: str = NEEDED) -> None:
    """Draw the preparation of data that is not ready; the page is redrawn when it ends.

    ``what`` says what must be done.
    """
    if status.source is None:
        if status.problem:
            show(status.problem)
        return
    latest = _latest(store, status)
    if latest and not latest.state.over:
        watch(store, latest, "stop-prepare")
        return
    if latest and latest.state is JobState.FAILED:
        st.error(f"**{plain(latest.message)}** {plain(latest.fix)}", icon=":material/error:")
    st.markdown(f"**{plain(status.source.name)}** {what}")
    if status.source.note:
        st.caption(plain(status.source.note))
    if st.button(
        "Prepare data",
        key="prepare",
        type="primary" if primary else "secondary",
        icon=":material/play_arrow:",
    ):
        actions.launch_preparation(store, status.source)
        st.rerun()


def _latest(store: Store, status: DataStatus) -> Job | None:
    jobs = store.jobs(JobKind.PREPARE, JobState.QUEUED, JobState.FAILED, *ACTIVE)
    return next((job for job in jobs if read_prepare_request(job).source == status.source), None)
