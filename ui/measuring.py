"""Measure this machine: the button that starts it, and how far it is."""

import streamlit as st

from core.config import Precision
from core.errors import ArtifactDamaged
from core.jobs import actions
from core.jobs.requests import CalibrateRequest, read_calibrate_request
from core.states import ACTIVE, Job, JobState, Kind
from core.store import Store
from ui.watching import watch
from ui.words import plain

BUTTON = "Measure this machine"


def draw(store: Store, model_id: str, precision: Precision) -> None:
    """For a model that has not been measured here in this precision."""
    job = _newest(store, CalibrateRequest(model=model_id, precision=precision))
    if job is not None and not job.state.over:
        watch(store, job, "stop-measure")
        return
    if job is not None and job.state is not JobState.COMPLETED:
        why = job.message or "It gave way to a run." if job.state is not JobState.CANCELLED else "It was stopped, or gave way to a run."
        st.caption(f"The last measurement did not end. {plain(why)}")
    busy = bool(store.jobs(None, JobState.QUEUED, *ACTIVE))
    help_text = "A few real steps of this model are timed, about ten seconds; then the estimate is this machine's own."
    st.button(
        BUTTON,
        key="measure",
        icon=":material/speed:",
        help="Another job is at work; a measurement beside it would be wrong." if busy else help_text,
        disabled=busy,
        on_click=_launch,
        args=(store, model_id, precision),
    )


def _launch(store: Store, model_id: str, precision: Precision) -> None:
    actions.launch_calibration(store, model_id, precision)


def _newest(store: Store, wanted: CalibrateRequest) -> Job | None:
    return next((job for job in store.jobs(Kind.CALIBRATE) if _request(job) == wanted), None)


def _request(job: Job) -> CalibrateRequest | None:
    try:
        return read_calibrate_request(job)
    except ArtifactDamaged:
        return None
