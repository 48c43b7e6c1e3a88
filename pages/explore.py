"""Explore: what is in the data before anything is trained on it?"""

import streamlit as st

from ui import exploration, explore_filters, explore_texts, explore_words, frame

dataset = frame.open_data("Explore", "What is in the data before anything is trained on it?")
index = exploration.require_index(dataset)
exploration.draw_origin(dataset)

view = explore_filters.choose_view(dataset, index)
explore_filters.draw_finding(view)

sides = st.grid(2, min_column_width=400, gap="large")
with sides.cell():
    exploration.draw_balance(view)
with sides.cell():
    exploration.draw_boxes(view)
    exploration.draw_lengths(view)

exploration.draw_cut(view)
explore_words.draw_words(view)
explore_words.draw_patterns(view)
explore_texts.draw_texts(view)
with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(exploration.HOW_TO_READ)
