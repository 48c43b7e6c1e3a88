"""Charts of an embedding map: hexagons for density, and points with their text on hover."""

from collections.abc import Sequence
from functools import lru_cache
from math import cos, pi, sin, sqrt

import altair as alt
import numpy as np
import pandas as pd

from core.charts.base import (
    CLASS_COLORS,
    CLASS_SHAPES,
    THEME_TEXT,
    Chart,
    Spec,
    choose_class_colors,
    finish,
)
from core.translation import localize, read_language, translate

ACROSS = 22  # hexagons across the width
HEIGHT = 460
Range = tuple[float, float, float, float]


def find_common_range(*frames: pd.DataFrame) -> Range:
    """Return the common range of all points, lowest and highest x and then y, with a margin, for
    maps side by side.
    """
    x, y = (pd.concat([frame[name] for frame in frames]) for name in ("x", "y"))
    edges = []
    for values in (x, y):
        margin = 0.04 * (float(values.max() - values.min()) or 1.0)
        edges += [round(float(values.min()) - margin, 3), round(float(values.max()) + margin, 3)]
    return edges[0], edges[1], edges[2], edges[3]


def draw_text_map(
    table: pd.DataFrame, classes: Sequence[str], where: Range, title: str, chosen: str | None = None
) -> Chart:
    """Draw a map of texts. ``table`` has one row per text: row, class, text, x, y, ringed. Hexagons
    count the class ``chosen``, or all classes, in the color of the most frequent one.

    Selection parameters: ``box`` with x and y ranges, ``picked`` with the field row.
    """
    dense = table if chosen is None else table[table["class"] == chosen]
    data = pd.concat([_hexagons(dense, where), table.assign(kind="text")], ignore_index=True)
    counts = table["class"].value_counts()
    words = ", ".join(f"{name} {counts.get(name, 0):,}" for name in classes)
    return Chart(
        _map_spec(tuple(classes), where, chosen, read_language()),
        data,
        title,
        translate("{title}, {n:,} texts: {words}.", title=title, n=len(table), words=words),
    )


def _hexagons(table: pd.DataFrame, where: Range) -> pd.DataFrame:
    """Tabulate seven corners of each hexagon with texts: hexagon (its number), hx, hy, class,
    texts, strength (0 to 1).
    """
    left, right, low, high = where
    width = (right - left) / ACROSS
    # of a hexagon from point to point; on a square chart it is regular
    height = (high - low) / ACROSS * 2 / sqrt(3)
    places: dict[tuple[int, int], list[str]] = {}
    for x, y, name in zip(table["x"], table["y"], table["class"], strict=True):
        places.setdefault(_cell((x - left) / width, (y - low) / (0.75 * height)), []).append(name)
    most = max((len(names) for names in places.values()), default=1)
    lines = []
    for number, ((column, line), names) in enumerate(places.items()):
        x, y = left + (column + 0.5 * (line % 2)) * width, low + line * 0.75 * height
        common = max(sorted(set(names)), key=names.count)
        for corner in range(7):
            angle = pi / 6 + corner * pi / 3
            place = (x + width / sqrt(3) * cos(angle), y + height / 2 * sin(angle))
            lines.append(
                (number, *place, corner, common, len(names), sqrt(len(names) / most), "hexagon")
            )
    columns = ["hexagon", "hx", "hy", "order", "class", "texts", "strength", "kind"]
    return pd.DataFrame(lines, columns=columns)


def _cell(x: float, line: float) -> tuple[int, int]:
    """Find the nearest center of a grid whose odd lines are shifted by half a column."""
    near = [
        (round(x - 0.5 * (row % 2)), row) for row in (int(np.floor(line)), int(np.floor(line)) + 1)
    ]
    return min(
        near,
        key=lambda cell: (cell[0] + 0.5 * (cell[1] % 2) - x) ** 2 + 0.75 * (cell[1] - line) ** 2,
    )


@lru_cache(maxsize=32)
def _map_spec(classes: tuple[str, ...], where: Range, chosen: str | None, language: str) -> Spec:
    left, right, low, high = where
    across = alt.Scale(domain=[left, right], nice=False, zero=False)
    up = alt.Scale(domain=[low, high], nice=False, zero=False)
    colors = alt.Scale(domain=list(classes), range=choose_class_colors(classes, chosen))
    axis = alt.Axis(labels=False, ticks=False, title=None, grid=False)
    hexagons = (
        alt.Chart()
        .transform_filter("datum.kind === 'hexagon'")
        .mark_line(filled=True, strokeWidth=0, interpolate="linear-closed", clip=True)
        .encode(
            x=alt.X("hx:Q", scale=across, axis=axis),
            y=alt.Y("hy:Q", scale=up, axis=axis),
            detail="hexagon:N",
            order="order:Q",
            # None here would remove the legend of the points as well
            color=alt.Color("class:N", scale=colors, legend=_legend(classes)),
            opacity=alt.Opacity(
                "strength:Q", scale=alt.Scale(domain=[0, 1], range=[0.04, 0.5]), legend=None
            ),
        )
    )
    place = alt.Chart().encode(
        x=alt.X("x:Q", scale=across, axis=axis), y=alt.Y("y:Q", scale=up, axis=axis)
    )
    return finish(
        alt.layer(hexagons, _points(place, classes, colors, chosen)).properties(height=HEIGHT),
        language=language,
    )


def _points(
    place: alt.Chart, classes: tuple[str, ...], colors: alt.Scale, chosen: str | None
) -> alt.Chart:
    few = len(classes) <= len(CLASS_COLORS)
    legend = _legend(classes)
    shapes = alt.Scale(
        domain=list(classes),
        range=list(CLASS_SHAPES[: len(classes)]) if few else ["circle"] * len(classes),
    )
    faint = (
        alt.value(0.75)
        if chosen is None
        else alt.when(alt.datum["class"] == chosen).then(alt.value(0.9)).otherwise(alt.value(0.25))
    )
    ringed = alt.when("datum.ringed")
    return (
        place.transform_filter("datum.kind === 'text'")
        .mark_point(filled=True, cursor="pointer", clip=True)
        .encode(
            color=alt.Color("class:N", scale=colors, legend=legend),
            shape=alt.Shape("class:N", scale=shapes, legend=legend),
            size=ringed.then(alt.value(120)).otherwise(alt.value(26)),
            opacity=faint,
            stroke=ringed.then(alt.value(THEME_TEXT)).otherwise(alt.value("transparent")),
            strokeWidth=ringed.then(alt.value(2)).otherwise(alt.value(0)),
            tooltip=[
                alt.Tooltip("class:N", title=translate("class")),
                alt.Tooltip("text:N", title=translate("text")),
                alt.Tooltip("row:Q", title=translate("row"), format=","),
            ],
        )
        .add_params(
            alt.selection_interval(name="box", encodings=["x", "y"]),
            alt.selection_point(name="picked", fields=["row"]),
        )
    )


def _legend(classes: tuple[str, ...]) -> alt.Legend | None:
    """Return a legend for up to four classes; more have the same hue, and tooltips show their
    names.
    """
    return alt.Legend(title=None, orient="bottom") if len(classes) <= len(CLASS_COLORS) else None


def draw_layer_scores(table: pd.DataFrame, chosen: int) -> Chart:
    """Draw the k-nearest-neighbor accuracy after each layer. ``table``: model, layer, knn (0 to
    1); a large point marks the layer ``chosen``.
    """
    title = translate("Nearest-neighbor accuracy after each layer (all dimensions)")
    last = table.sort_values("layer").groupby("model", sort=False).tail(1)
    words = ", ".join(
        translate(
            "{name} {share} after the last", name=name, share=localize(f"{value * 100:.1f} %")
        )
        for name, value in zip(last["model"], last["knn"], strict=True)
    )
    data = table.assign(late=table["layer"] == chosen)
    return Chart(
        _layers_spec(tuple(dict.fromkeys(table["model"])), read_language()),
        data,
        title,
        f"{title}: {words}.",
    )


@lru_cache(maxsize=16)
def _layers_spec(models: tuple[str, ...], language: str) -> Spec:
    scale = alt.Scale(domain=list(models), range=list(CLASS_COLORS[: len(models)]))
    base = alt.Chart().encode(
        x=alt.X(
            "layer:Q",
            title=translate("layer (0: before the first)"),
            axis=alt.Axis(format="d", tickMinStep=1),
        ),
        y=alt.Y("knn:Q", title=None, axis=alt.Axis(format=".0%"), scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("model:N", scale=scale, legend=alt.Legend(title=None, orient="bottom")),
    )
    points = base.mark_point(filled=True, opacity=1).encode(
        shape=alt.Shape(
            "model:N", scale=alt.Scale(domain=list(models), range=list(CLASS_SHAPES[: len(models)]))
        ),
        size=alt.when("datum.late").then(alt.value(160)).otherwise(alt.value(50)),
        tooltip=[
            alt.Tooltip("model:N", title=translate("model")),
            alt.Tooltip("layer:Q", title=translate("layer")),
            alt.Tooltip("knn:Q", title=translate("accuracy"), format=".1%"),
            alt.Tooltip("silhouette:Q", title=translate("silhouette"), format=".3f"),
        ],
    )
    chart = alt.layer(base.mark_line(strokeWidth=2), points).properties(height=240)
    return finish(chart, language=language)
