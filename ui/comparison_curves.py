"""Curves of several runs on one axis, and accuracy against what it cost."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core import charts
from core.store import Store
from ui import drawing
from ui.comparison import Chosen


def curves(store: Store, chosen: Sequence[Chosen]) -> None:
    """The curves of all runs on one axis."""
    st.markdown("#### Curves")
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        measure = st.segmented_control(
            "Show", list(charts.MEASURES), format_func=_measure_name, default="loss", required=True, key="measure"
        )
        axis = st.segmented_control("Against", list(charts.AXES), default="step", required=True, key="axis")
        log = st.toggle("Logarithmic", key="log-curves", disabled=measure != "loss")
    metrics = pd.concat([_metrics(store, one) for one in chosen], ignore_index=True)
    if metrics.empty:
        st.caption("No curves were recorded for these runs.")
        return
    names = [one.result.name for one in chosen]
    drawing.draw(charts.run_curves(metrics, names, axis or "step", measure or "loss", log and measure == "loss"), key="curves")


def costs(chosen: Sequence[Chosen]) -> None:
    """Accuracy against what it cost."""
    st.markdown("#### Accuracy and its cost")
    cost = st.segmented_control("Cost", list(charts.COSTS), default="minutes", required=True, key="cost-of-accuracy") or "minutes"
    rows = []
    for one in chosen:
        low, high = one.accuracy.interval
        seconds = one.figure("train_seconds")
        amounts = {
            "minutes": seconds / 60 if seconds else None,
            "memory": one.figure("peak_memory_mb"),
            "trained": one.trained,
        }
        rows.append({"run": one.result.name, "accuracy": one.accuracy.value, "low": low, "high": high, cost: amounts[cost]})
    results = pd.DataFrame(rows)
    if results[cost].notna().sum() < 2:
        st.caption(f"Fewer than two of these runs have recorded their {charts.COSTS[cost]}.")
        return
    drawing.draw(charts.cost_and_accuracy(results, cost), key="cost-and-accuracy")


def _measure_name(measure: str) -> str:
    return {"loss": "loss", "accuracy": "accuracy", "macro_f1": "macro-F1"}[measure]


def _metrics(store: Store, one: Chosen) -> pd.DataFrame:
    """The run's curve with its three axes."""
    points = store.read_metrics(one.job.id)
    batch = one.request.config.batch_size
    start = points[0].at if points else 0.0
    return pd.DataFrame(
        {
            "run": one.result.name,
            "split": [point.split for point in points],
            "step": [point.step for point in points],
            "rows": [point.step * batch for point in points],
            "seconds": [point.at - start for point in points],
            "loss": [point.loss for point in points],
            "accuracy": [point.accuracy for point in points],
            "macro_f1": [point.macro_f1 for point in points],
        }
    )
