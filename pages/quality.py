"""Quality: what in the data would spoil a result?"""

import streamlit as st

from ui import cleaning, frame, quality, readers, recipe_upload

dataset = frame.open_data("Quality", "What in the data would spoil a result?")
report = quality.require_report(dataset)
quality.draw_headline(dataset, report)

finding = quality.choose_finding(report)
quality.draw_finding(dataset, report, finding)
store = readers.open_lab()
cleaning.draw_recipe(store, dataset)
recipe_upload.offer(store, dataset)
quality.offer_document(dataset, report)

with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(quality.HOW_TO_READ)
