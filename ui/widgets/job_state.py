"""Look of a job's state and progress: always an icon and a word, never color alone."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.progress import Phase
from core.runs.waiting_times import Turn
from core.storage.job import Job, JobState
from ui.text import count, format_duration, plain

Color = Literal["gray", "blue", "orange", "green", "red"]
LIVE_SECONDS = 2  # between updates of a running job: a step takes about half a second
# progress is written every half second; a long step on a busy machine takes a few
SILENT_SECONDS = 40
SHORT = {
    Phase.UNTRAINED.value: "scoring base model",
    Phase.LOADING.value: "loading",
    Phase.PREPARING.value: "preparing",
    Phase.INDEXING.value: "preparing",
}


@dataclass(frozen=True, slots=True)
class Look:
    """Word, icon, plain-text sign and Streamlit color of a state."""

    word: str
    icon: str
    sign: str
    color: Color


LOOKS = {
    JobState.QUEUED: Look("Queued", ":material/schedule:", "◷", "gray"),
    JobState.STARTING: Look("Starting", ":material/hourglass_top:", "◔", "blue"),
    JobState.RUNNING: Look("Running", ":material/play_circle:", "▶", "blue"),
    JobState.STOPPING: Look("Stopping", ":material/stop_circle:", "◼", "orange"),
    JobState.COMPLETED: Look("Finished", ":material/check_circle:", "✓", "green"),
    JobState.CANCELLED: Look("Stopped", ":material/stop_circle:", "◼", "gray"),
    JobState.FAILED: Look("Failed", ":material/error:", "✕", "red"),
    JobState.INTERRUPTED: Look("Interrupted", ":material/power_off:", "⚠", "orange"),
}
DIAGNOSED = Look("Finished, see diagnosis", ":material/troubleshoot:", "⚑", "orange")
DAMAGED = Look("Damaged", ":material/broken_image:", "✕", "red")


def draw_badge(look: Look) -> None:
    """Draw a state as a colored badge with icon and word."""
    st.badge(look.word, icon=look.icon, color=look.color)


def format_look(look: Look) -> str:
    """Return the state for a table cell."""
    return f"{look.sign} {look.word}"


def draw_progress(job: Job, now: float, seconds_left: float | None = None) -> None:
    """Draw a bar with phase, step, elapsed and remaining time, and a note when updates stop."""
    phase = plain((job.phase or job.state.value).capitalize())
    step, unit = (
        "step " if job.phase == Phase.TRAINING else "",
        " KB" if job.phase == Phase.DOWNLOADING else "",
    )
    steps = [f"{step}{job.done:,} of {job.total:,}{unit}"] if job.total else []
    if job.phase == Phase.PREPARING and job.done and not job.total:
        steps = [f"{job.done:,} rows read"]
    elapsed = [f"{format_duration(job.elapsed_seconds(now))} elapsed"] if job.started_at else []
    st.progress(
        compute_share_done(job),
        text=" · ".join([phase, *steps, *elapsed, *_format_time_left(job, seconds_left)]),
    )
    if job.heartbeat_at and job.state.is_active and now - job.heartbeat_at > SILENT_SECONDS:
        st.caption(
            f":material/pending: No update for {format_duration(now - job.heartbeat_at)}. The"
            " worker is alive; the machine may be busy."
        )


def compute_share_done(job: Job) -> float:
    """Return the fraction of the current phase that is done, from 0 to 1."""
    return min(1.0, job.done / job.total) if job.total else 0.0


def format_progress(job: Job) -> str:
    """Return ``training 42 %`` for the sidebar and tables."""
    if job.state is JobState.QUEUED:
        return "waiting"
    per_cent = f" {compute_share_done(job):.0%}".replace("%", " %") if job.total else ""
    return f"{SHORT.get(job.phase, job.phase) or job.state.value}{per_cent}"


def describe_waiting(turn: Turn | None, now: float) -> str:
    """Return a queued run's position and its estimated start."""
    if turn is None or turn.ahead == 0:
        return "Next in the queue. It starts in a moment."
    position = f"Waiting for {count(turn.ahead, 'runs')} to finish."
    if turn.wait is None:
        return (
            f"{position} No start estimate yet: some of them have not completed their first steps"
            " or found their data."
        )
    wait = turn.wait
    at = f", about {clock}" if (clock := format_time(now + wait.likely)) else ""
    return (
        f"{position} It should start in about {format_duration(wait.likely)}"
        f" ({format_duration(wait.low)} to {format_duration(wait.high)}){at}."
    )


def format_wait(turn: Turn) -> str:
    """Return ``in about 6 min`` for the sidebar and tables."""
    if turn.job.message:
        return "waits for memory"
    if turn.ahead == 0:
        return "next"
    return (
        f"in about {format_duration(turn.wait.likely)}"
        if turn.wait
        else f"after {count(turn.ahead, 'runs')}"
    )


def format_time(at: float) -> str:
    """Return ``14:35`` in the reader's time zone; empty if the browser does not report it."""
    offset = st.context.timezone_offset  # minutes from local time to UTC
    if not isinstance(offset, int):
        return ""
    minutes = int(at // 60 - offset) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _format_time_left(job: Job, seconds_left: float | None) -> list[str]:
    if seconds_left is None:
        return ["estimating…"] if job.phase in (Phase.TRAINING, Phase.VALIDATING) else []
    return [f"about {format_duration(seconds_left)} left"] if seconds_left >= 1 else []
