"""Calibration: can the probabilities of this run be trusted?"""

import streamlit as st

from core.translation import translate
from ui import calibration
from ui.app import page_frame
from ui.app.page_frame import Needs
from ui.session import cache

run = page_frame.open_run(
    "Calibration",
    "When this run predicts with 90 % confidence, is it correct in 90 of 100 cases?",
    Needs.PREDICTIONS,
)
predictions = cache.read_predictions(run.folder, run.version, len(run.classes), "test")
measured = calibration.measure(run, predictions)
temperature = calibration.read_temperature(run)

calibration.draw_headline(measured, predictions)
if len(predictions):
    calibration.draw_before_and_after(run, predictions, measured, temperature)
    calibration.draw_coverage(run, predictions, temperature)

with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown(calibration.explain_reading())
