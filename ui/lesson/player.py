"""The lesson next to every page: its step, the guess, the answer, and the controls of the leader.

Wide windows show it in a column of its own, narrow ones above the page (``ui/app/style.css``).
"""

from functools import partial

import streamlit as st

from core.access import Action, Mode, is_allowed
from core.errors import ConfigError
from core.lesson import open_lesson
from core.lesson.lesson_file import GuessField, GuessKind, LessonStep
from core.lesson.open_lesson import OpenLesson
from core.storage.lesson_records import Place
from core.storage.store import Store
from core.translation import mark, translate, translate_plural
from ui import navigation
from ui.session import cache, drafts, visitors
from ui.session.error_boundary import boundary, show
from ui.text import plain, plain_option

LIVE_SECONDS = 2  # between two counts of the answers, for the teacher
COLLAPSED = "lesson-collapsed"
ASKING = ("classify", "inside", "playground")  # pages that ask the inference process
Mark = tuple[str, int, bool]


def read_mark(store: Store) -> Mark | None:
    """Return lesson, step and whether the answer is shown; None without a lesson.

    A page that polls compares it with the one it was drawn for.
    """
    place = open_lesson.find_place(store)
    return (place.id, place.step, place.is_revealed(store.clock())) if place else None


def describe_place(store: Store) -> str:
    """Return the place of the lesson for the sidebar, with the time that is left to guess; empty
    without a lesson.
    """
    place = open_lesson.find_place(store)
    if place is None:
        return ""
    left = (place.deadline or 0) - store.clock()
    timer = f"{int(left) // 60}:{int(left) % 60:02d}"
    return translate(
        "Lesson: step {step} · {timer} to guess" if left > 0 else "Lesson: step {step}",
        step=place.step + 1,
        timer=timer,
    )


def draw() -> None:
    """Draw the current step of the visitor's open lesson; nothing without one.

    The container is always there, so that the page after it has the same paths of elements, and
    fragments the same ids, when a lesson begins or ends. An empty one is not drawn.
    """
    store = cache.open_lab()
    with st.container(key="lesson", gap="small"):
        try:
            current = open_lesson.read_open(store)
        except ConfigError as error:
            show(error)
            return
        if current:
            with boundary():
                _draw_open(store, current)


def _draw_open(store: Store, current: OpenLesson) -> None:
    number, total = current.place.step + 1, len(current.lesson.steps)
    if any(step.page in ASKING for step in current.lesson.steps[number - 1 : number + 1]):
        cache.warm_up_base(store)
    collapsed = bool(st.session_state.get(COLLAPSED))
    with st.container(horizontal=True, vertical_alignment="center", key="lesson-title"):
        place = translate("{step} of {steps}", step=number, steps=total)
        st.markdown(f"**{place} · {plain(current.step.title)}**", width="stretch")
        if st.button(
            translate("Show" if collapsed else "Hide"),
            key="lesson-collapse",
            icon=":material/expand_more:" if collapsed else ":material/expand_less:",
            type="tertiary",
        ):
            st.session_state[COLLAPSED] = not collapsed
            st.rerun()
    if collapsed:
        return
    with st.container(key="lesson-body", gap="small"):
        _draw_step(store, current)
    if is_allowed(store.visitor, Action.TEACH):
        _draw_controls(store, current)


def _draw_step(store: Store, current: OpenLesson) -> None:
    step, place = current.step, current.place
    time = translate("About {minutes:g} minutes", minutes=step.minutes)
    st.caption(f"{time} · {plain(current.lesson.title)}")
    if step.text:
        st.markdown(step.text, anchors=False)
    if step.page:
        _draw_link(store, step)
    if step.question:
        st.markdown(f"**{step.question}**", anchors=False)
    if step.guess:
        _draw_guess(store, current, step.guess)
    if current.revealed:
        _draw_answer(store, current)
    if step.prompt and (current.revealed or not step.guess):
        _draw_note(store, place, step)
    if not step.guess:
        _draw_done(store, place)


def _draw_link(store: Store, step: LessonStep) -> None:
    file = f"pages/{step.page}.py"
    run_id = open_lesson.find_run(store, step.run) if step.run else ""
    title = translate(navigation.ENTRIES[file].title)
    navigation.link(file, translate("Open {page}", page=title), run_id=run_id)
    if step.run and not run_id:
        missing = {
            "mine": mark("You have no finished run yet: choose another run on the page."),
            "prepared": mark(
                "The teacher has no finished run yet: choose another run on the page."
            ),
            "example": mark("The example run was deleted: choose another run on the page."),
        }[step.run]
        st.caption(translate(missing))


def _draw_guess(store: Store, current: OpenLesson, field: GuessField) -> None:
    given = open_lesson.read_guess(store, current.place)
    unit = f" {field.unit}" if field.unit else ""
    if given:
        shown = plain(open_lesson.format_guess(field, given) + unit)
        st.markdown(f"{translate('Your guess')}: **{shown}**")
        if not current.revealed:
            led = _is_led(store)
            st.caption(translate("The answer follows when the teacher shows it.") if led else "")
        return
    if current.revealed:
        st.caption(translate("You gave no guess in this step."))
        return
    status = cache.read_data_status(store.settings)
    classes = list(status.dataset.classes) if status.dataset else []
    if field.kind is GuessKind.CLASS and not classes:
        st.caption(translate("This guess is a class: prepare the data on Home first."))
        return
    key = f"lesson-{current.place.id}-{current.place.step}-guess"
    options = list(field.options) or classes
    drafts.follow(
        store,
        {key: [] if field.choose > 1 else "" if field.kind is GuessKind.TEXT else None},
        lambda _, value: _is_possible(field, options, value),
        roles=drafts.WITH_OWNER,
    )
    values = _draw_input(field, options, key)
    st.caption(translate("A guess cannot be changed after it is given."))
    if st.button(translate("Give this guess"), key="lesson-give", type="primary"):
        with boundary():
            open_lesson.give_guess(store, current.place, values, classes)
            drafts.forget(store, [key])
            st.rerun()


def _is_possible(field: GuessField, options: list[str], value: object) -> bool:
    """Whether a draft is a value that the field of the guess can have."""
    if field.kind in (GuessKind.CHOICE, GuessKind.CLASS):
        chosen = value if isinstance(value, list) else [value]
        return isinstance(value, list) == (field.choose > 1) and set(chosen) <= set(options)
    if field.kind is GuessKind.NUMBER:
        if not isinstance(value, float):
            return False
        low, high = field.low, field.high
        return (low is None or value >= low) and (high is None or value <= high)
    return isinstance(value, str)


def _draw_input(field: GuessField, options: list[str], key: str) -> list[str]:
    label = translate("Your guess")

    if field.kind in (GuessKind.CHOICE, GuessKind.CLASS):
        if field.choose > 1:
            label = translate("Your guess: choose {number}", number=field.choose)
            return st.multiselect(
                label,
                options,
                format_func=lambda option: plain_option(field.label(option)),
                max_selections=field.choose,
                placeholder=translate("Choose"),
                key=key,
            )
        if field.kind is GuessKind.CHOICE:
            chosen = st.radio(
                label, options, None, format_func=lambda option: plain(field.label(option)), key=key
            )
        else:
            chosen = st.selectbox(
                label,
                options,
                None,
                format_func=plain_option,
                placeholder=translate("Choose"),
                key=key,
            )
        return [chosen] if chosen else []
    if field.kind is GuessKind.NUMBER:
        label = f"{label} ({plain(field.unit)})" if field.unit else label
        # without bounds: the browser keeps back a number outside of them, as if none was entered
        number = st.number_input(label, value=None, format="%g", key=key)
        return [] if number is None else [f"{number:g}"]
    text = st.text_input(label, max_chars=80, key=key)
    return [text] if text else []


def _draw_answer(store: Store, current: OpenLesson) -> None:
    step = current.step
    if step.guess:
        given = open_lesson.read_guess(store, current.place)
        right = open_lesson.judge(step.guess, given)
        if right is not None:
            unit = f" {step.guess.unit}" if step.guess.unit else ""
            answers = [open_lesson.format_guess(step.guess, text) for text in step.guess.answer]
            answer = plain(open_lesson.SEPARATOR.join(answers) + unit)
            verdict = translate(
                "Your guess was right. The answer:"
                if right
                else "Your guess was different. The answer:"
            )
            st.markdown(f"{verdict} **{answer}**")
        if _is_led(store):
            counts = open_lesson.count_guesses(store, current.place)
            st.caption(plain(open_lesson.summarize_guesses(step.guess, counts)))
    if step.reveal:
        st.markdown(step.reveal, anchors=False)
    if step.meaning:
        st.markdown(f"*{translate('It means:')}* {step.meaning}", anchors=False)


def _draw_note(store: Store, place: Place, step: LessonStep) -> None:
    known = open_lesson.read_note(store, place.id, place.step)
    name = f"lesson-note-{place.id}-{place.step}"
    drafts.follow(store, {name: known}, drafts.is_text, roles=drafts.WITH_OWNER)
    st.session_state.setdefault(name, known)
    text = st.text_area(plain(step.prompt), max_chars=open_lesson.LONGEST_NOTE, key=name, height=68)
    if st.button(translate("Save in the notebook"), key="lesson-note-save"):
        with boundary():
            open_lesson.write_note(store, place.id, place.step, text)
            drafts.forget(store, [name])
            st.toast(translate("Saved in the notebook."), icon=":material/check:")


def _draw_done(store: Store, place: Place) -> None:
    if not _is_led(store) or is_allowed(store.visitor, Action.TEACH):
        return
    done = open_lesson.is_done(store, place)
    if st.button(
        translate("Done"),
        key="lesson-done",
        disabled=done,
        icon=":material/check:" if done else None,
    ):
        open_lesson.mark_done(store, place)
        st.rerun()


def _is_led(store: Store) -> bool:
    return store.settings.mode == Mode.CLASSROOM


def _draw_controls(store: Store, current: OpenLesson) -> None:
    """Draw the buttons that move the lesson; in a class they move everyone."""
    place = current.place
    with st.container(horizontal=True, key="lesson-controls", gap="small"):
        if st.button(translate("Back"), key="lesson-back", disabled=place.step == 0):
            open_lesson.go_to(store, place, place.step - 1)
            st.rerun()
        has_answer = bool(current.step.guess or current.step.reveal or current.step.meaning)
        if has_answer and st.button(
            translate("Show answer"), key="lesson-reveal", disabled=current.revealed
        ):
            open_lesson.reveal(store, place)
            st.rerun()
        waiting = current.step.guess is not None and not current.revealed
        if st.button(
            translate("Next"),
            key="lesson-next",
            type="secondary" if waiting else "primary",
            disabled=current.is_last,
        ):
            open_lesson.go_to(store, place, place.step + 1)
            st.rerun()
        if _is_led(store):
            _draw_timer(store, current)
        label = translate("End" if _is_led(store) else "Close")
        if st.button(label, key="lesson-end", type="tertiary"):
            open_lesson.end_lesson(store)
            st.toast(translate("The page Lesson resumes it."))
            st.rerun()
    if _is_led(store):
        st.fragment(_draw_answered, run_every=LIVE_SECONDS)(place)


def _draw_timer(store: Store, current: OpenLesson) -> None:
    waiting = current.place.deadline is not None and not current.revealed
    label = translate(
        "Stop timer" if waiting else "Timer {minutes:g} min", minutes=current.step.minutes
    )
    if st.button(
        label,
        key="lesson-timer",
        disabled=current.revealed,
        help=translate("Shows the answer to everyone when the time is over."),
    ):
        minutes = None if waiting else current.step.minutes
        open_lesson.set_timer(store, current.place, minutes)
        st.rerun()


def _draw_answered(place: Place) -> None:
    with boundary():
        store = cache.open_lab()
        if is_allowed(store.visitor, Action.TEACH):
            read = partial(open_lesson.count_answered, place=place)
            with visitors.show_live(store, read) as answered:
                st.caption(
                    translate_plural(
                        "{n:,} answer in this step.", "{n:,} answers in this step.", answered
                    )
                )
