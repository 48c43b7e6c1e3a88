"""The list of runs, which stays up to date while something is at work."""

from collections.abc import Sequence

import streamlit as st

from core.storage.job import ACTIVE, JobKind, JobState
from core.storage.recovery import GALLERY_OWNER
from core.storage.store import Store
from ui.runs import table
from ui.session.error_boundary import boundary
from ui.widgets.run_summary import Summary, summarise

LIVE_SECONDS = 2  # as the run's own view


def read(store: Store) -> list[Summary]:
    """All runs, newest first; those of the gallery have a page of their own, so only the one in the
    URL is here.
    """
    jobs = store.jobs(JobKind.TRAIN)
    return [
        summarise(store, job)
        for job in jobs
        if job.owner != GALLERY_OWNER or job.id == st.query_params.get("run")
    ]


def find(summaries: Sequence[Summary], run_id: str) -> Summary | None:
    """The run with that id."""
    return next((summary for summary in summaries if summary.job.id == run_id), None)


def draw(store: Store, chosen: str, key: str = "runs") -> None:
    """The table; live while a run is queued or at work."""
    busy = store.jobs(JobKind.TRAIN, JobState.QUEUED, *ACTIVE)
    st.fragment(_draw, run_every=LIVE_SECONDS if busy else None)(store, chosen, key)


def _draw(store: Store, chosen: str, key: str) -> None:
    with boundary():
        if (
            st.query_params.get("run", "") != chosen
        ):  # a row was chosen: the rest of the page follows
            st.rerun()
        table.draw(store, read(store), key=key, current=chosen)
