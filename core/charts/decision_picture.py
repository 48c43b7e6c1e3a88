"""Charts of the page Playground: where a head predicts which class, and its loss by step."""

from collections.abc import Sequence
from functools import lru_cache

import altair as alt
import pandas as pd

from core.charts.base import (
    CLASS_COLORS,
    CLASS_SHAPES,
    RUN_COLORS,
    THEME_TEXT,
    Chart,
    Spec,
    finish,
)

HEIGHT = 440
Range = tuple[float, float, float, float]
LOSS_COLORS = {"training": "#0072B2", "held-out": "#D55E00"}


def draw_decision_picture(
    regions: pd.DataFrame, texts: pd.DataFrame, classes: Sequence[str], where: Range, title: str
) -> Chart:
    """Draw the texts in a plane whose background has the color of the predicted class.

    ``regions``: x, x2, y, y2 and class (a name). ``texts``: x, y, class, predicted, text, wrong,
    typed; a typed text, which has no class, is drawn as a star, and a wrong one with an outline.
    At most ten classes.
    """
    data = pd.concat([regions.assign(kind="region"), texts.assign(kind="text")], ignore_index=True)
    training = texts[~texts["typed"]]
    counts = training["class"].value_counts()
    words = ", ".join(f"{name} {counts.get(name, 0):,}" for name in classes)
    typed = texts[texts["typed"]]
    also = f" The typed text is predicted as {typed['predicted'].iloc[0]}." if len(typed) else ""
    return Chart(
        _picture_spec(tuple(classes), where),
        data,
        title,
        f"{title}: {words}; {int(training['wrong'].sum()):,} of {len(training):,} training texts"
        f" are predicted incorrectly.{also}",
        whole=texts.drop(columns=["wrong", "typed"]),
    )


def draw_head_loss(curve: pd.DataFrame, title: str) -> Chart:
    """Draw the loss on training and held-out texts by step. ``curve``: step, split, loss."""
    last = curve[curve["step"] == curve["step"].max()]
    words = ", ".join(
        f"{split} {loss:.3f}" for split, loss in zip(last["split"], last["loss"], strict=True)
    )
    return Chart(_loss_spec(), curve, title, f"{title}, at the last step: {words}.")


@lru_cache(maxsize=32)
def _picture_spec(classes: tuple[str, ...], where: Range) -> Spec:
    left, right, low, high = where
    palette = CLASS_COLORS if len(classes) <= len(CLASS_COLORS) else RUN_COLORS
    colors = alt.Scale(domain=list(classes), range=list(palette[: len(classes)]))
    shapes = alt.Scale(
        domain=list(classes),
        range=[CLASS_SHAPES[number % len(CLASS_SHAPES)] for number in range(len(classes))],
    )
    axis = alt.Axis(labels=False, ticks=False, title=None, grid=False)
    x = alt.X("x:Q", scale=alt.Scale(domain=[left, right], nice=False, zero=False), axis=axis)
    y = alt.Y("y:Q", scale=alt.Scale(domain=[low, high], nice=False, zero=False), axis=axis)
    legend = alt.Legend(title=None, orient="bottom", columns=4)
    regions = (
        alt.Chart()
        .transform_filter("datum.kind === 'region'")
        .mark_rect(stroke=None)
        .encode(
            x=x,
            x2="x2:Q",
            y=y,
            y2="y2:Q",
            color=alt.Color("class:N", scale=colors),
            opacity=alt.value(0.22),
        )
    )
    wrong = alt.when("datum.wrong")
    texts = (
        alt.Chart()
        .transform_filter("datum.kind === 'text' && !datum.typed")
        .mark_point(filled=True, opacity=0.9, clip=True)
        .encode(
            x=x,
            y=y,
            color=alt.Color("class:N", scale=colors, legend=legend),
            shape=alt.Shape("class:N", scale=shapes, legend=legend),
            size=wrong.then(alt.value(130)).otherwise(alt.value(50)),
            stroke=wrong.then(alt.value(THEME_TEXT)).otherwise(alt.value("transparent")),
            strokeWidth=wrong.then(alt.value(2.5)).otherwise(alt.value(0)),
            tooltip=["text:N", "class:N", "predicted:N"],
        )
    )
    typed = (
        alt.Chart()
        .transform_filter("datum.kind === 'text' && datum.typed")
        .mark_text(text="★", fontSize=34, clip=True)
        .encode(x=x, y=y, color=alt.value(THEME_TEXT), tooltip=["text:N", "predicted:N"])
    )
    return finish(alt.layer(regions, texts, typed).properties(height=HEIGHT))


@lru_cache(maxsize=1)
def _loss_spec() -> Spec:
    color = alt.Color(
        "split:N",
        scale=alt.Scale(domain=list(LOSS_COLORS), range=list(LOSS_COLORS.values())),
        legend=alt.Legend(title=None, orient="bottom", symbolType="stroke"),
    )
    lines = (
        alt.Chart()
        .mark_line(strokeWidth=2.5)
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(format=",d", tickMinStep=1)),
            y=alt.Y("loss:Q", title="loss (nats)", scale=alt.Scale(zero=True)),
            color=color,
            strokeDash=alt.StrokeDash(
                "split:N",
                scale=alt.Scale(domain=list(LOSS_COLORS), range=[[1, 0], [6, 3]]),
                legend=None,
            ),
            tooltip=["split:N", "step:Q", alt.Tooltip("loss:Q", format=".3f")],
        )
    )
    return finish(lines.properties(height=260))
