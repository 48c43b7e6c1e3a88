"""The data that this visit uses: the picker in the sidebar, and the URL, which survives a
reload.
"""

import streamlit as st

from core.data.sources import Source, demo_source, find_source, saved_source
from core.settings import Settings
from core.translation import translate
from ui.text import plain

KEY, PICKER_KEY, IN_URL = "data-in-use", "data-picker", "data"
DEMO = "Demo corpus"


def read_choice() -> str:
    """Return the name of the data that the visitor has chosen; empty for the default."""
    return str(st.session_state.get(KEY, ""))


def find_chosen_source(settings: Settings, name: str) -> Source:
    """Return the dataset ``name``, else the default: a folder, AG News or the demo corpus.

    Raises DataError.
    """
    if name == DEMO:
        return demo_source()
    return (saved_source(settings, name) if name else None) or find_source(settings)


def follow_url() -> None:
    """Read the choice from the URL, or write it there, as links between pages do not carry it.

    Call this before anything reads the choice.
    """
    if requested := st.query_params.get(IN_URL, ""):
        st.session_state[KEY] = requested
    elif stored := st.session_state.get(KEY, ""):
        st.query_params[IN_URL] = stored


def use(name: str) -> None:
    """Use the saved dataset ``name``; an empty name restores the default."""
    st.session_state[KEY] = name
    if name:
        st.query_params[IN_URL] = name
    else:
        st.query_params.pop(IN_URL, None)


def draw(saved: list[str], usual: str) -> None:
    """Draw the picker if there is a choice; ``usual`` is the name of the default."""
    names = {
        "": usual,
        **({DEMO: DEMO} if usual != DEMO else {}),
        **{name: name for name in saved},
    }
    current = st.session_state.get(KEY, "")
    if current not in names:
        gone = translate(
            "Dataset {name} no longer exists; using {usual}.",
            name=plain(repr(current)),
            usual=plain(usual),
        )
        st.caption(gone)
        current = ""
    if not saved:
        return
    st.session_state[PICKER_KEY] = current
    st.selectbox(
        translate("Data"),
        list(names),
        format_func=lambda name: names.get(name, name),
        key=PICKER_KEY,
        on_change=_take,
    )


def _take() -> None:
    use(st.session_state[PICKER_KEY] or "")
