"""The projector view of a class: how to join, who has joined, the queue, guesses, results.

Nothing here is secret: no teacher's code, no key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from core import charts
from core.access import Role
from core.lesson.lesson_file import Spoiler
from core.lesson.open_lesson import find_spoilers
from core.people.classroom import Rules, read_codes, read_rules
from core.runs.leaderboard import read_guesses, read_leaderboard
from core.runs.waiting_times import read_queue
from core.storage import accounts
from core.storage.accounts import Standing
from core.storage.job import ACTIVE, Job, JobKind
from core.storage.store import Store
from core.translation import mark, translate, translate_plural
from ui.lesson import hiding
from ui.session import visitors
from ui.session.error_boundary import boundary
from ui.session.join_address import find_join_address, make_qr
from ui.widgets import chart_view
from ui.widgets.job_state import format_wait

VIEW, PROJECTOR = "view", "projector"  # parameter of the address
GUESSES, RESULTS = mark("Guesses"), mark("Results")
REFRESH_SECONDS = 5.0
NAMES_IN_VIEW, QUEUED_IN_VIEW = 40, 8


def is_chosen() -> bool:
    """Return whether the address asks for this view."""
    return st.query_params.get(VIEW) == PROJECTOR


def draw_switch() -> None:
    """Draw the button that opens or leaves this view."""
    projected = is_chosen()
    label = translate("Leave the projector view" if projected else "Projector view")
    if st.button(label, key="projector", icon=":material/cast:"):
        if projected:
            st.query_params.pop(VIEW)
        else:
            st.query_params[VIEW] = PROJECTOR
        st.rerun()


def draw(store: Store) -> None:
    """Draw the view, which is updated on its own."""
    with st.container(key="projector-join"):
        draw_joining(store, 320)
    stage = st.segmented_control(
        translate("Show"),
        (GUESSES, RESULTS),
        default=GUESSES,
        format_func=translate,
        required=True,
        key="projector-stage",
        label_visibility="collapsed",
    )
    with st.container(key="projector-live"):
        st.fragment(_draw_live, run_every=REFRESH_SECONDS)(store, stage == RESULTS)


def draw_joining(store: Store, pixels: int = 170) -> None:
    """Draw the address, the class code, and both as a QR code of this width."""
    address = find_join_address()
    code = "" if visitors.load_sign_in().is_configured else read_codes(store).student
    with st.container(horizontal=True, vertical_alignment="center", gap="large"):
        if address:
            picture = make_qr(address, code).svg_inline(scale=6, border=4, light="white")
            alt = translate("QR code with the address and the class code")
            st.image(picture, width=pixels, alt=alt)
        with st.container(width="content"):
            st.caption(translate("Open in a browser"))
            shown = address or translate("the address of this server")
            st.code(shown, language=None, width="content")
            if code:
                st.caption(translate("and type the class code"))
                st.code(code, language=None, width="content")


@dataclass(frozen=True, slots=True)
class Projected:
    """The content of the view: who has joined, the lines of the queue, the dots with their names,
    which are None while the lesson hides them.
    """

    people: tuple[str, ...]
    queue: tuple[str, ...]
    dots: tuple[tuple[float, str], ...] | None


def _draw_live(store: Store, results: bool) -> None:
    with boundary(), visitors.show_live(store, partial(_read, results=results)) as projected:
        _draw_people(projected.people)
        st.markdown(f"#### {translate('Queue')}")
        st.text("\n".join(projected.queue) or translate("Nothing is running."))
        part = Spoiler.RESULTS if results else Spoiler.GUESSES
        if projected.dots is None:
            hiding.draw_on_projector(part)
        elif projected.dots:
            _draw_dots(projected.dots, results)
        elif results:
            st.caption(translate("No run has finished yet."))
        else:
            st.caption(translate("No guesses yet. Each guess of a run's accuracy becomes a dot."))


def _read(store: Store, results: bool) -> Projected:
    people = tuple(
        visitor.name
        for visitor, standing, *_ in accounts.list_standings(store)
        if standing is Standing.MEMBER and visitor.role is Role.STUDENT
    )
    rules = read_rules(store)
    queue = tuple(_list_queue(store, rules))
    if (Spoiler.RESULTS if results else Spoiler.GUESSES) in find_spoilers(store):
        return Projected(people, queue, None)
    if not results:
        guesses = tuple((guess * 100, "") for guess in read_guesses(store))
        return Projected(people, queue, guesses)
    dots = tuple(
        (
            line.test.value * 100,
            f"{line.owner_name or translate('A student')}: {line.run.job.name}",
        )
        for line in read_leaderboard(store, rules)
    )
    return Projected(people, queue, dots)


def _draw_people(people: Sequence[str]) -> None:
    joined = translate_plural("{n:,} student joined", "{n:,} students joined", len(people))
    st.markdown(f"#### {joined}")
    if people:
        more = len(people) - NAMES_IN_VIEW
        names = "  ·  ".join(people[-NAMES_IN_VIEW:])
        if more > 0:
            names = translate("{names} and {more:,} more", names=names, more=more)
        st.text(names)


def _draw_dots(dots: Sequence[tuple[float, str]], results: bool) -> None:
    values, names = [value for value, _ in dots], [name for _, name in dots]
    chart = (
        charts.draw_dots(values, translate("Accuracy"), names)
        if results
        else charts.draw_dots(values, translate("Guessed accuracy"))
    )
    chart_view.draw(chart, key="projector-results" if results else "projector-guesses", pin=False)


def _list_queue(store: Store, rules: Rules) -> list[str]:
    names = {visitor.id: visitor.name for visitor in accounts.list_people(store)}
    running = store.list_jobs(JobKind.TRAIN, states=ACTIVE)
    turns = read_queue(store)
    lines = [
        translate("Running: {run}", run=_name(job, names.get(job.owner), rules)) for job in running
    ]
    lines += [
        f"{place}. {_name(turn.job, names.get(turn.job.owner), rules)}, {format_wait(turn)}"
        for place, turn in enumerate(turns[:QUEUED_IN_VIEW], start=1)
    ]
    if more := turns[QUEUED_IN_VIEW:]:
        lines.append(translate_plural("and {n:,} more run", "and {n:,} more runs", len(more)))
    return lines


def _name(job: Job, owner: str | None, rules: Rules) -> str:
    if not (owner and rules.names):
        return job.name
    return translate("{run} of {owner}", run=job.name, owner=owner)
