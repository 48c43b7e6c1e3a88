"""Making a map: what is missing, the button that starts it, its progress with what is left, and how it ended."""

import streamlit as st

from core.access import Action, may
from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.maps import MapRequest, find_map_jobs
from core.states import JobState
from core.store import Store
from core.training.events import Phase
from ui import boundary
from ui.watching import watch
from ui.words import count, plain

NOTES: dict[str, str] = {
    Phase.ENCODING: "Then the map is drawn.",
    Phase.PROJECTING: "Some seconds more; UMAP takes longest the first time on a machine.",
}


def draw(store: Store, request: MapRequest) -> None:
    """For a map that is not there: why, and the button; or its progress. The page comes back by itself once it is done."""
    latest = next(iter(find_map_jobs(store, request)), None)
    if latest and not latest.state.over:
        watch(store, latest, "stop-map", NOTES)
        return
    if latest and latest.state in (JobState.FAILED, JobState.INTERRUPTED):
        st.error(f"**{plain(latest.message)}** {plain(latest.fix)}", icon=":material/error:")
    elif latest and latest.state is JobState.CANCELLED:
        st.info("The map was stopped. What was encoded completely is kept.", icon=":material/stop_circle:")
    st.markdown(
        f"**This map has not been made yet.** {count(request.rows, 'texts')} go through the model, then {request.method} draws them."
    )
    st.caption("It takes a minute or two on two cores, in the background. Made once, it shows at once; another method is quicker.")
    if not may(store.visitor, Action.WORK):
        st.caption("Only those who may train on this server make maps.")
    elif st.button("Make the map", key="make-map", type="primary", icon=":material/play_arrow:"):
        try:
            actions.launch_map(store, request)
        except LoraLabError as error:
            boundary.show(error)
            return
        st.rerun()
