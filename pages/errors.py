"""Errors: which texts does this run get wrong, and what do they have in common?"""

import streamlit as st

from core.evaluation.error_analysis import search_slice
from core.translation import translate
from ui import errors
from ui.app import page_frame
from ui.app.page_frame import Needs
from ui.session import cache
from ui.widgets import disputed_labels

run = page_frame.open_run(
    "Errors",
    "Which texts does this run misclassify, and what do they have in common?",
    Needs.PREDICTIONS,
)
predictions = cache.read_predictions(run.folder, run.version, len(run.classes), "test")
disputed = disputed_labels.read(cache.open_lab(), run)
rows = errors.read_rows(run, predictions, disputed)
errors.draw_headline(rows, predictions)
disputed_labels.draw_scores(run, disputed)

slices = cache.find_run_slices(run.folder, run.version, run.classes, run.request.config.max_tokens)
words = st.text_input(
    translate("Search for words"),
    key=errors.SEARCH_KEY,
    placeholder=translate("e.g. oil prices"),
    bind="query-params",
)
searched = search_slice(predictions, words, slices)
if words.strip() and searched is None:
    st.caption(translate("All texts contain these words, or none does."))

errors.draw_slices(run, slices, searched)
view, mask = errors.choose(slices, searched, words)
row = errors.draw_list(run, rows, view, mask)
if row is not None:
    errors.read_and_tag(run, rows, predictions, row)

with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown(errors.explain_reading())
