"""Playground: what do learning rate, steps and label noise do to a head?"""

import streamlit as st

from core.lesson.lesson_file import Spoiler
from core.translation import translate
from ui import playground
from ui.app import page_frame
from ui.lesson import hiding
from ui.session import cache

dataset = page_frame.open_data(
    "Playground", "What do learning rate, steps and label noise do to a head trained on few texts?"
)
hiding.stop_if_hidden(cache.open_lab(), Spoiler.RESULTS)
classes = playground.choose_classes(dataset)
if len(classes) >= 2:
    playground.draw(cache.open_lab().visitor, dataset, classes)

with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown(translate(playground.HOW_TO_READ))
