"""Evaluate: where is this run right, where is it wrong, and on which texts?"""

import streamlit as st

from ui import baselines, drawing, evaluation, frame, readers, reports
from ui.frame import Needs

run = frame.open_run("Evaluate", "Where is this run right, where is it wrong, and on which texts?", Needs.PREDICTIONS)
finding = st.container()  # stands first and is known once the split is

with st.container(horizontal=True, gap="large"):
    split = evaluation.choose_split()
    show = evaluation.choose_cells()

predictions = readers.predictions(run.folder, run.version, len(run.classes), split)
untrained = evaluation.read_untrained(run)
with finding:
    evaluation.headline(run, split, predictions, untrained)
    baselines.draw_sentence(run.store, run.job)

sides = st.grid(2, min_column_width=400, gap="large")
with sides.cell():
    evaluation.draw_matrix(predictions, run.classes, show)
with sides.cell():
    st.markdown("**Precision, recall and F1 per class**")
    drawing.per_class(predictions.scores, run.classes, key="per-class")
    evaluation.most_confused(predictions, run.classes)

evaluation.texts_of_cell(run, predictions)
evaluation.before_and_after(run, untrained, show)

reports.button(run.store, [run.job])

with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(evaluation.HOW_TO_READ)
