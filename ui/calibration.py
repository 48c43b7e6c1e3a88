"""Parts of the Calibration page: reliability, the temperature, and what a threshold answers."""

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.errors import ArtifactDamaged
from core.evaluation.calibration import (
    BINS,
    Calibration,
    calibration,
    coverage,
    coverage_curve,
    scale,
)
from core.evaluation.predictions import Predictions
from ui.app.page_frame import OpenRun
from ui.session import cache
from ui.text import count, per_cent
from ui.widgets import chart_view, tables

THRESHOLD_KEY = "threshold"
HOW_TO_READ = f"""
- **Confidence** is the probability of the predicted class. A model is calibrated if, of the
  texts it is 90 % sure of, 90 % are right.
- **Expected calibration error (ECE)** is the mean distance between confidence and accuracy over
  {BINS} bins of equal width, each bin counting by its texts. 0 is best. It depends on the number
  of bins, so compare only figures of the same number; with few texts it is larger by chance
  alone.
- **Brier score** is the mean squared distance between the probabilities and the truth (1 for the
  true class, 0 for the others), summed over the classes: 0 is best, 2 is certain and wrong every
  time.
- **Temperature scaling** (Guo et al. 2017) divides the logits by one number, fitted to the least
  cross-entropy on the validation texts. Above 1 it makes a model less sure, below 1 surer. The
  predicted classes stay, so accuracy does not change.
- **Coverage**: leave the texts below the threshold to a person, and the rest is right more
  often.
"""


def read_temperature(run: OpenRun) -> float | None:
    """The temperature fitted on the validation predictions; None where they cannot be read."""
    try:
        return cache.temperature(run.folder, run.version, len(run.classes))
    except ArtifactDamaged:  # the uncalibrated half of the page stands without it
        return None


def headline(found: Calibration, predictions: Predictions) -> None:
    """Whether the model is too sure, as a sentence with its figures."""
    if not len(predictions):
        st.subheader("No test text was scored.", anchor=False)
        return
    confidence = float(predictions.confidence.mean())
    accuracy = predictions.scores.accuracy
    low, high = accuracy.interval
    says = (
        "too sure"
        if confidence > high
        else "not sure enough"
        if confidence < low
        else "about as sure as it is right"
    )
    st.subheader(
        f"On average {per_cent(confidence)} sure, {per_cent(accuracy.value)}"
        f" ({low * 100:.1f}–{high * 100:.1f}) right",
        anchor=False,
    )
    figures = f"ECE {found.ece:.3f} with {BINS} bins · Brier score {found.brier:.3f}"
    st.caption(f"The model is {says} on {count(len(predictions), 'test texts')}. {figures}")


def before_and_after(
    predictions: Predictions, found: Calibration, temperature: float | None
) -> None:
    """Reliability as the model was trained, and with the temperature that validation texts ask
    for.
    """
    sides = st.grid(2, min_column_width=400, gap="large")
    with sides.cell():
        _draw_bins(found, "As trained", "reliability")
    with sides.cell():
        if temperature is None:
            st.caption(
                "The validation predictions of this run cannot be read, so no temperature can be"
                " fitted."
            )
            return
        after = calibration(scale(predictions.probabilities, temperature), predictions.true)
        _draw_bins(after, f"Temperature {temperature:.2f}", "reliability-scaled")
    _table(found, after, temperature)


def answer_when_sure(predictions: Predictions, temperature: float | None) -> None:
    """A threshold on the confidence: how many texts are answered, and how many of those are
    right.
    """
    st.markdown("#### Answer only when sure")
    with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
        lowest = int(np.ceil(100 / predictions.classes))
        threshold = (
            st.slider(
                "At least so sure (%)",
                lowest,
                100,
                max(90, lowest),
                key=THRESHOLD_KEY,
                bind="query-params",
            )
            / 100
        )
        scaled = st.toggle(
            "With the temperature", key="scaled", disabled=temperature is None, bind="query-params"
        )
    shown = (
        scale(predictions.probabilities, temperature)
        if scaled and temperature
        else predictions.probabilities
    )
    answered, right = coverage(shown, predictions.true, threshold)
    if not right.n:
        st.markdown(
            f"Answering only when at least {threshold:.0%} sure: none of the texts.".replace(
                "%", " %"
            )
        )
    else:
        low, high = right.interval
        st.markdown(
            f"**Answering only when at least {threshold * 100:.0f} % sure:"
            f" {per_cent(answered.value)} of texts, {per_cent(right.value)}"
            f" ({low * 100:.1f}–{high * 100:.1f}) right.**"
            f" {count(answered.n - answered.hits, 'texts')} would be left to a person."
        )
    chart_view.draw(
        charts.coverage(coverage_curve(shown, predictions.true), threshold), key="coverage"
    )


def _draw_bins(found: Calibration, name: str, key: str) -> None:
    chart_view.draw(charts.reliability(found, name), key=key)
    chart_view.draw(charts.bin_counts(found), key=f"{key}-bins", twin=False)


def _table(before: Calibration, after: Calibration, temperature: float) -> None:
    figures = [("ECE", "ece"), ("Brier score", "brier"), ("Cross-entropy (nats)", "loss")]
    table = pd.DataFrame(
        {
            "Test texts": [name for name, _ in figures],
            "As trained": [f"{getattr(before, field):.4f}" for _, field in figures],
            f"Temperature {temperature:.2f}": [
                f"{getattr(after, field):.4f}" for _, field in figures
            ],
        }
    )
    tables.plain(
        table,
        key="figures",
        alt="Calibration on the test texts before and after temperature scaling",
    )
    st.caption(
        "The temperature was fitted on the validation texts, the figures are of the test texts."
        f" Lower is better. ECE with {BINS} bins."
    )
