"""Which data this visit uses: the picker in the sidebar, and the URL, which keeps it over a reload.
Every page reads it from here.
"""

import streamlit as st

from core.data.sources import Source, demo_source, find_source, saved_source
from core.settings import Settings
from ui.text import plain

KEY, PICKER_KEY, IN_URL = "data-in-use", "data-picker", "data"
DEMO = "Demo corpus"


def chosen_source(settings: Settings) -> Source:
    """The dataset that is chosen, else what is found by itself: a folder, AG News or the demo
    corpus. Raises DataError.
    """
    name = st.session_state.get(KEY, "")
    if name == DEMO:
        return demo_source()
    return (saved_source(settings, name) if name else None) or find_source(settings)


def follow_url() -> None:
    """Take the choice from the URL, or write it there: a link to another page does not carry it.
    Comes before all that reads it.
    """
    if wanted := st.query_params.get(IN_URL, ""):
        st.session_state[KEY] = wanted
    elif kept := st.session_state.get(KEY, ""):
        st.query_params[IN_URL] = kept


def use(name: str) -> None:
    """Use the saved dataset ``name`` from now on; nothing goes back to what is found by itself."""
    st.session_state[KEY] = name
    if name:
        st.query_params[IN_URL] = name
    else:
        st.query_params.pop(IN_URL, None)


def draw(saved: list[str], usual: str) -> None:
    """The picker, where there is a choice. ``usual`` names what is found by itself."""
    names = {"": usual, **({DEMO: DEMO} if usual != DEMO else {}), **{name: name for name in saved}}
    current = st.session_state.get(KEY, "")
    if current not in names:
        st.caption(f"There is no dataset {plain(repr(current))} any more; {plain(usual)} is used.")
        current = ""
    if not saved:
        return
    st.session_state[PICKER_KEY] = current
    st.selectbox(
        "Data",
        list(names),
        format_func=lambda name: names.get(name, name),
        key=PICKER_KEY,
        on_change=_take,
    )


def _take() -> None:
    use(st.session_state[PICKER_KEY] or "")
