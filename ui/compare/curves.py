"""Learning curves of several runs on one axis, and accuracy against cost."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core import charts
from core.runs.compared_runs import read_curve
from core.storage.store import Store
from ui.compare.overview import Chosen
from ui.widgets import chart_view


def curves(store: Store, chosen: Sequence[Chosen]) -> None:
    """Draw the curves of all runs on one axis."""
    st.markdown("#### Curves")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        measure = st.segmented_control(
            "Show",
            list(charts.MEASURES),
            format_func=_measure_name,
            default="loss",
            required=True,
            key="measure",
        )
        axis = st.segmented_control(
            "Against", list(charts.AXES), default="step", required=True, key="axis"
        )
        log = st.toggle("Logarithmic", key="log-curves", disabled=measure != "loss")
    metrics = pd.concat(
        [read_curve(store, entry.run.job, entry.result.name, entry.run.config) for entry in chosen],
        ignore_index=True,
    )
    if metrics.empty:
        st.caption("No curves were recorded for these runs.")
        return
    names = [entry.result.name for entry in chosen]
    chart_view.draw(
        charts.run_curves(
            metrics, names, axis or "step", measure or "loss", log and measure == "loss"
        ),
        key="curves",
    )


def costs(chosen: Sequence[Chosen]) -> None:
    """Draw accuracy against cost."""
    st.markdown("#### Accuracy and cost")
    cost = (
        st.segmented_control(
            "Cost", list(charts.COSTS), default="minutes", required=True, key="cost-of-accuracy"
        )
        or "minutes"
    )
    rows = []
    for entry in chosen:
        low, high = entry.accuracy.interval
        seconds = entry.run.result.train_seconds
        amounts = {
            "minutes": seconds / 60 if seconds else None,
            "memory": entry.run.result.peak_memory_mb,
            "trained": entry.run.result.trained_parameters,
        }
        rows.append(
            {
                "run": entry.result.name,
                "accuracy": entry.accuracy.value,
                "low": low,
                "high": high,
                cost: amounts[cost],
            }
        )
    results = pd.DataFrame(rows)
    if results[cost].notna().sum() < 2:
        st.caption(f"Fewer than two of these runs recorded their {charts.COSTS[cost]}.")
        return
    chart_view.draw(charts.cost_and_accuracy(results, cost), key="cost-and-accuracy")


def _measure_name(measure: str) -> str:
    return {"loss": "loss", "accuracy": "accuracy", "macro_f1": "macro-F1"}[measure]
