"""Adapter: what did LoRA change, and what does each part do?"""

import streamlit as st

from core.lesson.lesson_file import Spoiler
from ui import adapter
from ui.app import page_frame
from ui.app.page_frame import Needs
from ui.lesson import hiding
from ui.session import cache

run = page_frame.open_run(
    "Adapter", "What did LoRA change, and what does each part do?", Needs.ADAPTER
)

hiding.stop_if_hidden(cache.open_lab(), Spoiler.RESULTS, Spoiler.PARAMETERS)
matrices = adapter.spectra(run.id, run.version, run)
adapter.draw_headline(run, matrices)
adapter.draw_map(matrices)
adapter.draw_experiment(run, matrices)
with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(adapter.HOW_TO_READ)
