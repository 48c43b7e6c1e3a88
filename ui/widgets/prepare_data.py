"""Preparation of the data: the button that starts it, its progress, and its failure."""

import streamlit as st

from core.jobs.launching import find_latest, launch
from core.runs.requests import PrepareRequest
from core.storage.job import JobState
from core.storage.store import Store
from ui.session.cache import DataStatus
from ui.session.error_boundary import show
from ui.text import plain
from ui.widgets.job_progress import watch

NEEDED = "must be prepared once: read, checked and split. This takes a few seconds."


def draw(store: Store, status: DataStatus, primary: bool = True, need: str = NEEDED) -> None:
    """Draw the preparation of data that is not ready; the page is redrawn when it ends.

    ``what`` says what must be done.
    """
    if status.source is None:
        if status.problem:
            show(status.problem)
        return
    request = PrepareRequest(source=status.source)
    latest = find_latest(store, request)
    if latest and not latest.state.over:
        watch(store, latest, "stop-prepare")
        return
    if latest and latest.state is JobState.FAILED:
        st.error(f"**{plain(latest.message)}** {plain(latest.fix)}", icon=":material/error:")
    st.markdown(f"**{plain(status.source.name)}** {need}")
    if status.source.note:
        st.caption(plain(status.source.note))
    if st.button(
        "Prepare data",
        key="prepare",
        type="primary" if primary else "secondary",
        icon=":material/play_arrow:",
    ):
        launch(store, request, status.source.name)
        st.rerun()
