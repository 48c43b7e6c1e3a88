"""Explore: what does the data contain?"""

import streamlit as st

from core.translation import translate
from ui.app import page_frame
from ui.explore import filters, overview, texts

dataset = page_frame.open_data("Explore", "What does the data contain?")
index = overview.require_index(dataset)
overview.draw_origin(dataset)

view = filters.choose_view(dataset, index)
filters.draw_finding(view)

sides = st.grid(2, min_column_width=400, gap="large")
with sides.cell():
    overview.draw_balance(view)
with sides.cell():
    overview.draw_boxes(view)
    overview.draw_lengths(view)

overview.draw_cut(view)
texts.draw_words(view)
texts.draw_patterns(view)
texts.draw_texts(view)
with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown(translate(overview.HOW_TO_READ))
