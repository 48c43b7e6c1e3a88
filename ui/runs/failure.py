"""A run that failed or was cut short: why, what is left of it, and the buttons for what to do."""

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
}  # going on would meet the same again
LABELS = {FailureCause.MODEL: "Choose another model"}


def draw(store: Store, summary: Summary) -> None:
    """The cause with its remedy, the proposed change, and the buttons."""
    job = summary.job
    cause = f" ({job.cause})" if job.cause else ""
    message = plain(job.message) or "The worker ended without saying why."
    st.error(
        f"**{LOOKS[job.state].word}{cause}.** {message} {plain(job.fix)}",
        icon=LOOKS[job.state].icon,
    )
    changes = _changes(summary)
    retry = f" A retry is a new run like this one with {_in_words(changes)}." if changes else ""
    st.caption(f"{what_is_left(store, job)}{retry}")
    if not may(store.visitor, Action.RESUME, job.owner):
        return
    with st.container(horizontal=True, key="remedies", gap="xsmall"):
        if changes:
            _draw_retry(store, summary, changes)
        elif job.cause in SET_UP_AGAIN | LABELS.keys():
            _draw_form_button(job, LABELS.get(FailureCause(job.cause), "Set up again"), "primary")
        actions.draw_resume(
            store, job, main=not changes and job.cause not in SET_UP_AGAIN | LABELS.keys()
        )
        draw_download(store, job)


def what_is_left(store: Store, job: Job) -> str:
    """From where a resumed run goes on."""
    steps = checkpoints.steps(store.folder(job))
    return (
        f"Saved up to step {steps[-1]:,}; Resume goes on from there."
        if steps
        else "No step was saved; Resume begins at the first one."
    )


def draw_resumed(job: Job) -> None:
    """From where this attempt went on, and which checkpoints could not be used."""
    resumed = job.result.get("resumed")
    if not isinstance(resumed, dict) or not isinstance(resumed.get("step"), int):
        return
    skipped = (
        " ".join(map(str, resumed["skipped"])) if isinstance(resumed.get("skipped"), list) else ""
    )
    began = (
        f"went on from step {resumed['step']:,}" if resumed["step"] else "began at the first step"
    )
    st.caption(f"Attempt {job.attempt} {began}. {plain(skipped)}")


def draw_download(store: Store, job: Job) -> None:
    """The whole log as a file; read when it is asked for."""
    st.download_button(
        "Download the log",
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
        "Change it in the form",
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
    """Field to (value now, proposed value)."""
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
