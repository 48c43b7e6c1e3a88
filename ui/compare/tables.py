"""Tables of the Compare page: results, configurations, spread over seeds, F1 per class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from core.config import RunConfig
from core.evaluation.comparison import Result
from core.evaluation.scores import Proportion
from core.runs.sweep import Spread
from ui.compare.overview import Chosen
from ui.text import duration, per_cent, without_folders
from ui.widgets import tables


def table(chosen: Sequence[Chosen], baselines: Sequence[Result] = ()) -> None:
    """Draw one row per run with the best value of each column marked, and the baselines below."""
    st.markdown("#### Results")
    frame_ = pd.DataFrame([_row(entry) for entry in chosen])
    best = {
        name: frame_[name].max() if name in ("Accuracy", "Macro-F1") else frame_[name].min()
        for name in frame_.columns[2:]
    }
    shown = frame_[["Run", "Interval"]].copy()
    for name in best:
        shown[name] = [_marked(name, value, value == best[name]) for value in frame_[name]]
    shown = pd.concat(
        [shown, pd.DataFrame([_baseline_row(entry) for entry in baselines], columns=shown.columns)],
        ignore_index=True,
    )
    tables.plain(
        shown, key="results", alt="Results of each run; a star marks the best value of a column"
    )
    st.caption(
        "★ marks the best value of a column. Interval: 95 % (Wilson), on each run's own test texts."
    )


def configurations(chosen: Sequence[Chosen]) -> None:
    """Draw the settings in which the runs differ, or all of them."""
    st.markdown("#### Configurations")
    everything = not st.toggle("Differences only", value=True, key="differences-only")
    values = [entry.run.config.model_dump() for entry in chosen]
    names = [
        name
        for name in values[0]
        if everything or any(other[name] != values[0][name] for other in values)
    ]
    if not names:
        st.caption("The configurations are identical.")
        return
    rows = [
        {
            "Setting": RunConfig.model_fields[name].title,
            **{
                entry.result.name: _shown(each[name])
                for entry, each in zip(chosen, values, strict=True)
            },
        }
        for name in names
    ]
    tables.plain(
        pd.DataFrame(rows),
        key="configurations",
        alt="Settings of the configurations, one column per run",
    )


def seeds(chosen: Sequence[Chosen]) -> None:
    """Draw the spread of accuracy over runs that differ only in their seed, if there are any."""
    groups: dict[tuple[str, RunConfig], list[Chosen]] = {}
    for entry in chosen:
        groups.setdefault(
            (entry.run.fingerprint, entry.run.config.model_copy(update={"seed": 0})), []
        ).append(entry)
    repeated = [
        group for group in groups.values() if len({entry.run.config.seed for entry in group}) > 1
    ]
    if not repeated:
        return
    st.markdown("#### Spread over seeds")
    rows = []
    for group in repeated:
        spread = Spread.of([entry.accuracy.value for entry in group])
        rows.append(
            {
                "Runs": ", ".join(entry.result.name for entry in group),
                "Seeds": spread.n,
                "Mean accuracy": per_cent(spread.mean),
                "Standard deviation": f"{100 * spread.deviation:.2f} points",
                "Lowest": per_cent(spread.low),
                "Highest": per_cent(spread.high),
            }
        )
    tables.plain(
        pd.DataFrame(rows),
        key="seeds",
        alt="Test accuracy of runs that differ only in their seed",
    )


def classes(chosen: Sequence[Chosen]) -> None:
    """Draw F1 per class of each run."""
    names = {entry.result.classes for entry in chosen}
    if len(names) > 1:
        return
    st.markdown("#### F1 per class")
    (labels,) = names
    frame_ = pd.DataFrame(
        {
            "Class": list(labels),
            **{entry.result.name: entry.result.predictions.scores.f1 for entry in chosen},
        }
    )
    number = {entry.result.name: st.column_config.NumberColumn(format="%.3f") for entry in chosen}
    tables.plain(frame_, key="f1-per-class", columns=number, alt="F1 per class, one column per run")


def _baseline_row(result: Result) -> dict[str, str]:
    scores, loss = result.predictions.scores, result.predictions.mean_loss
    figures = {"Accuracy": scores.accuracy.value, "Macro-F1": scores.macro_f1, "Test loss": loss}
    names = (
        "Accuracy",
        "Macro-F1",
        "Test loss",
        "Training time",
        "Peak memory",
        "Trained parameters",
    )
    return {
        "Run": f"baseline: {result.name}",
        "Interval": _interval(scores.accuracy),
        **{name: _marked(name, figures.get(name), False) for name in names},
    }


def _interval(accuracy: Proportion) -> str:
    low, high = accuracy.interval
    return f"{per_cent(low)} to {per_cent(high)} of {accuracy.n:,}"


def _row(entry: Chosen) -> dict[str, object]:
    scores = entry.result.predictions.scores
    return {
        "Run": entry.result.name,
        "Interval": _interval(entry.accuracy),
        "Accuracy": entry.accuracy.value,
        "Macro-F1": scores.macro_f1,
        "Test loss": entry.result.predictions.mean_loss,
        "Training time": entry.run.result.train_seconds,
        "Peak memory": entry.run.result.peak_memory_mb,
        "Trained parameters": entry.run.result.trained_parameters,
    }


def _marked(name: str, value: float | None, best: bool) -> str:
    if value is None or np.isnan(value):
        return "–"
    words = {
        "Accuracy": per_cent,
        "Training time": duration,
        "Peak memory": "{:,.0f} MB".format,
        "Trained parameters": "{:,.0f}".format,
    }.get(name, "{:.3f}".format)
    return f"★ {words(value)}" if best else words(value)


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "model default"
    return (
        ("yes" if value else "no")
        if isinstance(value, bool)
        else f"{value:g}"
        if isinstance(value, float)
        else without_folders(str(value))
    )
