"""Evaluate: where is this run right, where is it wrong, and on which texts?"""

import streamlit as st

from core import charts
from ui import drawing, evaluation, frame
from ui.frame import Needs

run = frame.open_run("Evaluate", "Where is this run right, where is it wrong, and on which texts?", Needs.PREDICTIONS)
predictions, untrained = evaluation.read(run)
evaluation.headline(run, predictions, untrained)

with st.container(horizontal=True, gap="large"):
    st.segmented_control("Texts", evaluation.SPLITS, required=True, default="test", key=evaluation.SPLIT_KEY, bind="query-params")
    show = st.segmented_control("Cells show", charts.CELLS_SHOW, required=True, default="counts", key="cells", bind="query-params")

sides = st.grid(2, min_column_width=400, gap="large")
with sides.cell():
    chart = charts.confusion_matrix(predictions.scores.counts, run.classes, show, dark=drawing.dark())
    clicked = drawing.draw(chart, key="matrix", select="cell")
with sides.cell():
    st.markdown("**Precision, recall and F1 per class**")
    drawing.per_class(predictions.scores, run.classes, key="per-class")
    evaluation.most_confused(predictions, run.classes)

evaluation.texts_of_cell(run, predictions, clicked)
evaluation.before_and_after(run, untrained, show)

with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(evaluation.HOW_TO_READ)
