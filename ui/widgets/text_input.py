"""Input of a text to inspect, typed or from a row of the data; Tokens and Inside share it."""

import streamlit as st

from core.data.dataset import SPLITS, Dataset
from core.data.sources import Split
from ui.session import cache

TEXT_KEY, ROW_KEY, SPLIT_KEY = "own-text", "own-row", "own-split"
LONGEST_TEXT = 20_000
START = (
    "Tokenization splits rare words: the Kazakhstani striker's unbelievable header won the"
    " semi-final 3-2."
)


def choose(dataset: Dataset | None) -> str:
    """Draw the text box and the controls that fill it from a row of the data."""
    st.session_state.setdefault(TEXT_KEY, START)
    text = st.text_area(
        "Text", key=TEXT_KEY, height=110, max_chars=LONGEST_TEXT, persist_state="session"
    )
    if dataset is None:
        return text
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        split = st.selectbox("Split", SPLITS, key=SPLIT_KEY, width=140)
        rows = dataset.rows(split)
        st.number_input(
            "Or use row",
            0,
            max(rows - 1, 0),
            None,
            key=ROW_KEY,
            width=190,
            placeholder=f"0 to {rows - 1:,}",
        )
        st.button(
            "Use this row",
            key="take-row",
            icon=":material/input:",
            on_click=_take,
            args=(dataset, split),
        )
    return text


def _take(dataset: Dataset, split: Split) -> None:
    position = st.session_state.get(ROW_KEY)
    st.session_state[TEXT_KEY] = str(cache.rows(dataset, split)["text"].iloc[int(position or 0)])[
        :LONGEST_TEXT
    ]
