"""Accuracy of parts of the texts, each against the rest."""

from functools import cache

import altair as alt
import pandas as pd

from core.charts.chart import ACCENT, FADED, HUE, Chart, Spec, finish, per_cent

MOST = 24  # slices drawn: 50 classes are a table


def slices(table: pd.DataFrame) -> Chart:
    """A point with its 95 % interval a slice and a tick for the rest; told apart ones stand out. Drawn in the table's order.

    ``table``: kind, slice, texts, accuracy, low, high, rest, told (whether it differs from the rest beyond chance).
    """
    data = table.head(MOST).assign(
        told=["beyond chance" if told else "not told apart" for told in table["told"].head(MOST)],
        name=[f"{kind}: {name}" for kind, name in zip(table["kind"].head(MOST), table["slice"].head(MOST), strict=True)],
    )
    title = "Accuracy of each slice with its 95 % interval (tick: the rest of the texts)"
    words = ", ".join(f"{name} {per_cent(value)}" for name, value in zip(data["name"].head(6), data["accuracy"].head(6), strict=True))
    return Chart(_slices_spec(len(data)), data, title, f"{title}: {words}.")


@cache
def _slices_spec(lines: int) -> Spec:
    told = alt.Scale(domain=["beyond chance", "not told apart"], range=[ACCENT, HUE])
    legend = alt.Legend(title=None, orient="top")
    percent = [alt.Tooltip(f"{name}:Q", format=".1%") for name in ("accuracy", "low", "high", "rest")]
    base = alt.Chart().encode(
        y=alt.Y("name:N", sort=None, title=None, axis=alt.Axis(labelLimit=230, domain=False, ticks=False)),
        color=alt.Color("told:N", scale=told, legend=legend),
        tooltip=["name:N", alt.Tooltip("texts:Q", format=","), *percent, "told:N"],
    )
    axis = alt.Axis(format=".0%", tickCount=5)
    bars = base.mark_rule(strokeWidth=3, opacity=0.55).encode(
        x=alt.X("low:Q", title="share right", scale=alt.Scale(zero=False, nice=True), axis=axis), x2="high:Q"
    )
    rest = base.mark_tick(thickness=3, size=16).encode(x="rest:Q", color=alt.value(FADED))
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x="accuracy:Q", shape=alt.Shape("told:N", scale=alt.Scale(domain=told.domain, range=["diamond", "circle"]), legend=legend)
    )
    return finish(alt.layer(bars, rest, points).properties(height=26 * lines + 90))
