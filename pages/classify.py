"""Classify: what does a run make of a text of yours?"""

import streamlit as st

from ui import batch, classification, explanation, frame
from ui.frame import Needs

ONE, FILE = "One text", "A file"

run = frame.open_run("Classify", "What does a run make of a text of yours?", Needs.ADAPTER)

way = st.segmented_control(
    "Classify", [ONE, FILE], default=ONE, required=True, key="way", bind="query-params", label_visibility="collapsed"
)
if way == FILE:
    batch.draw(run)
    st.stop()

classification.draw_examples(run)
text = st.text_area("Text", key=classification.TEXT_KEY, height=120, placeholder="Type or paste a text")
others = classification.choose_others(run)
if classification.wanted():
    classification.ask([run, *others], text)

classification.draw_answer([run, *others])
if answered := classification.answered([run, *others]):
    explanation.draw(run, answered[0], answered[1][0])
classification.draw_history()
