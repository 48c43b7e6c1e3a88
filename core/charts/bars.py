"""Bars: the class probabilities of one text, and how little of a model LoRA trains."""

from collections.abc import Sequence
from functools import cache, lru_cache

import altair as alt
import pandas as pd

from core.charts.base import (
    FADED,
    FONT,
    HUE,
    THEME_TEXT,
    Chart,
    Spec,
    class_colours,
    finish,
    labelled_bars,
    per_cent,
    titled,
)


def probabilities(values: Sequence[float], classes: Sequence[str], name: str) -> Chart:
    """A bar per class from 0 to 100 %, for one text and the run called ``name``; charts of several
    runs stand side by side.
    """
    predicted = max(range(len(values)), key=values.__getitem__)
    data = pd.DataFrame(
        {
            "class": list(classes),
            "probability": [float(value) for value in values],
            "label": [per_cent(value) for value in values],
            "predicted": [index == predicted for index in range(len(values))],
        }
    )
    words = ", ".join(
        f"{label} {per_cent(value)}" for label, value in zip(classes, values, strict=True)
    )
    return Chart(
        titled(_probability_spec(tuple(classes)), name),
        data,
        name,
        f"Class probabilities by {name}: {words}.",
    )


@lru_cache(maxsize=64)
def _probability_spec(classes: tuple[str, ...]) -> Spec:
    colours = class_colours(classes) if len(classes) <= 4 else [HUE] * len(classes)
    axis = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".0%")
    base = alt.Chart().encode(
        x=alt.X(
            "probability:Q", title="probability", scale=alt.Scale(domain=[0, 1.25]), axis=axis
        ),  # room for the last label
        y=alt.Y("class:N", sort=list(classes), title=None),
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        color=alt.Color(
            "class:N", scale=alt.Scale(domain=list(classes), range=colours), legend=None
        ),
        tooltip=["class:N", alt.Tooltip("probability:Q", format=".2%")],
    )
    numbers = [
        base.transform_filter(which)
        .mark_text(align="left", dx=6, fontSize=FONT, fontWeight=weight)
        .encode(text="label:N", color=alt.value(THEME_TEXT))
        for which, weight in (("datum.predicted", "bold"), ("!datum.predicted", "normal"))
    ]
    return finish(alt.layer(bars, *numbers).properties(height=38 * len(classes) + 90))


def trainable_bar(trainable: int, total: int) -> Chart:
    """One bar of all parameters with the trained part in front."""
    frozen, share = total - trainable, per_cent(trainable / total)
    data = pd.DataFrame(
        {
            "part": ["trained", "frozen"],
            "parameters": [trainable, frozen],
            "label": [f"trained {trainable:,}", f"frozen {frozen:,}"],
            "order": [0, 1],
        }
    )
    title = f"{share} of {total:,} parameters are trained"
    return Chart(
        titled(_trainable_spec(), title),
        data,
        title,
        f"{title}: {trainable:,}; {frozen:,} stay frozen.",
    )


@cache
def _trainable_spec() -> Spec:
    legend = alt.Legend(title=None, orient="bottom", symbolType="square", offset=4)
    bar = (
        alt.Chart()
        .mark_bar(height=24)
        .encode(
            x=alt.X("parameters:Q", stack="normalize", axis=None),
            color=alt.Color(
                "label:N", sort=None, scale=alt.Scale(range=[HUE, FADED]), legend=legend
            ),
            order=alt.Order("order:Q"),
            tooltip=["part:N", alt.Tooltip("parameters:Q", format=",")],
        )
    )
    return finish(bar.properties(height=140))


def trainable_modules(table: pd.DataFrame) -> Chart:
    """Trained parameters per module. ``table``: module, parameters, a line a module, drawn in its
    order.
    """
    data = table.assign(label=[f"{parameters:,}" for parameters in table["parameters"]])
    words = ", ".join(
        f"{module} {label}" for module, label in zip(data["module"], data["label"], strict=True)
    )
    title = "Trained parameters per module"
    return Chart(_modules_spec(len(table)), data, title, f"{title}: {words}.")


@cache
def _modules_spec(modules: int) -> Spec:
    base = alt.Chart().encode(
        x=alt.X("parameters:Q", title="parameters", axis=alt.Axis(format=",d", tickCount=4)),
        y=alt.Y("module:N", sort=None, title=None, axis=alt.Axis(labelLimit=320)),
    )
    bars = base.mark_bar(color=HUE).encode(
        tooltip=["module:N", alt.Tooltip("parameters:Q", format=",")]
    )
    return finish(
        labelled_bars(base, bars, "parameters", "parameters").properties(height=28 * modules + 100),
        "Trained parameters per module",
    )
