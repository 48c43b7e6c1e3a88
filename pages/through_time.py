"""Through time: when did this run learn each text, and which did it forget again?"""

import streamlit as st

from core.translation import translate
from ui import through_time
from ui.app import page_frame
from ui.app.page_frame import Needs
from ui.session import cache

run = page_frame.open_run(
    "Through time",
    "When did this run learn each text, and which did it forget again?",
    Needs.VALIDATIONS,
)
dynamics = cache.read_dynamics(run.folder, run.version, len(run.classes))

through_time.draw_headline(dynamics)
at = through_time.choose_step(dynamics)
through_time.draw_step(run, dynamics, at)

row = through_time.draw_map(run, dynamics)
if row is not None:
    through_time.draw_text(run, dynamics, row, at)

with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown(translate(through_time.HOW_TO_READ))
