"""Panel of a job that is not a run: progress, remaining time and Stop button, or how it ended and
the button that starts it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import streamlit as st

from core.access import Action, is_allowed
from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.kinds import find_kind
from core.jobs.launching import find_latest, launch
from core.runs.requests import PrepareRequest
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.translation import mark, translate, translate_recorded
from ui.session import visitors
from ui.session.cache import DataStatus
from ui.session.error_boundary import boundary, show
from ui.text import plain
from ui.widgets import job_state

POLL_SECONDS = 1  # such jobs take from ten seconds to some minutes
WAITING = mark("Waiting in the queue. It starts in a moment.")
PREPARATION = mark(
    "must be prepared once: read, checked and split. This takes a few seconds; a million rows take"
    " a minute or two."
)


def _watch(
    store: Store, job: Job, key: str, notes: Mapping[str, str] = {}, waiting: str = WAITING
) -> None:
    """Draw the job's progress every second.

    ``notes`` are captions by phase; ``key`` is the Stop button's.
    """
    actions.resume_queue(store)
    st.fragment(_draw_progress, run_every=POLL_SECONDS)(store, job.id, key, notes, waiting)


def _draw_progress(
    store: Store, job_id: str, key: str, notes: Mapping[str, str], waiting: str
) -> None:
    with boundary(), visitors.show_live(store, partial(_read_live, job_id=job_id)) as live:
        if live.state.is_finished:
            st.rerun()
        if live.state is JobState.QUEUED:
            st.caption(f":material/schedule: {translate(waiting)}")
        else:
            job_state.draw_progress(live.progress)
        if note := notes.get(live.phase):
            st.caption(translate(note))
        if is_allowed(store.visitor, Action.STOP, live.owner):
            stopping = live.state is JobState.STOPPING
            st.button(
                translate("Stop"),
                key=key,
                icon=":material/stop_circle:",
                disabled=stopping,
                on_click=_stop,
                args=(store, job_id),
            )


@dataclass(frozen=True, slots=True)
class Live:
    """The facts about a queued or running job that are drawn."""

    state: JobState
    phase: str
    owner: str
    progress: job_state.Progress


def _read_live(store: Store, job_id: str) -> Live:
    job, now = store.read_job(job_id), store.clock()
    left = find_kind(job).estimate_seconds_left(job, now)
    progress = job_state.describe_progress(job, now, left)
    return Live(job.state, job.phase, job.owner, progress)


def _stop(store: Store, job_id: str) -> None:
    try:
        actions.stop(store, store.read_job(job_id))
    except LoraLabError as error:  # it has ended in the meantime
        st.toast(f"{plain(error.message)} {plain(error.fix)}")


@dataclass(frozen=True, slots=True)
class StartButton:
    """Button that starts a job, with the texts above it.

    ``refused`` is the reason shown instead of the button to visitors who may not press it; a
    ``disabled`` button gives its reason in ``help``.
    """

    label: str
    key: str
    launch: Callable[[], object]
    icon: str = ":material/play_arrow:"
    primary: bool = False
    help: str | None = None
    disabled: bool = False
    refused: str = ""
    heading: str = ""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class PanelWords:
    """Key of the Stop button, and the panel's messages.

    ``failed`` precedes the job's own message; if it is empty, the message is the headline. An empty
    ``stopped`` shows nothing after a stop. ``notes`` are captions by phase.
    """

    stop_key: str
    failed: str = ""
    stopped: str = ""
    waiting: str = WAITING
    notes: Mapping[str, str] = field(default_factory=dict)
    is_optional: bool = False  # its failure is a warning


def draw(
    store: Store, job: Job | None, words: PanelWords, start: StartButton | None = None
) -> bool:
    """Draw the newest job of a request; return whether it is queued or running.

    The page is rerun when the job ends, and after a launch.
    """
    if job and not job.state.is_finished:
        _watch(store, job, words.stop_key, words.notes, words.waiting)
        return True
    if job:
        _draw_end(job, words)
    if start:
        draw_start(start)
    return False


def draw_start(start: StartButton) -> None:
    """Draw the button that starts a job, or why it is not offered."""
    if start.heading:
        st.markdown(start.heading)
    if start.caption:
        st.caption(start.caption)
    if start.refused:
        st.caption(start.refused)
    elif st.button(
        start.label,
        key=start.key,
        type="primary" if start.primary else "secondary",
        icon=start.icon,
        help=start.help,
        disabled=start.disabled,
    ):
        try:
            start.launch()
        except LoraLabError as error:
            show(error)
        else:
            st.rerun()


def _draw_end(job: Job, words: PanelWords) -> None:
    if job.state in (JobState.FAILED, JobState.INTERRUPTED):
        message, fix = (plain(translate_recorded(text)) for text in (job.message, job.fix))
        headline = translate(words.failed) or message
        details = [message] if words.failed else []
        text = " ".join([f"**{headline}**", *details, fix])
        box = st.warning if words.is_optional else st.error
        box(text, icon=":material/error:")
    elif job.state is JobState.CANCELLED and words.stopped:
        st.info(translate(words.stopped), icon=":material/stop_circle:")


def draw_preparation(
    store: Store, status: DataStatus, primary: bool = True, need: str = PREPARATION
) -> None:
    """Draw the preparation of data that is not ready; the page is redrawn when it ends.

    ``need`` completes the sentence that begins with the name of the data.
    """
    if status.source is None:
        if status.problem:
            show(status.problem)
        return
    source, request = status.source, PrepareRequest(source=status.source)
    start = StartButton(
        translate("Prepare data"),
        "prepare",
        lambda: launch(store, request, source.name),
        primary=primary,
        heading=f"**{plain(source.name)}** {translate(need)}",
        caption=plain(translate_recorded(source.note)),
    )
    draw(store, find_latest(store, request), PanelWords("stop-prepare"), start)
