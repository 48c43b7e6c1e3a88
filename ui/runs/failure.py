"""A failed or interrupted run: its cause, what was saved, and the actions that fix it."""

from typing import Literal

import streamlit as st

from core.access import Action, may
from core.config import RunConfig, differences
from core.errors import LoraLabError
from core.runs import artifacts, checkpoints
from core.storage.job import FailureCause, Job
from core.storage.store import Store
from ui import navigation
from ui.runs import actions
from ui.session.error_boundary import show
from ui.text import plain
from ui.train import launch
from ui.widgets.job_state import LOOKS
from ui.widgets.run_summary import Summary

RETRY = "retry"
SET_UP_AGAIN = {
    FailureCause.DATA,
    FailureCause.CONFIG,
    FailureCause.DAMAGED,
}  # resuming would fail in the same way
LABELS = {FailureCause.MODEL: "Choose another model"}


def draw(store: Store, summary: Summary) -> None:
    """Draw the cause with its fix, the proposed change, and the buttons."""
    job = summary.job
    cause = f" ({job.cause})" if job.cause else ""
    message = plain(job.message) or "The worker exited without an error message."
    st.error(
        f"**{LOOKS[job.state].word}{cause}.** {message} {plain(job.fix)}",
        icon=LOOKS[job.state].icon,
    )
    changes = _changes(summary)
    retry = f" Retry starts a new run with {_in_words(changes)}." if changes else ""
    st.caption(f"{what_is_left(store, job)}{retry}")
    if not may(store.visitor, Action.RESUME, job.owner):
        return
    with st.container(horizontal=True, key="remedies", gap="xsmall"):
        if changes:
            _draw_retry(store, summary, changes)
        elif job.cause in SET_UP_AGAIN | LABELS.keys():
            _draw_form_button(
                job, LABELS.get(FailureCause(job.cause), "Edit the settings"), "primary"
            )
        actions.draw_resume(
            store, job, main=not changes and job.cause not in SET_UP_AGAIN | LABELS.keys()
        )
        draw_download(store, job)


def what_is_left(store: Store, job: Job) -> str:
    """Describe the step that a resumed run continues from."""
    steps = checkpoints.steps(store.folder(job))
    return (
        f"Saved at step {steps[-1]:,}. Resume continues from there."
        if steps
        else "No step was saved. Resume starts from the first step."
    )


def draw_resumed(job: Job) -> None:
    """Draw the step that this attempt continued from, and the checkpoints that were unusable."""
    resumed = job.result.get("resumed")
    if not isinstance(resumed, dict) or not isinstance(resumed.get("step"), int):
        return
    skipped = (
        " ".join(map(str, resumed["skipped"])) if isinstance(resumed.get("skipped"), list) else ""
    )
    began = (
        f"continued from step {resumed['step']:,}"
        if resumed["step"]
        else "started at the first step"
    )
    st.caption(f"Attempt {job.attempt} {began}. {plain(skipped)}")


def draw_download(store: Store, job: Job) -> None:
    """Draw a download button for the whole log, which is read on click."""
    st.download_button(
        "Download log",
        data=lambda: artifacts.whole_log(store, job),
        file_name=f"{job.id}.log",
        mime="text/plain",
        key="log-download",
        on_click="ignore",
        icon=":material/download:",
    )


def _draw_retry(store: Store, summary: Summary, changes: dict[str, tuple[object, object]]) -> None:
    label = plain(
        "Retry with "
        + " and ".join(f"{_title(name)} {_value(new)}" for name, (_, new) in changes.items())
    )
    if launch.launch_button(label, RETRY):
        try:
            launch.retry(store, summary.job, button=RETRY)
        except LoraLabError as error:  # no room
            show(error)
    _draw_form_button(
        summary.job,
        "Edit in the form",
        "secondary",
        [f"{name}={new}" for name, (_, new) in changes.items()],
    )


def _draw_form_button(
    job: Job, label: str, kind: Literal["primary", "secondary"], changes: list[str] | None = None
) -> None:
    if not st.button(label, key="to-form", type=kind, icon=":material/tune:"):
        return
    if changes:
        navigation.open_page(navigation.TRAIN, clone=job.id, set=changes)
    else:
        navigation.open_page(navigation.TRAIN, clone=job.id)


def _changes(summary: Summary) -> dict[str, tuple[object, object]]:
    """Return the proposed changes: field to (current value, proposed value)."""
    return (
        differences(summary.request.config, summary.proposed)
        if summary.request and summary.proposed
        else {}
    )


def _in_words(changes: dict[str, tuple[object, object]]) -> str:
    return plain(
        " and ".join(
            f"{_title(name)} {_value(new)} instead of {_value(old)}"
            for name, (old, new) in changes.items()
        )
    )


def _title(name: str) -> str:
    return str(RunConfig.model_fields[name].title).lower()


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
