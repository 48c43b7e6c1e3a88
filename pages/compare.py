"""Compare: which run is better, by how much, at what cost, and on which texts?"""

import streamlit as st

from core.lesson.lesson_file import Spoiler
from core.translation import translate
from ui.app import page_frame
from ui.compare import overview, results
from ui.lesson import hiding
from ui.widgets import run_summary

store = page_frame.open_page(
    "Compare", "Which run is better, by how much, at what cost, and on which texts?"
)
hiding.stop_if_hidden(store, Spoiler.RESULTS, Spoiler.PARAMETERS)
chosen = overview.choose_runs(store)

pairs = overview.draw_verdicts(chosen)
results.draw_table(chosen, results.read_baselines(store, chosen))
results.draw_baseline_verdicts(store, chosen)
results.draw_seeds(chosen)
results.draw_configurations(chosen)
results.draw_curves(store, chosen)
results.draw_costs(chosen)
results.draw_classes(chosen)
if pair := overview.choose_pair(pairs):
    overview.draw_pair(pair)
run_summary.draw_report_button(store, [entry.run.job for entry in chosen])

with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown("\n".join(f"- {translate(line)}" for line in overview.HOW_TO_READ))
