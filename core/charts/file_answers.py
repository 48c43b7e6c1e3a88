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
from core.translation import format_number, localize, read_language, translate

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
            "label": [
                f"{format_number(number, ',')} ({localize(format_share(number / total))})"
                for number in texts
            ],
            "order": range(len(ranked)),
        }
    )
    words = ", ".join(
        f"{name} {format_number(number, ',')}"
        for name, number in zip(ranked[:DESCRIBED], texts, strict=False)
    )
    title = translate("Texts per predicted class")
    if len(ranked) > MOST_BARS:
        title = translate(
            "Texts per predicted class, the {most} most frequent of {n}",
            most=MOST_BARS,
            n=len(ranked),
        )
    shown = tuple(ranked[:MOST_BARS])
    colors = dict(zip(classes, choose_class_colors(classes), strict=True))
    spec = _classes_spec(shown, tuple(colors[name] for name in shown), read_language())
    return Chart(set_title(spec, title), data, title, f"{title}: {words}.")


@lru_cache(maxsize=64)
def _classes_spec(names: tuple[str, ...], colors: tuple[str, ...], language: str) -> Spec:
    title = translate("texts")
    base = (
        alt.Chart()
        .transform_filter(f"datum.order < {MOST_BARS}")
        .encode(
            x=alt.X("texts:Q", title=title, axis=alt.Axis(format=",d", tickCount=4)),
            y=alt.Y("class:N", sort=list(names), title=None, axis=make_name_axis(names)),
        )
    )
    scale = alt.Scale(domain=list(names), range=list(colors))
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        color=alt.Color("class:N", scale=scale, legend=None),
        tooltip=[
            alt.Tooltip("class:N", title=translate("class")),
            alt.Tooltip("texts:Q", title=title, format=","),
            alt.Tooltip("share:Q", title=translate("share"), format=".1%"),
        ],
    )
    height = 28 * len(names) + 90
    return finish(
        draw_labeled_bars(base, bars, "texts", title).properties(height=height), language=language
    )


def draw_confidence_histogram(confidence: Sequence[float]) -> Chart:
    """Draw the number of texts by confidence, in bins of 5 points."""
    texts, edges = np.histogram(np.asarray(confidence, dtype=float), BINS, (0, 1))
    data = pd.DataFrame(
        {"low": edges[:-1].round(2), "high": edges[1:].round(2), "texts": texts.astype(int)}
    )
    title = translate("Texts by confidence")
    median = (
        localize(format_share(float(np.median(confidence))))
        if len(confidence)
        else translate("none")
    )
    low = sum(value < 0.5 for value in confidence)
    return Chart(
        set_title(_confidence_spec(read_language()), title),
        data,
        title,
        translate(
            "{title}: median {median}, {low:,} of {n:,} below 50 %.",
            title=title,
            median=median,
            low=low,
            n=len(confidence),
        ),
    )


@cache
def _confidence_spec(language: str) -> Spec:
    bars = (
        alt.Chart()
        .mark_bar(color=HUE, stroke="transparent", binSpacing=1)
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                title=translate("confidence"),
                scale=alt.Scale(domain=[0, 1], nice=False),
                axis=alt.Axis(format=".0%", tickCount=6),
            ),
            x2="high:Q",
            y=alt.Y("texts:Q", title=translate("texts"), axis=alt.Axis(tickCount=4, format="~s")),
            tooltip=[
                alt.Tooltip("low:Q", title=translate("from"), format=".0%"),
                alt.Tooltip("high:Q", title=translate("to"), format=".0%"),
                alt.Tooltip("texts:Q", title=translate("texts"), format=","),
            ],
        )
    )
    return finish(bars.properties(height=220), language=language)
