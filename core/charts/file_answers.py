"""Charts of a classified file: texts per predicted class, and texts by confidence."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache

import altair as alt
import numpy as np
import pandas as pd

from core.charts.base import (
    HUE,
    Chart,
    Spec,
    choose_class_colors,
    draw_labeled_bars,
    finish,
    format_share,
    make_name_axis,
    set_title,
)

MOST_BARS = 20  # classes with a bar each; more would not fit next to the table
BINS = 20
DESCRIBED = 5  # classes in the text alternative


def draw_predicted_classes(counts: Mapping[str, int], classes: Sequence[str]) -> Chart:
    """Draw a bar per predicted class, the most frequent first.

    ``counts`` are texts by class. Of more than 20 classes only the table holds all.
    """
    total = max(1, sum(counts.values()))
    ranked = sorted(classes, key=lambda name: -counts.get(name, 0))
    texts = [counts.get(name, 0) for name in ranked]
    data = pd.DataFrame(
        {
            "class": ranked,
            "texts": texts,
            "share": [number / total for number in texts],
            "label": [f"{number:,} ({format_share(number / total)})" for number in texts],
            "order": range(len(ranked)),
        }
    )
    words = ", ".join(
        f"{name} {number:,}" for name, number in zip(ranked[:DESCRIBED], texts, strict=False)
    )
    title = "Texts per predicted class"
    if len(ranked) > MOST_BARS:
        title = f"{title}, the {MOST_BARS} most frequent of {len(ranked)}"
    shown = tuple(ranked[:MOST_BARS])
    colors = dict(zip(classes, choose_class_colors(classes), strict=True))
    spec = _classes_spec(shown, tuple(colors[name] for name in shown))
    return Chart(set_title(spec, title), data, title, f"{title}: {words}.")


@lru_cache(maxsize=64)
def _classes_spec(names: tuple[str, ...], colors: tuple[str, ...]) -> Spec:
    base = (
        alt.Chart()
        .transform_filter(f"datum.order < {MOST_BARS}")
        .encode(
            x=alt.X("texts:Q", title="texts", axis=alt.Axis(format=",d", tickCount=4)),
            y=alt.Y("class:N", sort=list(names), title=None, axis=make_name_axis(names)),
        )
    )
    scale = alt.Scale(domain=list(names), range=list(colors))
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        color=alt.Color("class:N", scale=scale, legend=None),
        tooltip=[
            "class:N",
            alt.Tooltip("texts:Q", format=","),
            alt.Tooltip("share:Q", format=".1%"),
        ],
    )
    height = 28 * len(names) + 90
    return finish(draw_labeled_bars(base, bars, "texts", "texts").properties(height=height))


def draw_confidence_histogram(confidence: Sequence[float]) -> Chart:
    """Draw the number of texts by confidence, in bins of 5 points."""
    texts, edges = np.histogram(np.asarray(confidence, dtype=float), BINS, (0, 1))
    data = pd.DataFrame(
        {"low": edges[:-1].round(2), "high": edges[1:].round(2), "texts": texts.astype(int)}
    )
    title = "Texts by confidence"
    median = format_share(float(np.median(confidence))) if len(confidence) else "none"
    low = sum(value < 0.5 for value in confidence)
    return Chart(
        set_title(_confidence_spec(), title),
        data,
        title,
        f"{title}: median {median}, {low:,} of {len(confidence):,} below 50 %.",
    )


@cache
def _confidence_spec() -> Spec:
    bars = (
        alt.Chart()
        .mark_bar(color=HUE, stroke="transparent", binSpacing=1)
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                title="confidence",
                scale=alt.Scale(domain=[0, 1], nice=False),
                axis=alt.Axis(format=".0%", tickCount=6),
            ),
            x2="high:Q",
            y=alt.Y("texts:Q", title="texts", axis=alt.Axis(tickCount=4, format="~s")),
            tooltip=[
                alt.Tooltip("low:Q", format=".0%"),
                alt.Tooltip("high:Q", format=".0%"),
                alt.Tooltip("texts:Q", format=","),
            ],
        )
    )
    return finish(bars.properties(height=220))
