"""Charts that compare runs: their curves, and their accuracy against its cost."""

from collections.abc import Sequence
from functools import cache
from math import ceil
from typing import Literal

import altair as alt
import pandas as pd

from core.charts.base import FADED, RUN_COLORS, Chart, Spec, finish, format_share
from core.translation import localize, mark, read_language, translate

Axis = Literal["step", "rows", "seconds"]
Measure = Literal["loss", "accuracy", "macro_f1"]
AXES: dict[Axis, str] = {
    "step": mark("step"),
    "rows": mark("training rows seen"),
    "seconds": mark("seconds since the first step"),
}
MEASURES: dict[Measure, str] = {
    "loss": mark("loss (nats per text)"),
    "accuracy": mark("validation accuracy"),
    "macro_f1": mark("validation macro-F1"),
}
COSTS = {
    "minutes": mark("minutes of training"),
    "memory": mark("peak memory (MB)"),
    "trained": mark("trainable parameters"),
}
TITLES: dict[Measure, str] = {
    "loss": mark("Loss (nats per text) of each run"),
    "accuracy": mark("Validation accuracy of each run"),
    "macro_f1": mark("Validation macro-F1 of each run"),
}
POINTS = 400  # per run, so that a page with ten runs stays fast
SMOOTHED_SHARE = 0.04  # span of the moving average as a share of the curve


def draw_run_curves(
    metrics: pd.DataFrame, runs: Sequence[str], axis: Axis, measure: Measure, log: bool = False
) -> Chart:
    """Draw the curves of several runs: validation solid with points, training dashed and smoothed,
    with a thin raw line.

    ``metrics``: run, split (train or validation), and columns named after ``axis`` and ``measure``.
    Only the loss has training values.
    """
    parts = [
        part
        for run in runs
        for part in _curves_of(metrics[metrics["run"] == run], run, axis, measure)
    ]
    data = (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame(columns=["run", "x", "value", "kind"])
    )
    title = translate(TITLES[measure])
    last = data[data["kind"] == "validation"].groupby("run", sort=False)["value"].last()
    words = "; ".join(
        translate("{run} ends at {value:.3f}", run=run, value=value) for run, value in last.items()
    ) or translate("no validation yet")
    return Chart(
        _curve_spec(tuple(runs), axis, measure, log, read_language()),
        data,
        title,
        translate(
            "{title} against {axis}: {words}.", title=title, axis=translate(AXES[axis]), words=words
        ),
    )


def draw_cost_and_accuracy(results: pd.DataFrame, cost: str) -> Chart:
    """Draw test accuracy with its 95 % interval against a cost; a line joins the runs that no other
    run beats in both.

    ``results``: run, accuracy, low, high, and a column named after ``cost``, a key of ``COSTS``.
    """
    data = (
        results[["run", "accuracy", "low", "high", cost]]
        .rename(columns={cost: "cost"})
        .dropna(subset=["cost"])
    )
    ordered = data.sort_values(["cost", "accuracy"], ascending=[True, False])
    data = data.assign(
        kept=data["run"].isin(
            ordered[ordered["accuracy"] > ordered["accuracy"].cummax().shift(fill_value=-1.0)][
                "run"
            ]
        )
    )
    title = translate("Accuracy against {cost}", cost=translate(COSTS[cost]))
    front = data[data["kept"]]
    best = ", ".join(
        f"{run} {localize(format_share(share))}"
        for run, share in zip(front["run"], front["accuracy"].tolist(), strict=True)
    )
    return Chart(
        _cost_spec(tuple(results["run"]), cost, read_language()),
        data,
        title,
        translate("{title}. No run is better in both than: {best}.", title=title, best=best),
    )


def _curves_of(metrics: pd.DataFrame, run: str, axis: Axis, measure: Measure) -> list[pd.DataFrame]:
    curves = []
    for split in ("train", "validation"):
        lines = metrics[(metrics["split"] == split) & metrics[measure].notna()].sort_values(axis)
        if lines.empty:
            continue
        thin = slice(None, None, ceil(len(lines) / POINTS))
        curve = pd.DataFrame(
            {"run": run, "x": lines[axis].astype(float), "value": lines[measure].astype(float)}
        )
        if split == "train":
            curves.append(curve[thin].assign(kind="each step"))
            curve = curve.assign(
                value=curve["value"].ewm(span=max(1.0, len(curve) * SMOOTHED_SHARE)).mean()
            )
        curves.append(curve[thin].assign(kind=split))
    return curves


def _run_color(runs: Sequence[str]) -> alt.Color:
    scale = alt.Scale(domain=list(runs), range=list(RUN_COLORS[: len(runs)]))
    legend = alt.Legend(title=None, orient="top", symbolType="circle", columns=3)
    return alt.Color("run:N", scale=scale, legend=legend)


@cache
def _curve_spec(
    runs: tuple[str, ...], axis: Axis, measure: Measure, log: bool, language: str
) -> Spec:
    x, y = translate(AXES[axis]), translate(MEASURES[measure])
    scale = alt.Scale(type="log" if log else "linear", zero=False, nice=not log)
    form = alt.Axis(tickCount=6) if measure == "loss" else alt.Axis(tickCount=6, format=".1~%")
    base = alt.Chart().encode(
        x=alt.X(
            "x:Q", title=x, axis=alt.Axis(tickCount=8, format=",d"), scale=alt.Scale(nice=False)
        ),
        y=alt.Y("value:Q", title=y, scale=scale, axis=form),
        color=_run_color(runs),
    )
    tooltip = [
        "run:N",
        "kind:N",
        alt.Tooltip("x:Q", title=x, format=",.0f"),
        alt.Tooltip("value:Q", title=y, format=".4f"),
    ]

    def kind(name: str) -> alt.Chart:
        return base.transform_filter(f"datum.kind === '{name}'")

    raw = kind("each step").mark_line(strokeWidth=0.7, opacity=0.3)
    train = kind("train").mark_line(strokeWidth=2, strokeDash=[6, 4]).encode(tooltip=tooltip)
    validation = kind("validation")
    lines = validation.mark_line(strokeWidth=2.5).encode(tooltip=tooltip)
    points = validation.mark_point(filled=True, size=60, opacity=1).encode(tooltip=tooltip)
    return finish((raw + train + lines + points).properties(height=400), y, language)


@cache
def _cost_spec(runs: tuple[str, ...], cost: str, language: str) -> Spec:
    amount, accuracy = translate(COSTS[cost]), translate("test accuracy")
    x = alt.X(
        "cost:Q",
        title=amount,
        scale=alt.Scale(zero=False, padding=40),
        axis=alt.Axis(format=",~r", tickCount=6),
    )
    base = alt.Chart().encode(x=x)
    share = alt.Axis(format=".1%", tickCount=6)
    y = alt.Y("accuracy:Q", title=accuracy, scale=alt.Scale(zero=False), axis=share)
    front = (
        base.transform_filter("datum.kept")
        .mark_line(color=FADED, strokeWidth=2, strokeDash=[2, 4])
        .encode(y=y)
    )
    bars = base.mark_rule(strokeWidth=2).encode(
        y=alt.Y("low:Q", title=accuracy), y2="high:Q", color=_run_color(runs)
    )
    tooltip = [
        "run:N",
        alt.Tooltip("accuracy:Q", format=".1%"),
        alt.Tooltip("cost:Q", title=amount, format=",.4~r"),
    ]
    points = base.mark_point(filled=True, size=140, opacity=1).encode(
        y=y, color=_run_color(runs), tooltip=tooltip
    )
    return finish(
        (front + bars + points).properties(height=380), translate("Accuracy and cost"), language
    )
