"""Classify: how does a run classify your text?"""

import streamlit as st

from ui.app import page_frame
from ui.app.page_frame import Needs
from ui.classify import answers, explanation, file_of_texts

ONE, FILE = "One text", "A file"

run = page_frame.open_run("Classify", "How does a run classify your text?", Needs.ADAPTER)

way = st.segmented_control(
    "Classify",
    [ONE, FILE],
    default=ONE,
    required=True,
    key="way",
    bind="query-params",
    label_visibility="collapsed",
)
if way == FILE:
    file_of_texts.draw(run)
    st.stop()

answers.draw_examples(run)
text = st.text_area("Text", key=answers.TEXT_KEY, height=120, placeholder="Enter or paste a text")
others = answers.choose_others(run)
if answers.draw_button():
    answers.ask([run, *others], text)

answers.draw_answer([run, *others])
if answered := answers.read_answers([run, *others]):
    explanation.draw(run, answered[0], answered[1][0])
answers.draw_history()
