"""Actions on one run: stop, resume, rename, clone, delete."""

from collections.abc import Callable
from typing import Literal

import streamlit as st

from core.access import Action, may
from core.errors import LoraLabError
from core.jobs import actions
from core.storage.job import Job, JobState
from core.storage.store import Store
from ui import navigation
from ui.text import plain
from ui.widgets.run_summary import Summary


def draw(store: Store, summary: Summary) -> None:
    """Draw the buttons that the run's state and the visitor's role allow, in one row."""
    job = summary.job
    theirs = not may(store.visitor, Action.STOP, job.owner)
    with st.container(horizontal=True, key="run-actions", gap="xsmall"):
        if theirs:
            _draw_clone(summary)
            return
        if job.state in (JobState.QUEUED, JobState.STARTING, JobState.RUNNING):
            label = "Remove from queue" if job.state is JobState.QUEUED else "Stop"
            _button(label, "stop", ":material/stop:", lambda: actions.stop(store, job))
        resumable = (
            job.state is JobState.CANCELLED and not summary.problem
        )  # a failed run has its Resume button below, next to the cause
        if resumable and may(store.visitor, Action.RESUME, job.owner):
            draw_resume(store, job)
        _draw_clone(summary)
        if may(store.visitor, Action.RENAME, job.owner):
            _draw_rename(store, job)
        if may(store.visitor, Action.DELETE, job.owner):
            draw_delete(store, job)


def _draw_clone(summary: Summary) -> None:
    if summary.request and st.button("Clone", key="clone", icon=":material/content_copy:"):
        navigation.open_page(navigation.TRAIN, clone=summary.job.id)


def draw_resume(store: Store, job: Job, main: bool = False) -> None:
    """Draw the button that resumes from the last checkpoint; ``main`` makes it the primary one."""
    _button(
        "Resume",
        "resume",
        ":material/resume:",
        lambda: actions.resume(store, job),
        kind="primary" if main else "secondary",
    )


def draw_delete(store: Store, job: Job) -> None:
    """Draw the Delete button with its confirmation; nothing while a worker is active."""
    if job.state.active:
        return
    with st.popover("Delete", icon=":material/delete:", key="delete"):
        st.text(
            f"{job.name or job.id} will be deleted with its adapter, predictions and log. This"
            " cannot be undone."
        )
        if st.button("Delete permanently", key="delete-confirm", type="primary"):
            st.query_params.pop("run", None)
            try:
                actions.delete(store, store.job(job.id))
            except LoraLabError as error:  # started or deleted elsewhere since the page was drawn
                st.toast(f"{plain(error.message)} {plain(error.fix)}")
            st.rerun()


def _button(
    label: str,
    key: str,
    icon: str,
    act: Callable[[], object],
    kind: Literal["primary", "secondary"] = "secondary",
) -> None:
    if not st.button(label, key=key, icon=icon, type=kind):
        return
    try:
        act()
    except LoraLabError as error:  # a StateConflict: the state has changed since the page was drawn
        st.toast(f"{plain(error.message)} {plain(error.fix)}")
    st.rerun()


def _draw_rename(store: Store, job: Job) -> None:
    with st.popover("Rename", icon=":material/edit:", key="rename"):
        name = st.text_input(
            "Name", value=job.name, max_chars=120, key=f"rename-text-{job.id}-{job.version}"
        )
        _button(
            "Save name",
            "rename-save",
            ":material/check:",
            lambda: actions.rename(store, job, name),
        )
