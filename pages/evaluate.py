"""Evaluate: where is this run correct, where is it wrong, and on which texts?"""

import streamlit as st

from core.translation import translate
from ui.app import page_frame
from ui.app.page_frame import Needs
from ui.evaluate import confusion, scores
from ui.session import cache
from ui.widgets import baselines, chart_view, disputed_labels, run_summary

run = page_frame.open_run(
    "Evaluate",
    "Where is this run correct, where is it wrong, and on which texts?",
    Needs.PREDICTIONS,
)
store = cache.open_lab()
finding = st.container()  # drawn first, filled once the split is chosen

with st.container(horizontal=True, gap="large"):
    split = confusion.choose_split()
    show = confusion.choose_cells()

predictions = cache.read_predictions(run.folder, run.version, len(run.classes), split)
untrained = confusion.read_untrained(run)
disputed = disputed_labels.read(store, run)
with finding:
    confusion.draw_headline(run, split, predictions, untrained)
    disputed_labels.draw_scores(run, disputed, split)
    baselines.draw_sentence(store, run.job)

sides = st.grid(chart_view.count_columns(run.classes), min_column_width=400, gap="large")
with sides.cell():
    drawn = confusion.choose_classes(predictions, run.classes)
    confusion.draw_matrix(run, split, predictions, show, drawn)
with sides.cell():
    scores.draw_per_class(run, split)
scores.draw_per_class_table(run, split)

scores.draw_most_confused(run, split, predictions)
confusion.draw_texts_of_cell(run, split, predictions, disputed)

view = confusion.choose_view()
if view == "before and after training":
    confusion.draw_before_and_after(run, untrained, show, drawn)
elif view == "difference to another run":
    confusion.draw_another_run(run, split, predictions)
else:
    scores.draw_ranking(run, split)

run_summary.draw_report_button(store, [run.job])

with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown("\n".join(f"- {translate(item)}" for item in confusion.HOW_TO_READ))
