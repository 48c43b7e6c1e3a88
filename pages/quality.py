"""Quality: what in the data would spoil a result?"""

import streamlit as st

from ui import cleaning, frame, quality, readers

dataset = frame.open_data("Quality", "What in the data would spoil a result?")
report = quality.require_report(dataset)
quality.draw_headline(dataset, report)

finding = quality.choose_finding(report)
quality.draw_finding(dataset, report, finding)
cleaning.draw_recipe(readers.open_lab(), dataset)
quality.offer_document(dataset, report)

with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(quality.HOW_TO_READ)
