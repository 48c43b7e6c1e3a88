"""Charts of scores with their intervals: per class, per slice, and ROC and precision–recall
curves.
"""

from collections.abc import Sequence
from functools import cache, lru_cache

import altair as alt
import pandas as pd

from core.charts.base import (
    ACCENT,
    CLASS_COLORS,
    CLASS_SHAPES,
    FADED,
    HUE,
    NARROW,
    Chart,
    Spec,
    choose_class_colors,
    choose_class_dashes,
    finish,
    format_share,
    make_name_axis,
)
from core.evaluation.class_scores import RankingCurves
from core.translation import localize, mark, read_language, translate

MEASURES = {"precision": mark("Precision"), "recall": mark("Recall"), "f1": "F1"}
MOST_TOGETHER = 12  # classes; with more, only F1 is shown instead of three scores per class
MOST_CLASSES = 20  # with more, those with the lowest F1 are drawn
AREAS = {
    "ROC": mark("area under the curve"),
    "precision–recall": mark("average precision"),
}
CURVE_NAMES = mark("ROC"), mark("precision–recall")  # of CURVE_KINDS
AXES = {
    "ROC": (
        mark("false positive rate: proportion of other texts predicted as this class"),
        mark("true positive rate: proportion of its texts predicted correctly"),
    ),
    "precision–recall": (
        mark("recall: proportion of its texts predicted correctly"),
        mark("precision: proportion of correct predictions of this class"),
    ),
}


def draw_class_scores(table: pd.DataFrame) -> Chart:
    """Draw a point with its 95 % interval for each class and score. ``table`` is the result of
    ``compute_class_intervals``; of more than 20 classes those with the lowest F1 are drawn.
    """
    measures = list(MEASURES) if len(table) <= MOST_TOGETHER else ["f1"]
    classes = len(table)
    if classes > MOST_CLASSES:
        table = table.dropna(subset="f1").sort_values("f1", kind="stable").head(MOST_CLASSES)
    parts = [
        pd.DataFrame(
            {
                "class": table["class"],
                "score": translate(MEASURES[name]),
                "value": table[name],
                "low": table[f"{name}_low"],
                "high": table[f"{name}_high"],
            }
        )
        for name in measures
    ]
    data = pd.concat(parts, ignore_index=True)
    scores = ", ".join(translate(MEASURES[name]) for name in measures)
    title = translate("{scores} per class, with 95 % intervals", scores=scores)
    if len(table) != classes:
        lowest = translate("the {n} lowest of {all} classes", n=len(table), all=classes)
        title = f"{title}; {lowest}"
    words = ", ".join(
        translate(
            "{name} {value:.3f} ({low:.3f} to {high:.3f})",
            name=name,
            value=value,
            low=low,
            high=high,
        )
        if value == value
        else f"{name} –"
        for name, value, low, high in _f1(table)
    )
    spec = _scores_spec(tuple(table["class"]), len(measures), read_language())
    return Chart(spec, data, title, f"{title}. F1: {words}.")


def _f1(table: pd.DataFrame) -> list[tuple[str, float, float, float]]:
    return list(zip(table["class"], table["f1"], table["f1_low"], table["f1_high"], strict=True))


@lru_cache(maxsize=32)
def _scores_spec(classes: tuple[str, ...], measures: int, language: str) -> Spec:
    names = [translate(name) for name in MEASURES.values()][-measures:]
    colors = alt.Scale(domain=names, range=list(CLASS_COLORS[:measures]))
    legend = alt.Legend(title=None, orient="top") if measures > 1 else None
    base = alt.Chart().encode(
        y=alt.Y(
            "class:N",
            sort=list(classes),
            title=None,
            axis=make_name_axis(classes, domain=False, ticks=False),
        ),
        yOffset=alt.YOffset("score:N", sort=names, scale=alt.Scale(paddingOuter=0.4)),
        color=alt.Color("score:N", scale=colors, legend=legend),
        tooltip=[
            alt.Tooltip("class:N", title=translate("class")),
            alt.Tooltip("score:N", title=translate("score")),
            *(
                alt.Tooltip(f"{name}:Q", title=translate(name), format=".4f")
                for name in (mark("value"), mark("low"), mark("high"))
            ),
        ],
    )
    x = alt.X(
        "value:Q",
        title=translate("score"),
        scale=alt.Scale(zero=False, nice=True),
        axis=alt.Axis(tickCount=6),
    )
    bars = base.mark_rule(strokeWidth=3, opacity=0.55).encode(
        x=alt.X("low:Q", title=translate("score")), x2="high:Q"
    )
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=x,
        shape=alt.Shape(
            "score:N",
            scale=alt.Scale(domain=names, range=list(CLASS_SHAPES[:measures])),
            legend=legend,
        ),
    )
    chart = alt.layer(bars, points).properties(height=(18 * measures + 16) * len(classes) + 90)
    return finish(chart, language=language)


def draw_ranking_curves(
    curves: RankingCurves, classes: Sequence[str], chosen: str | None = None
) -> Chart:
    """Draw a line per class, with its area in the legend. With more than four classes ``chosen`` is
    highlighted, and the table has the areas.
    """
    areas = curves.areas.dropna(subset="area")
    named = dict(zip(areas["class"], areas["area"], strict=True))
    labels = {name: f"{name} {localize(f'{area:.3f}')}" for name, area in named.items()}
    data = curves.points.assign(
        line=curves.points["class"].map(labels), area=curves.points["class"].map(named)
    )
    title = translate(
        "ROC, each class against the rest ({area} after each name)"
        if curves.kind == "ROC"
        else "Precision–recall, each class against the rest ({area} after each name)",
        area=translate(AREAS[curves.kind]),
    )
    nothing = translate("no class has some of the texts but not all")
    words = ", ".join(labels.values()) or nothing
    drawn = tuple(name for name in classes if name in named)
    spec = _ranking_spec(
        curves.kind,
        drawn,
        tuple(labels[name] for name in drawn),
        chosen if chosen in drawn else None,
        read_language(),
    )
    return Chart(spec, data, title, f"{title}: {words}.", _missing(curves.areas))


def _missing(areas: pd.DataFrame) -> str:
    missing = areas.loc[areas["area"].isna(), "class"].tolist()
    return (
        translate(
            "No curve for {classes}: a curve needs texts of the class and of others.",
            classes=", ".join(missing),
        )
        if missing
        else ""
    )


@lru_cache(maxsize=32)
def _ranking_spec(
    kind: str,
    classes: tuple[str, ...],
    labels: tuple[str, ...],
    chosen: str | None,
    language: str,
) -> Spec:
    few = len(classes) <= len(CLASS_COLORS)
    x, y = map(translate, AXES[kind])
    unit = alt.Scale(domain=[0, 1])
    colors = alt.Scale(domain=list(labels), range=choose_class_colors(classes, chosen))
    dashes = alt.Scale(
        domain=list(labels), range=[list(dash) for dash in choose_class_dashes(classes)]
    )
    legend = (
        alt.Legend(title=None, orient="bottom", columns=2, symbolType="stroke") if few else None
    )
    lines = (
        alt.Chart()
        .mark_line(strokeWidth=2.5, clip=True)
        .encode(
            x=alt.X("x:Q", title=x, scale=unit, axis=alt.Axis(tickCount=5)),
            y=alt.Y("y:Q", title=y, scale=unit, axis=alt.Axis(tickCount=5)),
            order=alt.Order("order:Q"),
            color=alt.Color("line:N", scale=colors, legend=legend),
            strokeDash=alt.StrokeDash("line:N", scale=dashes, legend=legend),
            opacity=(
                alt.value(1)
                if few
                else alt.when(alt.datum["class"] == chosen)
                .then(alt.value(1))
                .otherwise(alt.value(0.3))
            ),
            tooltip=[
                alt.Tooltip("class:N", title=translate("class")),
                alt.Tooltip("area:Q", title=translate(AREAS[kind]), format=".4f"),
                alt.Tooltip("x:Q", format=".3f"),
                alt.Tooltip("y:Q", format=".3f"),
            ],
        )
        .transform_window(order="row_number()")
    )
    if kind != "ROC":
        return finish(lines.properties(height=420), language=language)
    chance = (
        alt.Chart()
        .mark_rule(strokeDash=[4, 4], color=FADED, aria=False)
        .encode(x=alt.XDatum(0), y=alt.YDatum(0), x2=alt.X2Datum(1), y2=alt.Y2Datum(1))
    )
    return finish(alt.layer(chance, lines).properties(height=420), language=language)


MOST = 24  # slices in the chart; the table has all of them


SLICE_NUMBERS = {
    "accuracy": mark("accuracy"),
    "low": mark("low"),
    "high": mark("high"),
    "rest": mark("rest"),
}


def draw_slices(table: pd.DataFrame) -> Chart:
    """Draw a point with its 95 % interval per slice, and a tick for the rest of the texts.

    ``table``: kind, slice, texts, accuracy, low, high, rest, significant (whether the difference
    from the rest is), in the order of the chart.
    """
    significance = translate("significant"), translate("not significant")
    data = table.head(MOST).assign(
        significant=[
            significance[0 if significant else 1] for significant in table["significant"].head(MOST)
        ],
        name=_name_slices(table.head(MOST)),
    )
    title = translate("Accuracy of each slice with its 95 % interval (tick: the rest of the texts)")
    words = ", ".join(
        f"{name} {localize(format_share(value))}"
        for name, value in zip(data["name"].head(6), data["accuracy"].head(6), strict=True)
    )
    return Chart(
        _slices_spec(len(data), significance, read_language()), data, title, f"{title}: {words}."
    )


def _name_slices(table: pd.DataFrame) -> list[str]:
    """Name the slices, with their kind only where two have the same name: names need the room."""
    twice = table["slice"].duplicated(keep=False)
    return [
        f"{kind}: {name}" if repeated else str(name)
        for kind, name, repeated in zip(table["kind"], table["slice"], twice, strict=True)
    ]


@cache
def _slices_spec(lines: int, significance: tuple[str, str], language: str) -> Spec:
    domain = list(significance)
    colors = alt.Scale(domain=domain, range=[ACCENT, HUE])
    legend = alt.Legend(title=None, orient="top")
    percent = [
        alt.Tooltip(f"{name}:Q", title=translate(title), format=".1%")
        for name, title in SLICE_NUMBERS.items()
    ]
    base = alt.Chart().encode(
        y=alt.Y(
            "name:N",
            sort=None,
            title=None,
            axis=alt.Axis(
                labelLimit=alt.ExprRef(f"{NARROW} ? 130 : 230"), domain=False, ticks=False
            ),
        ),
        color=alt.Color("significant:N", scale=colors, legend=legend),
        tooltip=[
            alt.Tooltip("name:N", title=translate("Slice")),
            alt.Tooltip("texts:Q", title=translate("texts"), format=","),
            *percent,
            alt.Tooltip("significant:N", title=translate("difference")),
        ],
    )
    axis = alt.Axis(format=".0%", tickCount=5)
    bars = base.mark_rule(strokeWidth=3, opacity=0.55).encode(
        x=alt.X(
            "low:Q",
            title=translate("accuracy"),
            scale=alt.Scale(zero=False, nice=True),
            axis=axis,
        ),
        x2="high:Q",
    )
    rest = base.mark_tick(thickness=3, size=16).encode(x="rest:Q", color=alt.value(FADED))
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x="accuracy:Q",
        shape=alt.Shape(
            "significant:N",
            scale=alt.Scale(domain=domain, range=["diamond", "circle"]),
            legend=legend,
        ),
    )
    return finish(
        alt.layer(bars, rest, points).properties(height=26 * lines + 90), language=language
    )


def draw_dots(values: Sequence[float], title: str, names: Sequence[str] = ()) -> Chart:
    """Draw percentages as dots on one axis, equal ones above each other."""
    rounded = [round(value, 1) for value in values]
    height = [rounded[:position].count(value) for position, value in enumerate(rounded)]
    data = pd.DataFrame(
        {"name": list(names) or [title] * len(rounded), "value": rounded, "height": height}
    )
    words = ", ".join(f"{value:g} %" for value in sorted(rounded))
    return Chart(_dots_spec(title, max(height, default=0)), data, title, f"{title}: {words}.")


@lru_cache(maxsize=64)
def _dots_spec(title: str, highest: int) -> Spec:
    dots = (
        alt.Chart()
        .mark_circle(size=320, opacity=0.75, color=HUE)
        .encode(
            x=alt.X("value:Q", title=f"{title} (%)", scale=alt.Scale(domain=[0, 100])),
            y=alt.Y("height:Q", axis=None, scale=alt.Scale(domain=[-0.5, max(highest, 3) + 0.5])),
            tooltip=[alt.Tooltip("name:N"), alt.Tooltip("value:Q", title="%")],
        )
        .properties(height=min(400, 90 + 24 * max(highest, 3)))
    )
    return finish(dots, title)
