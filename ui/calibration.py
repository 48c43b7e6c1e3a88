"""The Calibration page: reliability, temperature scaling, and a confidence threshold."""

from collections.abc import Hashable

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.errors import ArtifactDamaged
from core.evaluation.calibration import (
    BINS,
    Calibration,
    apply_temperature,
    compute_calibration,
    compute_coverage,
    compute_coverage_curve,
)
from core.evaluation.predictions import Predictions
from core.evaluation.scores import Proportion
from core.runs.run import Run
from core.translation import format_number, localize, mark, translate, translate_plural
from ui.glossary import explain
from ui.session import cache
from ui.session.cache import BoundedCache
from ui.text import format_per_cent
from ui.widgets import chart_view, tables

THRESHOLD_KEY = "threshold"
# ten bins each
_measured: BoundedCache[Hashable, Calibration] = BoundedCache(64)
HOW_TO_READ = mark("""\
- **Confidence** is the probability of the predicted class. A model is calibrated if 90 % of its
  predictions with 90 % confidence are correct.
- **Expected calibration error (ECE)** is the mean difference between confidence and accuracy over
  {bins} bins of equal width, weighted by the texts in each bin. 0 is best. It depends on the
  number of bins, so compare only values with the same number; with few texts it is larger by
  chance.
- **Brier score** is the mean squared difference between the probabilities and the truth (1 for
  the true class, 0 for the others), summed over the classes: 0 is best; 2 means certain and wrong
  every time.
- **Temperature scaling** (Guo et al. 2017) divides the logits by one number that minimizes the
  cross-entropy on the validation texts. Values above 1 make a model less confident, values below
  1 more confident. The predicted classes, and so the accuracy, stay the same.
- **Coverage**: if a person handles the texts below the threshold, accuracy on the rest is higher.
""")


def explain_reading() -> str:
    """Return how to read the page."""
    return translate(HOW_TO_READ, bins=BINS)


def read_temperature(run: Run) -> float | None:
    """Return the temperature fitted on the validation predictions; None if they are unreadable."""
    try:
        return cache.read_temperature(run.folder, run.version, len(run.classes))
    except ArtifactDamaged:  # the rest of the page works without it
        return None


def measure(run: Run, predictions: Predictions, temperature: float | None = None) -> Calibration:
    """Return the calibration of the test predictions, as trained or with ``temperature``, computed
    once for all visitors.
    """
    key = run.folder, run.version, predictions.row_key, temperature

    def compute() -> Calibration:
        shares = predictions.probabilities
        if temperature is not None:
            shares = apply_temperature(shares, temperature)
        return compute_calibration(shares, predictions.true)

    return _measured.get_or_make(key, compute)


def draw_headline(measured: Calibration, predictions: Predictions) -> None:
    """Draw whether the model is over- or under-confident, with the figures."""
    if not len(predictions):
        st.subheader(translate("No test texts were scored."), anchor=False)
        return
    confidence = float(predictions.confidence.mean())
    accuracy = predictions.scores.accuracy
    low, high = accuracy.interval
    verdict = (
        mark("The model is over-confident ({n:,} test texts).")
        if confidence > high
        else mark("The model is under-confident ({n:,} test texts).")
        if confidence < low
        else mark("The model is well calibrated on average ({n:,} test texts).")
    )
    st.subheader(
        translate(
            "Mean confidence {confidence}, accuracy {accuracy} ({low:.1f}–{high:.1f})",
            confidence=localize(format_per_cent(confidence)),
            accuracy=localize(format_per_cent(accuracy.value)),
            low=low * 100,
            high=high * 100,
        ),
        anchor=False,
        help=explain("confidence", "accuracy", "calibration"),
    )
    figures = translate(
        "ECE {ece:.3f} with {bins} bins · Brier score {brier:.3f}",
        ece=measured.ece,
        bins=BINS,
        brier=measured.brier,
    )
    st.caption(f"{translate(verdict, n=len(predictions))} {figures}")


def draw_before_and_after(
    run: Run, predictions: Predictions, measured: Calibration, temperature: float | None
) -> None:
    """Draw the reliability as trained and with the temperature fitted on the validation texts."""
    sides = st.grid(2, min_column_width=400, gap="large")
    with sides.cell():
        _draw_bins(run, measured, translate("As trained"), "reliability")
    with sides.cell():
        if temperature is None:
            st.caption(
                translate(
                    "The validation predictions of this run are unreadable, so no temperature can"
                    " be fitted."
                )
            )
            return
        after = measure(run, predictions, temperature)
        _draw_bins(run, after, _name_temperature(temperature), "reliability-scaled")
    _draw_figures(run, measured, after, temperature)


def draw_coverage(run: Run, predictions: Predictions, temperature: float | None) -> None:
    """Draw coverage and accuracy for a confidence threshold."""
    st.markdown(f"#### {translate('Predict only when confident')}")
    with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
        lowest = int(np.ceil(100 / predictions.classes))
        threshold = (
            st.slider(
                translate("Minimum confidence (%)"),
                lowest,
                100,
                max(90, lowest),
                key=THRESHOLD_KEY,
                bind="query-params",
            )
            / 100
        )
        scaled = st.toggle(
            translate("With temperature"),
            key="scaled",
            disabled=temperature is None,
            bind="query-params",
        )
    shown = (
        apply_temperature(predictions.probabilities, temperature)
        if scaled and temperature
        else predictions.probabilities
    )
    st.markdown(
        _describe_coverage(*compute_coverage(shown, predictions.true, threshold), threshold)
    )
    chart = chart_view.share(
        (
            run.folder,
            run.version,
            predictions.row_key,
            "coverage",
            temperature if scaled else None,
            threshold,
        ),
        lambda: charts.draw_coverage(compute_coverage_curve(shown, predictions.true), threshold),
    )
    chart_view.draw(chart, key="coverage")


def _describe_coverage(answered: Proportion, right: Proportion, threshold: float) -> str:
    if not right.n:
        return translate("No text reaches a confidence of {share:.0f} %.", share=threshold * 100)
    low, high = right.interval
    figures = translate(
        "With a confidence of at least {threshold:.0f} %: {share} of texts, accuracy {accuracy}"
        " ({low:.1f}–{high:.1f}).",
        threshold=threshold * 100,
        share=localize(format_per_cent(answered.value)),
        accuracy=localize(format_per_cent(right.value)),
        low=low * 100,
        high=high * 100,
    )
    left = translate_plural(
        "{n:,} text would be left to a person.",
        "{n:,} texts would be left to a person.",
        answered.n - answered.hits,
    )
    return f"**{figures}** {left}"


def _draw_bins(run: Run, measured: Calibration, name: str, key: str) -> None:
    of_run = run.folder, run.version, measured.ece, measured.brier, key
    chart = chart_view.share(of_run, lambda: charts.draw_reliability(measured, name))
    chart_view.draw(chart, key=key)
    bars = chart_view.share((*of_run, "bins"), lambda: charts.draw_bin_counts(measured))
    chart_view.draw(bars, key=f"{key}-bins", twin=False)


def _draw_figures(run: Run, before: Calibration, after: Calibration, temperature: float) -> None:
    tables.draw_plain(
        tables.share(
            (run.folder, run.version, before.ece, after.ece, "calibration"),
            lambda: _tabulate(before, after, temperature),
        ),
        key="figures",
        alt=translate("Calibration on the test texts before and after temperature scaling"),
    )
    st.caption(
        translate(
            "The temperature is fitted on the validation texts; the figures are for the test texts."
            " Lower is better. ECE with {bins} bins.",
            bins=BINS,
        )
    )


def _tabulate(before: Calibration, after: Calibration, temperature: float) -> pd.DataFrame:
    figures = [
        ("ECE", "ece"),
        (translate("Brier score"), "brier"),
        (translate("Cross-entropy (nats)"), "loss"),
    ]
    return pd.DataFrame(
        {
            translate("Test texts"): [name for name, _ in figures],
            translate("As trained"): [
                format_number(getattr(before, field), ".4f") for _, field in figures
            ],
            _name_temperature(temperature): [
                format_number(getattr(after, field), ".4f") for _, field in figures
            ],
        }
    )


def _name_temperature(temperature: float) -> str:
    return translate("Temperature {temperature:.2f}", temperature=temperature)
