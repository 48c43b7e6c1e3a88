"""The sidebar: navigation that keeps the chosen run, the data in use, and active jobs."""

from dataclasses import dataclass
from functools import partial
from typing import Self

import streamlit as st

from core.access import Mode, Visitor
from core.errors import ArtifactDamaged, StoreDamaged
from core.jobs import actions
from core.runs.alerts import list_alerts
from core.runs.waiting_times import find_next_turn, read_queue
from core.storage.job import UNFINISHED, Job, JobKind, JobState
from core.storage.store import Store
from core.translation import translate, translate_plural, translate_recorded
from ui import navigation
from ui.lesson import player
from ui.session import cache, data_picker, language, visitors
from ui.session.error_boundary import boundary, read_settings
from ui.text import plain
from ui.widgets.job_state import format_progress, format_wait

# a step takes about half a second on two cores; an idle page rarely changes
BUSY_SECONDS, IDLE_SECONDS = (
    2,
    15,
)


def draw() -> None:
    """Draw the navigation and the live lines."""
    data_picker.follow_url()
    with st.sidebar:
        st.markdown("### LoRA Lab")
        _draw_navigation(st.query_params.get("run", ""))
        st.divider()
        visitors.draw_line()
        _draw_data_choice()
        language.draw_picker()
        try:
            store = cache.open_lab()
            state = _State.read(store, _unfinished_jobs(store))
        except StoreDamaged:  # every page shows the error and offers the repair
            return
        often = state.busy or state.lesson is not None
        st.fragment(_draw_live_lines, run_every=BUSY_SECONDS if often else IDLE_SECONDS)(state)


def _draw_navigation(run_id: str) -> None:
    mode = read_settings().mode
    absent = {navigation.CLASS} if mode != Mode.CLASSROOM else set[str]()
    if mode == Mode.PUBLIC:
        absent.add(navigation.LESSON)
    with st.container(key="navigation", gap="xsmall"):
        for section, entries in navigation.SECTIONS.items():
            present = [
                entry
                for entry in entries
                if navigation.exists(entry.file) and entry.file not in absent
            ]
            if section and present:
                st.caption(translate(section).upper())
            for entry in present:
                navigation.link(entry.file, run_id=run_id if entry.follows_run else "")


def _draw_data_choice() -> None:
    settings = read_settings()
    data_picker.draw(cache.list_saved_names(settings), cache.read_usual_name(settings))


@dataclass(frozen=True, slots=True)
class _State:
    """Facts that the page and the pace of the live lines depend on."""

    visitor: Visitor
    busy: bool
    lesson: player.Mark | None

    @classmethod
    def read(cls, store: Store, jobs: list[Job]) -> Self:
        return cls(store.visitor, bool(jobs), player.read_mark(store))


@dataclass(frozen=True, slots=True)
class _Line:
    """A link with a text."""

    file: str
    label: str
    icon: str | None = None
    run_id: str = ""


def _draw_live_lines(drawn: _State) -> None:
    with boundary():
        store, chosen = cache.open_lab(), data_picker.read_choice()
        with visitors.show_live(store, partial(_read_lines, chosen=chosen)) as (state, lines):
            if state != drawn:
                st.rerun()  # the page and this fragment's refresh rate depend on it
            with st.container(key="live-lines", gap="xxsmall"):
                for line in lines:
                    navigation.link(line.file, line.label, run_id=line.run_id, icon=line.icon)


def _read_lines(store: Store, chosen: str) -> tuple[_State, tuple[_Line, ...]]:
    jobs = actions.resume_queue(store)
    lesson = player.describe_place(store)
    lines = (
        *((_Line(navigation.LESSON, lesson),) if lesson else ()),
        _describe_data(store, chosen),
        *_describe_jobs(store, jobs),
    )
    return _State.read(store, jobs), lines


def _describe_data(store: Store, chosen: str) -> _Line:
    status = cache.read_status_of(store.settings, chosen)
    if status.dataset is not None:
        rows = translate_plural("{n:,} row", "{n:,} rows", status.dataset.train_rows)
        label = f"{plain(status.dataset.name)} · {rows} · `{status.dataset.fingerprint[:6]}`"
    elif status.source is not None:
        label = f"{plain(status.source.name)} · {translate('not prepared yet')}"
    else:
        label = translate("Data: unavailable")
    file = navigation.HOME if status.dataset is None else navigation.EXPLORE
    return _Line(file, label, ":material/database:")


def _describe_jobs(store: Store, jobs: list[Job]) -> list[_Line]:
    active = [job for job in jobs if job.state is not JobState.QUEUED]
    queued = len(jobs) - len(active)
    if not jobs:
        return [_Line(navigation.RUNS, translate("Nothing is running"), ":material/circle:")]
    job = next(iter(active), jobs[-1])
    waiting = f" · {_describe_queue(store, queued)}" if queued and active else ""
    unit = translate("1 run" if job.kind == JobKind.TRAIN else "1 job")
    label = f"{unit}: {plain(format_progress(job))}{waiting}"
    run_id = job.id if job.kind == JobKind.TRAIN else ""
    progress = _Line(navigation.RUNS, label, ":material/motion_photos_on:", run_id)
    return [progress, *_describe_alert(store, job)]


def _describe_queue(store: Store, queued: int) -> str:
    turn = find_next_turn(read_queue(store), store.visitor)
    if turn is None:
        return translate("{queued} waiting", queued=queued)
    return translate(
        "{queued} waiting, yours {when}"
        if store.settings.mode == Mode.CLASSROOM
        else "{queued} waiting, the next {when}",
        queued=queued,
        when=format_wait(turn),
    )


def _describe_alert(store: Store, job: Job) -> list[_Line]:
    """Return a line with the newest alert of the active run, if it has one."""
    if job.kind != JobKind.TRAIN:
        return []
    try:
        alerts = list_alerts(store, job)
    except ArtifactDamaged:  # the list of runs shows it
        return []
    return [
        _Line(
            navigation.RUNS,
            f":orange[{plain(translate_recorded(alert.message))}]",
            ":material/notifications:",
            job.id,
        )
        for alert in alerts[-1:]
    ]


def _unfinished_jobs(store: Store) -> list[Job]:
    return store.list_jobs(states=UNFINISHED)
