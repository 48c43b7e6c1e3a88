"""Your data: which texts of your own should a model learn from?"""

import streamlit as st

from core.translation import translate
from ui.app import page_frame
from ui.data import add, saved

store = page_frame.open_page("Your data", "Which texts of your own should a model learn from?")

if not saved.draw_chosen(store):
    st.markdown(f"#### {translate('Saved datasets')}")
    saved.draw_list(store)

    st.markdown(f"#### {translate('Add a dataset')}")
    add.draw(store)
with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown("\n".join(f"- {translate(line)}" for line in add.HOW_TO_READ))
