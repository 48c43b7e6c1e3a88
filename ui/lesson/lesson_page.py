"""The page Lesson: files to start, upload and download, answers of all, and an own notebook."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import pandas as pd
import streamlit as st

from core.access import Action, Mode, is_allowed
from core.data.hidden_test import MOST_ROWS, USUAL_PERCENT
from core.data.sources import Source
from core.errors import ConfigError
from core.lesson import lesson_setup, open_lesson
from core.lesson.lesson_file import (
    LARGEST_KB,
    Lesson,
    decode_lesson,
    list_bundled,
    read_lesson,
)
from core.lesson.lesson_setup import Preparation
from core.lesson.open_lesson import OpenLesson, PersonProgress
from core.people.classroom import read_language as read_class_language
from core.people.classroom import read_rules
from core.reports.notebook import tabulate_runs, write_class_notebook, write_notebook
from core.reports.pinned_charts import describe_hidden_pins, list_visible_pins, remove_pin
from core.storage import lesson_records
from core.storage.store import Store
from core.translation import (
    LANGUAGES,
    format_number,
    keep_language,
    read_language,
    translate,
    translate_plural,
)
from ui.lesson.player import LIVE_SECONDS
from ui.session import cache, visitors
from ui.session.error_boundary import boundary, show
from ui.text import format_duration, plain, plain_option
from ui.widgets import tables
from ui.widgets.job_state import format_progress

CHOSEN = "lesson-file"
PREPARING = "lesson-preparing"  # until the data are prepared, the rest waits


def draw_library(store: Store) -> None:
    """Draw the lesson files with Start, download and delete, and the upload of another one."""
    in_class = store.settings.mode == Mode.CLASSROOM
    of_class = read_class_language(store) if in_class else ""
    bundled = list_bundled(of_class or read_language())
    stored = lesson_records.list_lessons(store)
    contents = {f"bundled: {name}": content for name, content in bundled.items()}
    contents |= {f"stored: {title}": content for title, content in stored.items()}
    st.markdown(f"##### {translate('Choose a lesson')}")
    chosen = st.selectbox(
        translate("Lesson file"),
        list(contents),
        format_func=lambda name: _format_choice(name, contents[name]),
        key=CHOSEN,
    )
    content = contents[chosen]
    try:
        lesson = read_lesson(content)
    except ConfigError as error:
        show(error)
        return
    if lesson.about:
        st.caption(plain(lesson.about))
    st.caption(_describe_language(chosen))
    with st.container(horizontal=True):
        if st.button(translate("Start this lesson"), key="lesson-start", type="primary"):
            with boundary():
                open_lesson.start_lesson(store, content)
                st.rerun()
        st.download_button(
            translate("Download the file"),
            content,
            f"{_make_file_name(lesson.title)}.yaml",
            "application/yaml",
            key="lesson-download",
            on_click="ignore",
            icon=":material/download:",
        )
        title = chosen.removeprefix("stored: ")
        if (
            title in stored
            and title != chosen
            and st.button(translate("Delete"), key="lesson-delete")
        ):
            open_lesson.delete_lesson(store, title)
            st.rerun()
    with st.expander(translate("Steps of this lesson"), key="lesson-outline"):
        _draw_outline(lesson)
    with st.expander(
        translate("Upload a lesson"), key="lesson-upload-box", icon=":material/upload_file:"
    ):
        _draw_upload(store)


def _format_choice(name: str, content: str) -> str:
    try:
        lesson = read_lesson(content)
    except ConfigError:
        return plain_option(name.partition(": ")[2])
    origin = f" · {translate('included')}" if name.startswith("bundled") else ""
    return f"{plain_option(lesson.title)} · {format_number(lesson.minutes, 'g')} min{origin}"


def _describe_language(chosen: str) -> str:
    """Say in which language people see the lesson: an included one in that of their pages."""
    if not chosen.startswith("bundled"):
        return translate("Everyone sees this lesson in the language in which it was written.")
    return translate(
        "Everyone sees this lesson in the language of their own pages: {languages}.",
        languages=", ".join(language.name for language in LANGUAGES.values()),
    )


def _make_file_name(title: str) -> str:
    words = "".join(letter if letter.isalnum() else " " for letter in title.lower()).split()
    return "-".join(words)[:60] or "lesson"


def _draw_outline(lesson: Lesson) -> None:
    starts = [sum(step.minutes for step in lesson.steps[:n]) for n in range(len(lesson.steps))]
    rows = [
        {
            translate("Minute"): f"{start:g}–{start + step.minutes:g}",
            translate("Step"): step.title,
            translate("Page"): step.page,
            translate("Question"): step.question,
            translate("Hides"): ", ".join(translate(str(part)) for part in step.hides),
        }
        for start, step in zip(starts, lesson.steps, strict=True)
    ]
    tables.draw_plain(pd.DataFrame(rows), key="lesson-outline-table")


def _draw_upload(store: Store) -> None:
    st.caption(
        translate(
            "A YAML file of at most {size} KB. Download an included lesson, change it, and upload"
            " it here. A file with the same title replaces the stored one.",
            size=LARGEST_KB,
        )
    )
    file = st.file_uploader(translate("Lesson file (YAML)"), ["yaml", "yml"], key="lesson-upload")
    if file is not None and st.button(translate("Store this lesson"), key="lesson-store"):
        with boundary():
            lesson = open_lesson.store_lesson(store, decode_lesson(file.getvalue()))
            st.toast(
                translate("Stored: {title}", title=plain(lesson.title)), icon=":material/check:"
            )
            st.rerun()


def draw_lesson(store: Store, current: OpenLesson, leads: bool) -> None:
    """Draw an open or ended lesson: who has answered, for its leader, and the own notebook."""
    if current.place.ended_at is not None:
        st.caption(translate("This lesson has ended."))
        if leads and st.button(
            translate("Resume"), key="lesson-resume", icon=":material/play_arrow:"
        ):
            open_lesson.resume_lesson(store, current.place)
            st.rerun()
    if leads and store.settings.mode == Mode.CLASSROOM:
        _draw_live_progress(current)
    _draw_own(store, current)
    _draw_downloads(store, current, leads)


def draw_preparation(store: Store, source: Source) -> None:
    """Draw the parts of the preparation and the button that launches all of them."""
    with st.expander(
        translate("Prepare a lesson"), key="lesson-prepare-box", icon=":material/checklist:"
    ):
        st.fragment(_draw_parts, run_every=LIVE_SECONDS)(source)


@dataclass(frozen=True, slots=True)
class _Parts:
    """The content of the preparation: its parts, the time that the runs take, the minutes of
    the rule, and whether there is a hidden final test.
    """

    lines: tuple[str, ...]
    has_data: bool
    is_done: bool
    seconds: float
    minutes: int | None
    hides: bool


def _read_parts(store: Store, source: Source) -> _Parts:
    parts = lesson_setup.list_preparations(store, source)
    icons = (":material/check:" if part.done else ":material/circle:" for part in parts)
    return _Parts(
        lines=tuple(
            f"{icon} {translate(part.name)}{_describe_part(part)}"
            for icon, part in zip(icons, parts, strict=True)
        ),
        has_data=parts[0].done,
        is_done=all(part.done for part in parts),
        seconds=sum(part.seconds or 0 for part in parts if not part.done),
        minutes=lesson_setup.find_minutes(store, source),
        hides=store.settings.mode == Mode.CLASSROOM and read_rules(store).is_on,
    )


def _draw_parts(source: Source) -> None:
    with boundary():
        store = cache.open_lab()
        with visitors.show_live(store, partial(_read_parts, source=source)) as parts:
            _draw_live_parts(store, source, parts)


def _draw_live_parts(store: Store, source: Source, parts: _Parts) -> None:
    if st.session_state.get(PREPARING) and parts.has_data:
        st.session_state[PREPARING] = not lesson_setup.prepare_lesson(store, source)
        parts = _read_parts(store, source)
    for line in parts.lines:
        st.markdown(line)
    if parts.seconds:
        time = format_duration(parts.seconds)
        st.caption(translate("The runs take about {time} on this machine.", time=time))
    if parts.minutes:
        st.caption(
            translate_plural(
                "In a class, the rule becomes {n:,} minute per run, so that New run begins with"
                " Taste.",
                "In a class, the rule becomes {n:,} minutes per run, so that New run begins with"
                " Taste.",
                parts.minutes,
            )
        )
    hidden_test = _draw_hidden_test(store, parts.hides)
    done = parts.is_done and parts.hides == hidden_test
    if st.button(translate("Prepare"), key="lesson-prepare", type="primary", disabled=done):
        st.session_state[PREPARING] = not lesson_setup.prepare_lesson(
            store, source, hidden_test=hidden_test
        )
        st.rerun()


def _draw_hidden_test(store: Store, hides: bool) -> bool:
    """Draw whether a part of the test texts becomes a hidden final test; return the choice."""
    if store.settings.mode != Mode.CLASSROOM:
        return False
    return st.checkbox(
        translate(
            "Hidden final test: hide {percent} % of the test texts (at most {most:,}) until the"
            " end",
            percent=USUAL_PERCENT,
            most=MOST_ROWS,
        ),
        hides,
        key="lesson-hidden-test",
        disabled=hides,
        help=translate(
            "Prepares the data again without these texts; runs from before count only with their"
            " visible texts. The rules on the page Class change the size or switch it off."
        ),
    )


def _describe_part(part: Preparation) -> str:
    if part.done:
        return ""
    if part.job is not None:
        return f": {plain(format_progress(part.job))}"
    if part.seconds is None:
        return ""
    return ": " + translate("about {time}", time=format_duration(part.seconds))


def _draw_downloads(store: Store, current: OpenLesson, leads: bool) -> None:
    name = _make_file_name(current.lesson.title)
    with st.container(horizontal=True):
        st.download_button(
            translate("Download my notebook"),
            keep_language(lambda: write_notebook(store, current)),
            f"{name}-notebook.html",
            "text/html",
            key="lesson-notebook",
            on_click="ignore",
            icon=":material/download:",
        )
        if not leads or store.settings.mode != Mode.CLASSROOM:
            return
        st.download_button(
            translate("Download all notebooks"),
            keep_language(lambda: write_class_notebook(store, current)),
            f"{name}-class.html",
            "text/html",
            key="lesson-notebooks",
            on_click="ignore",
            icon=":material/download:",
        )
        st.download_button(
            translate("Download all runs (CSV)"),
            keep_language(lambda: tables.write_csv(tabulate_runs(store))),
            f"{name}-runs.csv",
            "text/csv",
            key="lesson-runs",
            on_click="ignore",
            icon=":material/download:",
        )


def _draw_live_progress(current: OpenLesson) -> None:
    """Draw who has answered which step; it refreshes while the lesson is open."""
    if current.place.ended_at is None:
        st.fragment(_draw_progress, run_every=LIVE_SECONDS)(current)
    else:
        _draw_progress(current)


def _draw_progress(current: OpenLesson) -> None:
    with boundary():
        store = cache.open_lab()
        if not is_allowed(store.visitor, Action.TEACH):
            return
        read = partial(open_lesson.read_progress, lesson_id=current.place.id)
        with visitors.show_live(store, read) as people:
            _draw_people(people, len(current.lesson.steps))


def _draw_people(people: Sequence[PersonProgress], steps: int) -> None:
    rows = [
        {translate("Who"): person.name}
        | {f"{number + 1}": "●" if number in person.finished else "" for number in range(steps)}
        for person in people
    ]
    st.markdown(f"##### {translate('Who has answered')}")
    if rows:
        tables.draw_plain(pd.DataFrame(rows), key="lesson-progress")
        st.caption(
            translate("A column per step; ● is a guess that was given or a step marked as done.")
        )
    else:
        st.caption(translate("No student has joined yet."))


def _draw_own(store: Store, current: OpenLesson) -> None:
    """Draw the visitor's guesses and sentences of a lesson."""
    rows = []
    for number, step in enumerate(current.lesson.steps):
        entries = lesson_records.list_entries(
            store, current.place.id, person=store.visitor.id, step=number
        )
        values = {entry.kind: entry.value for entry in entries}
        if "guess" in values or "note" in values:
            rows.append(
                {
                    translate("Step"): f"{number + 1} {step.title}",
                    translate("Question"): step.question,
                    translate("My guess"): open_lesson.format_guess(
                        step.guess, values.get("guess", "")
                    ),
                    translate("My note"): values.get("note", ""),
                }
            )
    st.markdown(f"##### {translate('My notebook')}")
    if rows:
        tables.draw_plain(pd.DataFrame(rows), key="lesson-own")
    else:
        st.caption(translate("Guesses and notes of this lesson appear here."))
    _draw_pins(store, current)


def _draw_pins(store: Store, current: OpenLesson) -> None:
    """Draw the charts that the visitor has pinned in a lesson, each with its picture."""
    pins, hidden = list_visible_pins(store, current.place.id, store.visitor.id)
    if hidden:
        st.caption(describe_hidden_pins(hidden))
    for pin in pins:
        step = translate("step {n}", n=pin.step + 1)
        title = plain(f"{pin.title} · {step}")
        with st.expander(title, icon=":material/keep:", key=f"pin-{pin.id}"):
            st.caption(plain(pin.about))
            st.image(pin.svg, width="stretch", alt=pin.alt)
            if st.button(translate("Remove"), key=f"unpin-{pin.id}", icon=":material/delete:"):
                remove_pin(store, pin.id)
                st.rerun()
