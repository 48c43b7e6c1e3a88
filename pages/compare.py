"""Compare: which run is better, by how much, at what cost, and on which texts?"""

import streamlit as st

from ui import comparison, comparison_baselines, comparison_curves, comparison_pair, comparison_tables, frame, reports

store = frame.open_page("Compare", "Which run is better, by how much, at what cost, and on which texts?")
chosen = comparison.choose_runs(store)

pairs = comparison.verdicts(chosen)
comparison_tables.table(chosen, comparison_baselines.rows(store, chosen))
comparison_baselines.verdicts(store, chosen)
comparison_tables.seeds(chosen)
comparison_tables.configurations(chosen)
comparison_curves.curves(store, chosen)
comparison_curves.costs(chosen)
comparison_tables.classes(chosen)
if pair := comparison_pair.choose(pairs):
    comparison_pair.draw(pair)
reports.button(store, [one.job for one in chosen])

with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(comparison.HOW_TO_READ)
