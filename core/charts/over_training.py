"""A training as its validations saw it: scores and one text's probabilities over the steps, and a
map of easy and hard texts.
"""

from collections.abc import Sequence
from functools import lru_cache

import altair as alt
import pandas as pd

from core.charts.base import (
    ACCENT,
    CLASS_COLOURS,
    THEME_TEXT,
    Chart,
    Spec,
    class_colours,
    class_dashes,
    finish,
)

GROUPS = ("easy", "ambiguous", "hard")
SHAPES = ("circle", "diamond", "square")


def over_steps(
    table: pd.DataFrame,
    value: str,
    classes: Sequence[str],
    step: int,
    title: str,
    chosen: str | None = None,
) -> Chart:
    """A line a class over the validations. ``table``: step, class and the column ``value`` (0 to
    1); a rule stands at ``step``.

    Beyond four classes one hue is used and ``chosen`` stands out.
    """
    now = table[table["step"] == step]
    words = ", ".join(
        f"{name} {share:.3f}" for name, share in zip(now["class"], now[value], strict=True)
    )
    data = table.assign(chosen=table["step"] == step)
    return Chart(
        _steps_spec(value, tuple(classes), chosen),
        data,
        title,
        f"{title}, at step {step:,}: {words}.",
    )


@lru_cache(maxsize=32)
def _steps_spec(value: str, classes: tuple[str, ...], chosen: str | None) -> Spec:
    few = len(classes) <= len(CLASS_COLOURS)
    legend = (
        alt.Legend(title=None, orient="bottom", columns=4, symbolType="stroke") if few else None
    )
    faint = alt.when(alt.datum["class"] == chosen).then(alt.value(1)).otherwise(alt.value(0.25))
    base = alt.Chart().encode(
        x=alt.X(
            "step:Q",
            title="step",
            axis=alt.Axis(format=",d", tickMinStep=1),
            scale=alt.Scale(nice=False),
        )
    )
    lines = base.mark_line(point=alt.OverlayMarkDef(size=40), strokeWidth=2.5).encode(
        y=alt.Y(
            f"{value}:Q",
            title=value if value != "f1" else "F1",
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(tickCount=5),
        ),
        color=alt.Color(
            "class:N",
            scale=alt.Scale(domain=list(classes), range=class_colours(classes, chosen)),
            legend=legend,
        ),
        strokeDash=alt.StrokeDash(
            "class:N",
            scale=alt.Scale(
                domain=list(classes), range=[list(dash) for dash in class_dashes(classes)]
            ),
            legend=legend,
        ),
        opacity=alt.value(1) if few or chosen is None else faint,
        tooltip=[
            "class:N",
            alt.Tooltip("step:Q", format=","),
            alt.Tooltip(f"{value}:Q", format=".3f"),
        ],
    )
    rule = base.transform_filter("datum.chosen").mark_rule(
        color=ACCENT, strokeDash=[4, 3], strokeWidth=2
    )
    return finish(alt.layer(rule, lines).properties(height=300))


def training_map(table: pd.DataFrame, ringed: int | None = None) -> Chart:
    """A point a text at its variability and mean. ``table``: row, class, mean, deviation, group,
    text; ``ringed`` is a row.

    Selection parameter ``picked`` with the field row.
    """
    title = "Easy, ambiguous and hard texts (probability of the true class over the validations)"
    counts = table["group"].value_counts()
    words = ", ".join(f"{name} {counts.get(name, 0):,}" for name in GROUPS)
    return Chart(
        _map_spec(), table.assign(chosen=table["row"] == ringed), title, f"{title}: {words}."
    )


@lru_cache(maxsize=1)
def _map_spec() -> Spec:
    legend = alt.Legend(title=None, orient="bottom")
    ringed = alt.when("datum.chosen")
    points = (
        alt.Chart()
        .mark_point(filled=True, cursor="pointer")
        .encode(
            x=alt.X(
                "deviation:Q",
                title="variability (standard deviation)",
                scale=alt.Scale(domainMin=0),
            ),
            y=alt.Y("mean:Q", title="mean", scale=alt.Scale(domain=[0, 1])),
            color=alt.Color(
                "group:N",
                scale=alt.Scale(domain=list(GROUPS), range=list(CLASS_COLOURS[:3])),
                legend=legend,
            ),
            shape=alt.Shape(
                "group:N", scale=alt.Scale(domain=list(GROUPS), range=list(SHAPES)), legend=legend
            ),
            size=ringed.then(alt.value(220)).otherwise(alt.value(45)),
            stroke=ringed.then(alt.value(THEME_TEXT)).otherwise(alt.value("transparent")),
            strokeWidth=ringed.then(alt.value(2.5)).otherwise(alt.value(0)),
            opacity=alt.value(0.75),
            tooltip=[
                "class:N",
                "text:N",
                *(alt.Tooltip(f"{name}:Q", format=".2f") for name in ("mean", "deviation")),
                "group:N",
            ],
        )
        .add_params(alt.selection_point(name="picked", fields=["row"]))
    )
    return finish(points.properties(height=380))
