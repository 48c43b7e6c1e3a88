"""Panel of a job that is not a run: progress, remaining time and Stop button, or how it ended and
the button that starts it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import streamlit as st

from core.errors import LoraLabError
from core.storage.job import Job, JobState
from core.storage.store import Store
from ui.session.error_boundary import show
from ui.text import plain
from ui.widgets.job_progress import WAITING, watch


@dataclass(frozen=True, slots=True)
class StartButton:
    """The button that starts the job, and what is said above it.

    ``refused`` is the reason that stands in the place of the button where the visitor may not press
    it; a ``disabled`` button says why in its ``help``.
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
    """Key of the Stop button, and what the panel says.

    ``failed`` comes before the job's own message, which is the headline where it is empty;
    ``stopped`` is not said where empty. ``notes`` are captions by phase.
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
    """Draw the newest job of a request; True while it is queued or running.

    The page is drawn again when the job ends, and after a launch.
    """
    if job and not job.state.over:
        watch(store, job, words.stop_key, words.notes, words.waiting)
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
        headline = words.failed or plain(job.message)
        details = [plain(job.message)] if words.failed else []
        text = " ".join([f"**{headline}**", *details, plain(job.fix)])
        box = st.warning if words.is_optional else st.error
        box(text, icon=":material/error:")
    elif job.state is JobState.CANCELLED and words.stopped:
        st.info(words.stopped, icon=":material/stop_circle:")
