"""Evaluate: where is this run right, where is it wrong, and on which texts?"""

import streamlit as st

from ui import baselines, evaluation, evaluation_beside, evaluation_scores, frame, readers, reports
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
    evaluation_scores.per_class(run, split)
evaluation_scores.per_class_table(run, split)

evaluation_scores.most_confused(run, predictions)
evaluation.texts_of_cell(run, predictions)

view = evaluation.choose_view()
if view == "before and after training":
    evaluation_beside.before_and_after(run, untrained, show)
elif view == "difference to another run":
    evaluation_beside.another_run(run, split, predictions)
else:
    evaluation_scores.ranking(run, split)

reports.button(run.store, [run.job])

with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(evaluation.HOW_TO_READ)
