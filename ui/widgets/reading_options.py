"""Options of reading a file of text: each is detected unless the reader chooses it."""

import streamlit as st

from core.data.tables.dialect import NAMES as SEPARATORS
from core.data.tables.read_report import ReadOptions
from core.data.tables.text_encoding import ENCODINGS
from core.translation import mark, translate

DETECTED = mark("detected")
FIRST_LINE = {DETECTED: None, mark("names of the columns"): True, mark("a row"): False}
QUOTES = {DETECTED: None, mark("enclose texts"): True, mark("are part of texts"): False}


def read_options(key: str) -> ReadOptions:
    """Return the options chosen for the file that ``key`` identifies."""
    chosen = st.session_state.get
    return ReadOptions(
        chosen(f"encoding|{key}") or "",
        chosen(f"separator|{key}") or "",
        FIRST_LINE[chosen(f"header|{key}") or DETECTED],
        QUOTES[chosen(f"quotes|{key}") or DETECTED],
    )


def choose_encoding(key: str, encoding: str) -> None:
    """Choose the encoding of a file, as its box does."""
    st.session_state[f"encoding|{key}"] = encoding


def draw_options(key: str, *, expanded: bool = False) -> None:
    """Draw a box for each option."""
    with (
        st.expander(
            translate("Change how the file is read"),
            key=f"reading|{key}",
            expanded=expanded,
            type="compact",
            icon=":material/tune:",
        ),
        st.grid(4, min_column_width=180, vertical_alignment="bottom"),
    ):
        st.selectbox(
            translate("First line"), list(FIRST_LINE), format_func=translate, key=f"header|{key}"
        )
        st.selectbox(
            translate("Separator"),
            ["", *SEPARATORS],
            format_func=lambda sign: translate(SEPARATORS.get(sign, DETECTED)),
            key=f"separator|{key}",
        )
        st.selectbox(
            translate("Double quotes"), list(QUOTES), format_func=translate, key=f"quotes|{key}"
        )
        st.selectbox(
            translate("Encoding"),
            ["", *ENCODINGS],
            format_func=lambda name: translate(ENCODINGS.get(name, DETECTED)),
            key=f"encoding|{key}",
        )
