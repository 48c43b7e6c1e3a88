"""Your data: which texts of your own should a model learn from?"""

import streamlit as st

from ui import frame, own_adding, own_saved

store = frame.open_page("Your data", "Which texts of your own should a model learn from?")

if not own_saved.draw_chosen(store):
    st.markdown("#### Saved datasets")
    own_saved.draw_list(store)

    st.markdown("#### Add a dataset")
    own_adding.draw(store)
with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(own_adding.HOW_TO_READ)
