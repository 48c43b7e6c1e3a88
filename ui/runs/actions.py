"""Actions on one run: stop, resume, rename, clone, delete, and the remedies of a failure."""

from collections.abc import Callable
from typing import Literal

import streamlit as st

from core.access import Action, is_allowed
from core.config import find_differences, name_field
from core.errors import LoraLabError
from core.jobs import actions
from core.runs import artifacts
from core.runs.run import Run
from core.storage.job import FailureCause, Job, JobState
from core.storage.store import Store
from core.translation import mark, translate, translate_recorded
from ui import navigation
from ui.session.error_boundary import show
from ui.text import plain
from ui.train import launch
from ui.widgets.job_state import LOOKS
from ui.widgets.run_summary import Summary

RETRY = "retry"
# resuming would fail in the same way
SET_UP_AGAIN = {
    FailureCause.DATA,
    FailureCause.CONFIG,
    FailureCause.DAMAGED,
}
LABELS = {FailureCause.MODEL: mark("Choose another model")}


def draw(store: Store, summary: Summary) -> None:
    """Draw the buttons that the run's state and the visitor's role allow, in one row."""
    job = summary.job
    theirs = not is_allowed(store.visitor, Action.STOP, job.owner)
    with st.container(horizontal=True, key="run-actions", gap="xsmall"):
        if theirs:
            _draw_clone(summary)
            return
        if job.state in (JobState.QUEUED, JobState.STARTING, JobState.RUNNING):
            label = translate("Remove from queue" if job.state is JobState.QUEUED else "Stop")
            _button(label, "stop", ":material/stop:", lambda: actions.stop(store, job))
        # a failed run has its Resume button below, next to the cause
        resumable = job.state is JobState.CANCELLED and not summary.problem
        if resumable and is_allowed(store.visitor, Action.RESUME, job.owner):
            draw_resume(store, job)
        _draw_clone(summary)
        if is_allowed(store.visitor, Action.RENAME, job.owner):
            _draw_rename(store, job)
        if is_allowed(store.visitor, Action.DELETE, job.owner):
            draw_delete(store, job)


def _draw_clone(summary: Summary) -> None:
    if summary.request and st.button(
        translate("Clone"), key="clone", icon=":material/content_copy:"
    ):
        navigation.open_page(navigation.TRAIN, clone=summary.job.id)


def draw_resume(store: Store, job: Job, main: bool = False) -> None:
    """Draw the button that resumes from the last checkpoint; ``main`` makes it the primary one."""
    _button(
        translate("Resume"),
        "resume",
        ":material/resume:",
        lambda: actions.resume(store, job),
        kind="primary" if main else "secondary",
    )


def draw_delete(store: Store, job: Job) -> None:
    """Draw the Delete button with its confirmation; nothing while a worker is active."""
    if job.state.is_active:
        return
    with st.popover(translate("Delete"), icon=":material/delete:", key="delete"):
        st.text(
            translate(
                "{run} will be deleted with its adapter, predictions, log and the files classified"
                " with it. This cannot be undone.",
                run=job.name or job.id,
            )
        )
        if st.button(translate("Delete permanently"), key="delete-confirm", type="primary"):
            st.query_params.pop("run", None)
            try:
                actions.delete(store, store.read_job(job.id))
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
    with st.popover(translate("Rename"), icon=":material/edit:", key="rename"):
        name = st.text_input(
            translate("Name"),
            value=job.name,
            max_chars=120,
            key=f"rename-text-{job.id}-{job.version}",
        )
        _button(
            translate("Save name"),
            "rename-save",
            ":material/check:",
            lambda: actions.rename(store, job, name),
        )


def draw_failure(store: Store, summary: Summary) -> None:
    """Draw the cause with its fix, the proposed change, and the buttons."""
    job = summary.job
    cause = f" ({translate(job.cause)})" if job.cause else ""
    message, fix = (plain(translate_recorded(text)) for text in (job.message, job.fix))
    message = message or translate("The worker exited without an error message.")
    st.error(
        f"**{translate(LOOKS[job.state].word)}{cause}.** {message} {fix}",
        icon=LOOKS[job.state].icon,
    )
    changes = _changes(summary)
    retry = translate("Retry starts a new run with {changes}.", changes=_in_words(changes))
    st.caption(f"{describe_saved_step(store, job)}{f' {retry}' if changes else ''}")
    if not is_allowed(store.visitor, Action.RESUME, job.owner):
        return
    with st.container(horizontal=True, key="remedies", gap="xsmall"):
        if changes:
            _draw_retry(store, summary, changes)
        elif job.cause in SET_UP_AGAIN | LABELS.keys():
            _draw_form_button(
                job,
                translate(LABELS.get(FailureCause(job.cause), mark("Edit the settings"))),
                "primary",
            )
        draw_resume(store, job, main=not changes and job.cause not in SET_UP_AGAIN | LABELS.keys())
        draw_log_download(store, job)


def describe_saved_step(store: Store, job: Job) -> str:
    """Describe the step that a resumed run continues from."""
    steps = artifacts.list_checkpoints(store.get_folder(job))
    if not steps:
        return translate("No step was saved. Resume starts from the first step.")
    return translate("Saved at step {step:,}. Resume continues from there.", step=steps[-1])


def draw_resumed(run: Run) -> None:
    """Draw the step that this attempt continued from, and the checkpoints that were unusable."""
    resumed = run.result.resumed
    if resumed is None:
        return
    began = translate(
        "Attempt {n} continued from step {step:,}."
        if resumed.step
        else "Attempt {n} started at the first step.",
        n=run.job.attempt,
        step=resumed.step,
    )
    st.caption(f"{began} {plain(' '.join(resumed.skipped))}")


def draw_log_download(store: Store, job: Job) -> None:
    """Draw a download button for the whole log, which is read on click."""
    st.download_button(
        translate("Download log"),
        data=lambda: artifacts.read_job_log(store, job),
        file_name=f"{job.id}.log",
        mime="text/plain",
        key="log-download",
        on_click="ignore",
        icon=":material/download:",
    )


def _draw_retry(store: Store, summary: Summary, changes: dict[str, tuple[object, object]]) -> None:
    settings = [f"{name_field(name)} {_value(new)}" for name, (_, new) in changes.items()]
    joined = f" {translate('and')} ".join(settings)
    label = plain(translate("Retry with {changes}", changes=joined))
    if launch.draw_button(label, RETRY):
        try:
            launch.retry(store, summary.job, button=RETRY)
        except LoraLabError as error:  # no room
            show(error)
    _draw_form_button(
        summary.job,
        translate("Edit in the form"),
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
        find_differences(summary.request.config, summary.proposed)
        if summary.request and summary.proposed
        else {}
    )


def _in_words(changes: dict[str, tuple[object, object]]) -> str:
    return plain(
        f" {translate('and')} ".join(
            translate(
                "{field} {new} instead of {old}",
                field=name_field(name),
                new=_value(new),
                old=_value(old),
            )
            for name, (old, new) in changes.items()
        )
    )


def _value(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
