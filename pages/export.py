"""Export: how can this run be used elsewhere, and does the export match the run?"""

import streamlit as st

from core.lesson.lesson_file import Spoiler
from core.transfer.export.formats import Format
from ui import export
from ui.app import page_frame
from ui.app.page_frame import Needs
from ui.lesson import hiding
from ui.session import cache

run = page_frame.open_run(
    "Export",
    "How can this run be used elsewhere, and does the export match the run?",
    Needs.ADAPTER,
)
store = cache.open_lab()
hiding.stop_if_hidden(store, Spoiler.RESULTS, Spoiler.PARAMETERS)

export.draw_headline(run)
cells = st.grid(2, min_column_width=380, gap="medium")
for target in Format:
    with cells.cell():
        export.draw_format(store, run.job, target)
with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(export.HOW_TO_READ)
