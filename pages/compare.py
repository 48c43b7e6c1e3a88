"""Compare: which run is better, by how much, at what cost, and on which texts?"""

import streamlit as st

from ui.app import page_frame
from ui.compare import baselines, curves, overview, pair_details, tables
from ui.widgets import report_button

store = page_frame.open_page(
    "Compare", "Which run is better, by how much, at what cost, and on which texts?"
)
chosen = overview.choose_runs(store)

pairs = overview.verdicts(chosen)
tables.table(chosen, baselines.rows(store, chosen))
baselines.verdicts(store, chosen)
tables.seeds(chosen)
tables.configurations(chosen)
curves.curves(store, chosen)
curves.costs(chosen)
tables.classes(chosen)
if pair := pair_details.choose(pairs):
    pair_details.draw(pair)
report_button.button(store, [entry.run.job for entry in chosen])

with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(overview.HOW_TO_READ)
