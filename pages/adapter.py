"""Adapter: what did LoRA change, and what does each part do?"""

import streamlit as st

from ui import adapter
from ui.app import page_frame
from ui.app.page_frame import Needs

run = page_frame.open_run(
    "Adapter", "What did LoRA change, and what does each part do?", Needs.ADAPTER
)

matrices = adapter.spectra(run.id, run.version, run)
adapter.draw_headline(run, matrices)
adapter.draw_map(matrices)
adapter.draw_experiment(run, matrices)
with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(adapter.HOW_TO_READ)
