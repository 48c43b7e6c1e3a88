"""Gallery: what do failed runs look like, and what is wrong with a dataset?"""

import streamlit as st

from core.demo.gallery import FAILURES, open_gallery
from core.translation import mark, translate
from ui.app import page_frame
from ui.gallery import bug_hunt, failed_runs

RUNS, HUNT = "failed runs", "bug hunt"
LABELS = {RUNS: mark("Failed runs"), HUNT: mark("Bug hunt")}

store = page_frame.open_page(
    "Gallery", "What does a failed run look like, and how could it have been fixed?"
)
shown = st.segmented_control(
    translate("Show"),
    (RUNS, HUNT),
    default=RUNS,
    required=True,
    key="gallery-shows",
    bind="query-params",
    format_func=lambda choice: translate(LABELS[choice]),
    label_visibility="collapsed",
)
if shown == HUNT:
    bug_hunt.draw(store)
else:
    runs = open_gallery(store)
    failed_runs.draw_introduction()
    failed_runs.draw(store, FAILURES, runs)
