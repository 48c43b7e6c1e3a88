"""The list of runs, which stays up to date while something is at work."""

from collections.abc import Sequence

import streamlit as st

from core.states import ACTIVE, JobState, Kind
from core.store import Store
from ui import run_table
from ui.boundary import boundary
from ui.run_summary import Summary, summarise

LIVE_SECONDS = 2  # as the run's own view


def read(store: Store) -> list[Summary]:
    """All runs, newest first."""
    return [summarise(store, job) for job in store.jobs(Kind.TRAIN)]


def find(summaries: Sequence[Summary], run_id: str) -> Summary | None:
    """The run with that id."""
    return next((summary for summary in summaries if summary.job.id == run_id), None)


def draw(store: Store, chosen: str, key: str = "runs") -> None:
    """The table; live while a run is queued or at work."""
    busy = store.jobs(Kind.TRAIN, JobState.QUEUED, *ACTIVE)
    st.fragment(_draw, run_every=LIVE_SECONDS if busy else None)(store, chosen, key)


def _draw(store: Store, chosen: str, key: str) -> None:
    with boundary():
        if st.query_params.get("run", "") != chosen:  # a row was chosen: the rest of the page follows
            st.rerun()
        run_table.draw(store, read(store), key=key, current=chosen)
