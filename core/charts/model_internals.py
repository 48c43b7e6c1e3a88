"""Charts of a model's inside: vectors, attention, how far tokens move, and the adapter's matrices.

Shapes: T tokens, d hidden, L layers.
"""

from collections.abc import Sequence
from functools import cache
from typing import Literal

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.charts.base import ACCENT, FONT, HUE, Chart, Spec, finish, set_title
from core.charts.matrix import DARK_TEXT, LIGHT_TEXT, TILES, choose_text_color
from core.inference.messages import AdaptedModule
from core.models.families import find_projection
from core.models.model_shape import name_layer
from core.translation import format_number, mark, read_language, translate

MIDDLE = {False: "#F1F4F6", True: "#17202A"}  # no value, on a light and a dark page
# quantile at which a strip's colors end, because a few numbers are far larger than all others
CLIPPED = 0.98
AXES = {  # names of the columns on axes and in tooltips
    "from": mark("attending token"),
    "to": mark("attended token"),
    "attention": mark("attention"),
    "layer": mark("layer"),
    "token": mark("token"),
    "distance": mark("distance"),
}


def draw_strips(
    vectors: NDArray[np.floating], names: Sequence[str], title: str, dark: bool = False
) -> Chart:
    """Draw vectors (k, d) as one row each, blue below zero and orange above. Each row has its own
    scale, because lengths differ.
    """
    values = vectors.astype(np.float32)
    lengths = np.linalg.norm(values, axis=1)
    shade = np.clip(
        values / np.maximum(np.quantile(np.abs(values), CLIPPED, axis=1, keepdims=True), 1e-9),
        -1,
        1,
    )
    rows, width = values.shape
    labels = [
        translate("{name} · norm {length:.1f}", name=name, length=float(length))
        for name, length in zip(names, lengths, strict=True)
    ]
    data = pd.DataFrame(
        {
            "vector": np.repeat(np.asarray(labels, dtype=object), width),
            "number": np.tile(np.arange(width), rows),
            "next": np.tile(np.arange(1, width + 1), rows),
            "value": values.ravel().round(3),
            "shade": shade.ravel().round(3),
        }
    )
    words = ", ".join(labels)
    alternative = translate("{title}. Rows: {words}.", title=title, words=words)
    return Chart(_strips_spec(rows, width, dark, read_language()), data, title, alternative)


@cache
def _strips_spec(rows: int, width: int, dark: bool, language: str) -> Spec:
    scale = alt.Scale(
        domain=[-1, 0, 1], range=[HUE, MIDDLE[dark], ACCENT], interpolate="rgb", clamp=True
    )
    bars = (
        alt.Chart()
        .mark_rect()
        .encode(
            x=alt.X(
                "number:Q",
                title=translate("number in the vector"),
                scale=alt.Scale(domain=[0, width], nice=False),
            ),
            x2="next:Q",
            y=alt.Y(
                "vector:N",
                sort=None,
                title=None,
                axis=alt.Axis(labelLimit=300, domain=False, ticks=False),
            ),
            color=alt.Color("shade:Q", scale=scale, legend=None),
            tooltip=[
                alt.Tooltip("vector:N", title=translate("vector")),
                alt.Tooltip("number:Q", title=translate("number in the vector")),
                alt.Tooltip("value:Q", title=translate("value"), format=".3f"),
            ],
        )
    )
    return finish(bars.properties(height=34 * rows + 60), language=language)


def draw_attention(
    shares: NDArray[np.floating], tokens: Sequence[str], title: str, dark: bool = False
) -> Chart:
    """Draw the attention (T, T) of one head from 0 to 1: rows attend to columns."""
    labels = [f"{number} {token}" for number, token in enumerate(tokens)]
    data = _grid(shares, "from", labels, "to", labels, "attention")
    strongest = [labels[int(column)] for column in shares.argmax(1)]
    words = ", ".join(
        f"{name} → {target}" for name, target in list(zip(labels, strongest, strict=True))[:12]
    )
    return Chart(
        _heat_spec(
            ("to", "from", "attention"), len(labels), 22, dark, _up(shares), read_language()
        ),
        data,
        title,
        translate("{title}. Strongest: {words}.", title=title, words=words),
    )


def draw_movement(moved: NDArray[np.floating], tokens: Sequence[str], dark: bool = False) -> Chart:
    """Draw how far each layer (L) moves each token (T), relative to the length of its vector."""
    labels = [f"{number} {token}" for number, token in enumerate(tokens)]
    layers = [translate("layer {n}", n=number) for number in range(1, len(moved) + 1)]
    title = translate(
        "How far each layer moves each token (distance as a share of the vector's length)"
    )
    data = _grid(moved[:, : len(labels)], "layer", layers, "token", labels, "distance")
    words = ", ".join(
        f"{layer} {format_number(value, '.2f')}"
        for layer, value in zip(layers, moved.mean(1), strict=True)
    )
    return Chart(
        _heat_spec(
            ("token", "layer", "distance"), len(layers), 34, dark, _up(moved), read_language()
        ),
        data,
        title,
        translate("{title}. Means: {words}.", title=title, words=words),
    )


def _up(values: NDArray[np.floating]) -> float:
    """Round the largest value up to a multiple of 0.2, the end of the color scale."""
    return float(np.ceil(max(float(values.max()), 0.1) * 5 - 1e-6) / 5)


def _grid(
    values: NDArray[np.floating],
    row: str,
    rows: Sequence[str],
    column: str,
    columns: Sequence[str],
    name: str,
) -> pd.DataFrame:
    across = np.tile(np.asarray(columns, dtype=object), len(rows))
    return pd.DataFrame(
        {
            row: np.repeat(np.asarray(rows, dtype=object), len(columns)),
            column: across,
            name: values.ravel().round(4),
        }
    )


@cache
def _heat_spec(
    names: tuple[str, str, str],
    rows: int,
    row_pixels: int,
    dark: bool,
    high: float,
    language: str,
) -> Spec:
    x, y, value = names
    scale = alt.Scale(domain=[0, high], range=list(TILES[dark]), interpolate="rgb", clamp=True)
    axis = {"domain": False, "ticks": False, "labelLimit": 130}
    tiles = (
        alt.Chart()
        .mark_rect()
        .encode(
            x=alt.X(
                f"{x}:N",
                sort=None,
                title=f"{translate(AXES[x])} →" if x == "to" else None,
                # of many tokens on a narrow page some have no name; the tooltip has all
                axis=alt.Axis(labelAngle=-60, labelOverlap="greedy", **axis),
            ),
            y=alt.Y(
                f"{y}:N",
                sort=None,
                title=f"{translate(AXES[y])} ↓" if y == "from" else None,
                axis=alt.Axis(**axis),
            ),
            color=alt.Color(
                f"{value}:Q",
                scale=scale,
                legend=alt.Legend(title=translate(AXES[value]), orient="right", gradientLength=120),
            ),
            tooltip=[
                alt.Tooltip(f"{y}:N", title=translate(AXES[y])),
                alt.Tooltip(f"{x}:N", title=translate(AXES[x])),
                alt.Tooltip(f"{value}:Q", title=translate(AXES[value]), format=".3f"),
            ],
        )
    )
    return finish(tiles.properties(height=max(180, row_pixels * rows + 110)), language=language)


def draw_adapters(modules: Sequence[AdaptedModule], dark: bool = False) -> Chart:
    """Draw a tile per linear module: rows are layers, columns are the modules of a layer. Adapted
    modules show their rank.
    """
    modules = sorted(modules, key=lambda module: (module.layer, find_projection(module.module)))
    most = max((module.change for module in modules), default=0.0) or 1.0
    data = pd.DataFrame(
        {
            "layer": [name_layer(module.layer) for module in modules],
            "module": [module.module for module in modules],
            "A": [
                f"{module.rank} × {module.inputs}" if module.rank else translate("none")
                for module in modules
            ],
            "B": [
                f"{module.outputs} × {module.rank}" if module.rank else translate("none")
                for module in modules
            ],
            "change": [module.change for module in modules],
            "label": [
                f"r {module.rank}" if module.rank else translate("frozen") for module in modules
            ],
            "shade": [_shade(module, most) for module in modules],
        }
    )
    data["on_dark"] = [choose_text_color(shade, dark) == LIGHT_TEXT for shade in data["shade"]]
    title = translate("Modules with LoRA matrices")
    adapted = sorted({module.module for module in modules if module.rank})
    layers = len(data["layer"].unique())
    return Chart(
        _adapters_spec(layers, dark, read_language()),
        data,
        title,
        translate(
            "{title}: {modules}, in {layers} layers.",
            title=title,
            modules=", ".join(adapted) or translate("none"),
            layers=layers,
        ),
    )


def _shade(module: AdaptedModule, most: float) -> float:
    return 0.0 if not module.rank else 0.45 + 0.55 * module.change / most


@cache
def _adapters_spec(layers: int, dark: bool, language: str) -> Spec:
    scale = alt.Scale(domain=[0, 1], range=list(TILES[dark]), interpolate="rgb", clamp=True)
    axis = {"domain": False, "ticks": False, "labelLimit": 240}
    base = alt.Chart().encode(
        x=alt.X("module:N", sort=None, title=None, axis=alt.Axis(labelAngle=-30, **axis)),
        y=alt.Y("layer:N", sort=None, title=None, axis=alt.Axis(**axis)),
        tooltip=[
            alt.Tooltip("layer:N", title=translate("layer")),
            alt.Tooltip("module:N", title=translate("module")),
            "A:N",
            "B:N",
            alt.Tooltip("change:Q", title=translate("change of the weight"), format=".1%"),
        ],
    )
    tiles = base.mark_rect(cornerRadius=3, stroke=MIDDLE[dark], strokeWidth=2).encode(
        color=alt.Color("shade:Q", scale=scale, legend=None)
    )
    names = base.mark_text(fontSize=FONT - 1).encode(
        text="label:N",
        color=alt.when("datum.on_dark").then(alt.value(LIGHT_TEXT)).otherwise(alt.value(DARK_TEXT)),
    )
    chart = alt.layer(tiles, names).properties(height=34 * layers + 130)
    return finish(chart, language=language)


Shown = Literal["relative change", "effective rank"]
TITLES: dict[Shown, str] = {
    "relative change": "Change of each adapted weight (‖ΔW‖ / ‖W‖)",
    "effective rank": "Effective rank of each change",
}


def draw_adapter_map(table: pd.DataFrame, shown: Shown, rank: int, dark: bool = False) -> Chart:
    """Draw a tile per matrix. ``table``: layer (from 0), module, change (a proportion) and
    effective_rank; shades end at the largest change, or at ``rank``.
    """
    column = "change" if shown == "relative change" else "effective_rank"
    most = max(float(table["change"].max()), 1e-9) if column == "change" else float(rank)
    shade = (table[column] / most).clip(0, 1)
    data = table[["layer", "module", "change", "effective_rank"]].assign(
        layer=[name_layer(layer) for layer in table["layer"]],
        label=[
            f"{value * 100:.1f} %" if column == "change" else f"{value:.1f}"
            for value in table[column]
        ],
        shade=shade,
        on_dark=[choose_text_color(float(value), dark) == LIGHT_TEXT for value in shade],
    )
    title = TITLES[shown] + (f", of at most {rank}" if column != "change" else "")
    words = ", ".join(
        f"{line['layer']} {line['module']} {line['label']}"
        for line in data.head(12).to_dict("records")
    )
    return Chart(
        set_title(_map_spec(data["layer"].nunique(), dark), title),
        data,
        title,
        f"{title}: {words}.",
    )


@cache
def _map_spec(layers: int, dark: bool) -> Spec:
    axis = {"domain": False, "ticks": False, "labelLimit": 240}
    base = alt.Chart().encode(
        x=alt.X("module:N", sort=None, title=None, axis=alt.Axis(labelAngle=-20, **axis)),
        y=alt.Y("layer:N", sort=None, title=None, axis=alt.Axis(**axis)),
        tooltip=[
            "layer:N",
            "module:N",
            alt.Tooltip("change:Q", title="relative change", format=".2%"),
            alt.Tooltip("effective_rank:Q", title="effective rank", format=".2f"),
        ],
    )
    scale = alt.Scale(domain=[0, 1], range=list(TILES[dark]), interpolate="rgb", clamp=True)
    tiles = base.mark_rect(cornerRadius=3).encode(
        color=alt.Color("shade:Q", scale=scale, legend=None)
    )
    names = base.mark_text(fontSize=FONT - 1).encode(
        text="label:N",
        color=alt.when("datum.on_dark").then(alt.value(LIGHT_TEXT)).otherwise(alt.value(DARK_TEXT)),
    )
    return finish(alt.layer(tiles, names).properties(height=34 * layers + 130))


def draw_singular_values(values: Sequence[float], name: str) -> Chart:
    """Draw a bar per direction, the strongest first."""
    data = pd.DataFrame(
        {
            "direction": range(1, len(values) + 1),
            "singular value": [round(float(value), 5) for value in values],
        }
    )
    title = f"Singular values of the change of {name}"
    words = ", ".join(f"{value:.3f}" for value in values[:8])
    return Chart(set_title(_bars_spec(), title), data, title, f"{title}: {words}.")


@cache
def _bars_spec() -> Spec:
    bars = (
        alt.Chart()
        .mark_bar(color=HUE)
        .encode(
            x=alt.X(
                "direction:O",
                title="direction, the strongest first",
                axis=alt.Axis(labelAngle=0, labelOverlap=True),
            ),
            y=alt.Y("singular value:Q", title="singular value"),
            tooltip=["direction:O", alt.Tooltip("singular value:Q", format=".4f")],
        )
    )
    return finish(bars.properties(height=280))
