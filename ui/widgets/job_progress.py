"""A job that is not a run, while it is under way: how far it is, what is left, a way to stop it;
the page is drawn anew when it is over.
"""

from collections.abc import Mapping

import streamlit as st

from core.access import Action, may
from core.errors import LoraLabError
from core.jobs import actions
from core.storage.job import Job, JobState
from core.storage.store import Store
from ui.session.error_boundary import boundary
from ui.text import plain
from ui.widgets import job_state

POLL_SECONDS = 1  # such jobs take from ten seconds to some minutes
WAITING = "Waiting for its turn. It starts in a moment."
SEEN_ROWS = 64  # so many are done before their pace says anything


def watch(
    store: Store, job: Job, key: str, notes: Mapping[str, str] = {}, waiting: str = WAITING
) -> None:
    """The job's progress, every second; ``notes`` are sentences below it by phase, ``key`` is that
    of its Stop button.
    """
    actions.keep_running(store)
    st.fragment(_watch, run_every=POLL_SECONDS)(store, job.id, key, notes, waiting)


def seconds_left(job: Job, now: float) -> float | None:
    """Of a phase that noted when it began (``encoding_since``), by its pace so far; None before
    that can be told.
    """
    since = job.result.get(f"{job.phase.partition(' ')[0]}_since")
    if not isinstance(since, int | float) or job.done < SEEN_ROWS:
        return None
    return max(0.0, (now - since) / job.done * (job.total - job.done))


def _watch(store: Store, job_id: str, key: str, notes: Mapping[str, str], waiting: str) -> None:
    with boundary():
        job, now = store.job(job_id), store.clock()
        if job.state.over:
            st.rerun()
        if job.state is JobState.QUEUED:
            st.caption(f":material/schedule: {waiting}")
        else:
            job_state.progress(job, now, seconds_left(job, now))
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
    except LoraLabError as error:  # it was over in the meantime
        st.toast(f"{plain(error.message)} {plain(error.fix)}")
