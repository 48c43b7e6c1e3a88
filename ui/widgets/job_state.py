"""Look of a job's state and progress: always an icon and a word, never color alone."""

from dataclasses import dataclass
from typing import Literal

import streamlit as st

from core.progress import Phase
from core.runs.waiting_times import Turn
from core.storage.job import Job, JobState
from core.translation import mark, translate, translate_plural
from ui.text import capitalize, format_duration, plain

Color = Literal["gray", "blue", "orange", "green", "red"]
LIVE_SECONDS = 2  # between updates of a running job: a step takes about half a second
# progress is written every half second; a long step on a busy machine takes a few
SILENT_SECONDS = 40
SHORT = {
    Phase.UNTRAINED.value: mark("scoring base model"),
    Phase.LOADING.value: mark("loading"),
    Phase.PREPARING.value: mark("preparing"),
    Phase.INDEXING.value: mark("preparing"),
}


@dataclass(frozen=True, slots=True)
class Look:
    """Word, icon, plain-text sign and Streamlit color of a state."""

    word: str
    icon: str
    sign: str
    color: Color


LOOKS = {
    JobState.QUEUED: Look(mark("Queued"), ":material/schedule:", "◷", "gray"),
    JobState.STARTING: Look(mark("Starting"), ":material/hourglass_top:", "◔", "blue"),
    JobState.RUNNING: Look(mark("Running"), ":material/play_circle:", "▶", "blue"),
    JobState.STOPPING: Look(mark("Stopping"), ":material/stop_circle:", "◼", "orange"),
    JobState.COMPLETED: Look(mark("Finished"), ":material/check_circle:", "✓", "green"),
    JobState.CANCELLED: Look(mark("Stopped"), ":material/stop_circle:", "◼", "gray"),
    JobState.FAILED: Look(mark("Failed"), ":material/error:", "✕", "red"),
    JobState.INTERRUPTED: Look(mark("Interrupted"), ":material/power_off:", "⚠", "orange"),
}
DIAGNOSED = Look(mark("Finished, see diagnosis"), ":material/troubleshoot:", "⚑", "orange")
DAMAGED = Look(mark("Damaged"), ":material/broken_image:", "✕", "red")


def draw_badge(look: Look) -> None:
    """Draw a state as a colored badge with icon and word."""
    st.badge(translate(look.word), icon=look.icon, color=look.color)


def format_look(look: Look) -> str:
    """Return the state for a table cell."""
    return f"{look.sign} {translate(look.word)}"


@dataclass(frozen=True, slots=True)
class Progress:
    """The share that is done, from 0 to 1, its text, and a note if there is no update."""

    share: float
    text: str
    note: str


def describe_progress(job: Job, now: float, seconds_left: float | None = None) -> Progress:
    """Describe phase, step, elapsed and remaining time, with a note when updates stop."""
    phase = plain(capitalize(translate(job.phase or job.state.value)))
    progress = {
        Phase.TRAINING.value: mark("step {done:,} of {total:,}"),
        Phase.DOWNLOADING.value: mark("{done:,} of {total:,} KB"),
    }.get(job.phase, mark("{done:,} of {total:,}"))
    steps = [translate(progress, done=job.done, total=job.total)] if job.total else []
    if job.phase == Phase.PREPARING and job.done and not job.total:
        steps = [translate("{done:,} rows read", done=job.done)]
    elapsed = []
    if job.started_at:
        elapsed = [translate("{time} elapsed", time=format_duration(job.elapsed_seconds(now)))]
    note = ""
    if job.heartbeat_at and job.state.is_active and now - job.heartbeat_at > SILENT_SECONDS:
        note = translate(
            "No update for {time}. The worker is alive; the machine may be busy.",
            time=format_duration(now - job.heartbeat_at),
        )
    return Progress(
        compute_share_done(job),
        " · ".join([phase, *steps, *elapsed, *_format_time_left(job, seconds_left)]),
        note,
    )


def draw_progress(progress: Progress) -> None:
    """Draw a bar with its text, and the note if there is one."""
    st.progress(progress.share, text=progress.text)
    if progress.note:
        st.caption(f":material/pending: {progress.note}")


def compute_share_done(job: Job) -> float:
    """Return the fraction of the current phase that is done, from 0 to 1."""
    return min(1.0, job.done / job.total) if job.total else 0.0


def format_progress(job: Job) -> str:
    """Return ``training 42 %`` for the sidebar and tables."""
    if job.state is JobState.QUEUED:
        return translate("waiting")
    per_cent = f" {compute_share_done(job):.0%}".replace("%", " %") if job.total else ""
    return f"{translate(SHORT.get(job.phase, job.phase) or job.state.value)}{per_cent}"


def describe_waiting(turn: Turn | None, now: float, offset: int | None) -> str:
    """Return a queued run's position and its estimated start; ``offset`` is that of
    ``read_offset``.
    """
    if turn is None or turn.ahead == 0:
        return translate("Next in the queue. It starts in a moment.")
    position = translate_plural(
        "Waiting for {n:,} run to finish.", "Waiting for {n:,} runs to finish.", turn.ahead
    )
    if turn.wait is None:
        estimate = translate(
            "No start estimate yet: some of them have not completed their first steps or found"
            " their data."
        )
        return f"{position} {estimate}"
    wait, clock = turn.wait, format_time(now + turn.wait.likely, offset)
    estimate = translate(
        "It should start in about {likely} ({low} to {high}), about {clock}."
        if clock
        else "It should start in about {likely} ({low} to {high}).",
        likely=format_duration(wait.likely),
        low=format_duration(wait.low),
        high=format_duration(wait.high),
        clock=clock,
    )
    return f"{position} {estimate}"


def format_wait(turn: Turn) -> str:
    """Return ``in about 6 min`` for the sidebar and tables."""
    if turn.job.message:
        return translate("waits for memory")
    if turn.ahead == 0:
        return translate("next")
    return (
        translate("in about {likely}", likely=format_duration(turn.wait.likely))
        if turn.wait
        else translate_plural("after {n:,} run", "after {n:,} runs", turn.ahead)
    )


def read_offset() -> int | None:
    """Return the minutes from the reader's time to UTC; None if the browser does not report it."""
    offset = st.context.timezone_offset
    return offset if isinstance(offset, int) else None


def format_time(at: float, offset: int | None) -> str:
    """Return ``14:35`` in the reader's time zone; empty if it is not known."""
    if offset is None:
        return ""
    minutes = int(at // 60 - offset) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _format_time_left(job: Job, seconds_left: float | None) -> list[str]:
    if seconds_left is None:
        return [translate("estimating…")] if job.phase in (Phase.TRAINING, Phase.VALIDATING) else []
    return (
        [translate("about {left} left", left=format_duration(seconds_left))]
        if seconds_left >= 1
        else []
    )
