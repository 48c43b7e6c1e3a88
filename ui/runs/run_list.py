"""The list of runs, which refreshes while a run is active."""

from collections.abc import Sequence

import streamlit as st

from core.storage.job import ACTIVE, JobKind, JobState
from core.storage.recovery import GALLERY_OWNER
from core.storage.store import Store
from ui.runs import table
from ui.session.error_boundary import boundary
from ui.widgets.run_summary import Summary, summarise

LIVE_SECONDS = 2  # the same as the details of a run


def read(store: Store) -> list[Summary]:
    """Return all runs, newest first; of the gallery's runs only the one in the URL."""
    jobs = store.jobs(JobKind.TRAIN)
    return [
        summarise(store, job)
        for job in jobs
        if job.owner != GALLERY_OWNER or job.id == st.query_params.get("run")
    ]


def find(summaries: Sequence[Summary], run_id: str) -> Summary | None:
    """Return the run with the id ``run_id``, if any."""
    return next((summary for summary in summaries if summary.job.id == run_id), None)


def draw(store: Store, chosen: str, key: str = "runs") -> None:
    """Draw the table; it refreshes while a run is queued or active."""
    busy = store.jobs(JobKind.TRAIN, JobState.QUEUED, *ACTIVE)
    st.fragment(_draw, run_every=LIVE_SECONDS if busy else None)(store, chosen, key)


def _draw(store: Store, chosen: str, key: str) -> None:
    with boundary():
        if (
            st.query_params.get("run", "") != chosen
        ):  # a row was chosen: the rest of the page follows
            st.rerun()
        table.draw(store, read(store), key=key, current=chosen)
