"""Adapter: what did LoRA change, and what does each part of it do?"""

import streamlit as st

from ui import adapter, frame
from ui.frame import Needs

run = frame.open_run("Adapter", "What did LoRA change, and what does each part of it do?", Needs.ADAPTER)

found = adapter.spectra(run.id, run.version, run)
adapter.draw_headline(run, found)
adapter.draw_map(found)
adapter.draw_experiment(run, found)
with st.expander("How to read this"):
    st.markdown(adapter.HOW_TO_READ)
