"""Making a map: what is missing, the button that starts it, its progress with what is left, and how it ended."""

import streamlit as st

from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.maps import MapRequest, find_map_jobs
from core.states import Job, JobState
from core.store import Store
from core.training.events import Phase
from ui import boundary, states
from ui.words import count, duration, plain

POLL_SECONDS = 1  # it is over in half a minute
SEEN_ROWS = 64  # so many are encoded before their pace says anything


def draw(store: Store, request: MapRequest) -> None:
    """For a map that is not there: why, and the button; or its progress. The page comes back by itself once it is done."""
    latest = next(iter(find_map_jobs(store, request)), None)
    if latest and not latest.state.over:
        actions.keep_running(store)
        st.fragment(_watch, run_every=POLL_SECONDS)(store, latest.id)
        return
    if latest and latest.state in (JobState.FAILED, JobState.INTERRUPTED):
        st.error(f"**{plain(latest.message)}** {plain(latest.fix)}", icon=":material/error:")
    elif latest and latest.state is JobState.CANCELLED:
        st.info("The map was stopped. What was encoded completely is kept.", icon=":material/stop_circle:")
    st.markdown(
        f"**This map has not been made yet.** {count(request.rows, 'texts')} go through the model, then {request.method} draws them."
    )
    st.caption("It takes a minute or two on two cores, in the background. Made once, it shows at once; another method is quicker.")
    if st.button("Make the map", key="make-map", type="primary", icon=":material/play_arrow:"):
        try:
            actions.launch_map(store, request)
        except LoraLabError as error:
            boundary.show(error)
            return
        st.rerun()


def _watch(store: Store, job_id: str) -> None:
    with boundary.boundary():
        job = store.job(job_id)
        if job.state.over:
            st.rerun()
        states.progress(job, store.clock())
        if left := seconds_left(job, store.clock()):
            st.caption(f"About {duration(left)} of encoding left, then the map is drawn.")
        elif job.phase == Phase.PROJECTING:
            st.caption("Some seconds more; UMAP takes longest the first time on a machine.")
        st.button(
            "Stop",
            key="stop-map",
            icon=":material/stop:",
            disabled=job.state is JobState.STOPPING,
            on_click=_stop,
            args=(store, job.id),
        )


def seconds_left(job: Job, now: float) -> float | None:
    """Of the encoding, by its pace so far; None before that can be told."""
    since = job.result.get("encoding_since")
    if job.phase != Phase.ENCODING or not isinstance(since, int | float) or job.done < SEEN_ROWS:
        return None
    return max(0.0, (now - since) / job.done * (job.total - job.done))


def _stop(store: Store, job_id: str) -> None:
    job = store.job(job_id)
    if not job.state.over:
        actions.stop(store, job)
