"""Export: how can this run be used outside, and does the copy do what the run does?"""

import streamlit as st

from core.exporting.formats import Format
from ui import exporting, frame, readers
from ui.frame import Needs

run = frame.open_run("Export", "How can this run be used outside, and does the copy do what the run does?", Needs.ADAPTER)
store = readers.open_lab()

exporting.draw_headline(run)
cells = st.grid(2, min_column_width=380, gap="medium")
for target in Format:
    with cells.cell():
        exporting.draw_format(store, run.job, target)
with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(exporting.HOW_TO_READ)
