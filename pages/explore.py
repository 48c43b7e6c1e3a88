"""Explore: what is in the data before anything is trained on it?"""

import streamlit as st

from ui import exploration, frame

dataset = frame.open_data("Explore", "What is in the data before anything is trained on it?")
exploration.require_rows(dataset)
exploration.draw_origin(dataset)

view = exploration.choose_view(dataset)
exploration.draw_finding(dataset, view)

sides = st.grid(2, min_column_width=400, gap="large")
with sides.cell():
    exploration.draw_balance(dataset, view)
with sides.cell():
    exploration.draw_lengths(dataset, view)

exploration.draw_texts(dataset, view)
with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(exploration.HOW_TO_READ)
