"""Progress of a job that is not a run: bar, remaining time, Stop button; redraws the page at its
end.
"""

from collections.abc import Mapping

import streamlit as st

from core.access import Action, may
from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.kinds import kind_of
from core.storage.job import Job, JobState
from core.storage.store import Store
from ui.session.error_boundary import boundary
from ui.text import plain
from ui.widgets import job_state

POLL_SECONDS = 1  # such jobs take from ten seconds to some minutes
WAITING = "Waiting in the queue. It starts in a moment."


def watch(
    store: Store, job: Job, key: str, notes: Mapping[str, str] = {}, waiting: str = WAITING
) -> None:
    """Draw the job's progress every second.

    ``notes`` are captions by phase; ``key`` is the Stop button's.
    """
    actions.keep_running(store)
    st.fragment(_watch, run_every=POLL_SECONDS)(store, job.id, key, notes, waiting)


def _watch(store: Store, job_id: str, key: str, notes: Mapping[str, str], waiting: str) -> None:
    with boundary():
        job, now = store.job(job_id), store.clock()
        if job.state.over:
            st.rerun()
        if job.state is JobState.QUEUED:
            st.caption(f":material/schedule: {waiting}")
        else:
            job_state.progress(job, now, kind_of(job).seconds_left(job, now))
        if note := notes.get(job.phase):
            st.caption(note)
        if may(store.visitor, Action.STOP, job.owner):
            stopping = job.state is JobState.STOPPING
            st.button(
                "Stop",
                key=key,
                icon=":material/stop_circle:",
                disabled=stopping,
                on_click=_stop,
                args=(store, job_id),
            )


def _stop(store: Store, job_id: str) -> None:
    try:
        actions.stop(store, store.job(job_id))
    except LoraLabError as error:  # it has ended in the meantime
        st.toast(f"{plain(error.message)} {plain(error.fix)}")
