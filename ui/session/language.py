"""Language of a visit: the visitor's choice, else that of the class, else that of the browser."""

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from core.translation import (
    ENGLISH,
    LANGUAGES,
    follow,
    match_language,
    read_language,
    translate,
)
from ui.session.error_boundary import read_once, remember

CURRENT, CHOSEN, PICKER = "language", "language-chosen", "language-picker"
COOKIE = "lora-lab-language"  # not secret: a script of the page sets it
LIFETIME_SECONDS = 365 * 86_400
SCRIPT = """<script>
document.documentElement.lang = "{language}";
{remember}
</script>"""
REMEMBER = 'document.cookie = "{name}={language}; path=/; max-age={seconds}; samesite=strict";'


def find_of_visit() -> str:
    """Return the language of the visit that this thread serves; English outside of a visit."""
    return read_once(CURRENT, _read_current)


def _read_current() -> str:
    if get_script_run_ctx(suppress_warning=True) is None:
        return ENGLISH
    return str(st.session_state.get(CURRENT, ENGLISH))


follow(find_of_visit)


def begin_visit(of_class: str = "") -> None:
    """Find the language of the visit; call this before anything is drawn."""
    current = _read_chosen() or of_class or _read_preferred() or ENGLISH
    st.session_state[CURRENT] = current
    remember(CURRENT, current)


def draw_picker() -> None:
    """Draw the choice of a language, which the browser remembers in a cookie."""
    st.session_state[PICKER] = language = read_language()
    st.selectbox(
        translate("Language"),
        list(LANGUAGES),
        format_func=lambda code: LANGUAGES[code].name,
        key=PICKER,
        on_change=_choose,
        label_visibility="collapsed",
        width=160,
    )
    chosen = CHOSEN in st.session_state
    if chosen or language != ENGLISH:  # a page of Streamlit begins in English
        remember = REMEMBER.format(name=COOKIE, language=language, seconds=LIFETIME_SECONDS)
        st.html(
            SCRIPT.format(language=language, remember=remember if chosen else ""),
            unsafe_allow_javascript=True,
        )


def _choose() -> None:
    st.session_state[CHOSEN] = st.session_state[PICKER]


def _read_chosen() -> str:
    chosen = st.session_state.get(CHOSEN) or st.context.cookies.get(COOKIE)
    return str(chosen) if chosen in LANGUAGES else ""


def _read_preferred() -> str:
    """Return the first language of the browser that has texts; empty if none has."""
    headers = str(st.context.headers.get("Accept-Language") or "")
    return match_language(f"{st.context.locale or ''},{headers}")
