"""Parts of the app that the current step of a lesson hides until the visitor has guessed."""

from typing import NoReturn

import streamlit as st

from core.lesson.lesson_file import Spoiler
from core.lesson.open_lesson import find_hidden
from core.storage.store import Store
from core.translation import translate


def is_hidden(store: Store, part: Spoiler) -> bool:
    """Return whether the visitor must not see this part yet."""
    return part in find_hidden(store)


def draw_notice(part: Spoiler, key: str) -> None:
    """Draw in place of a hidden part what shows it."""
    with st.container(key=key):
        st.info(
            translate(
                "The lesson hides {part} until you have given your guess about them.", part=part
            ),
            icon=":material/visibility_off:",
        )


def draw_on_projector(part: Spoiler) -> None:
    """Draw in place of a part that a screen for the whole class must not show yet when it will."""
    st.info(
        translate("The lesson hides {part} until its answer is shown.", part=part),
        icon=":material/visibility_off:",
    )


def stop_if_hidden(store: Store, *parts: Spoiler) -> None:
    """Stop the page with a notice if the visitor must not see one of these parts yet."""
    hidden = find_hidden(store)
    for part in parts:
        if part in hidden:
            _stop(part)


def _stop(part: Spoiler) -> NoReturn:
    draw_notice(part, "hidden-page")
    st.stop()
