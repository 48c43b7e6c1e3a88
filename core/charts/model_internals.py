"""Pictures of a text inside a model: vectors as strips, attention, how far tokens move, where the
LoRA matrices sit.

Shapes: T tokens, d hidden, L layers.
"""

from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.charts.base import ACCENT, FONT, HUE, Chart, Spec, finish
from core.charts.matrix import DARK_TEXT, LIGHT_TEXT, TILES, text_colour
from core.inference.messages import AdaptedModule
from core.models.families import find_projection

MIDDLE = {False: "#F1F4F6", True: "#17202A"}  # no value, on a light and a dark page
CLIPPED = (
    0.98  # quantile at which a strip's colours end: a few numbers are far larger than all others
)


def strips(
    vectors: NDArray[np.floating], names: Sequence[str], title: str, dark: bool = False
) -> Chart:
    """Vectors (k, d), a row each, blue below zero and orange above. Each row has its own scale, as
    lengths differ.
    """
    values = vectors.astype(np.float32)
    lengths = np.linalg.norm(values, axis=1)
    shade = np.clip(
        values / np.maximum(np.quantile(np.abs(values), CLIPPED, axis=1, keepdims=True), 1e-9),
        -1,
        1,
    )
    rows, width = values.shape
    labels = [f"{name} · length {length:.1f}" for name, length in zip(names, lengths, strict=True)]
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
    return Chart(_strips_spec(rows, width, dark), data, title, f"{title}. Rows: {words}.")


@cache
def _strips_spec(rows: int, width: int, dark: bool) -> Spec:
    scale = alt.Scale(
        domain=[-1, 0, 1], range=[HUE, MIDDLE[dark], ACCENT], interpolate="rgb", clamp=True
    )
    bars = (
        alt.Chart()
        .mark_rect()
        .encode(
            x=alt.X(
                "number:Q",
                title="number in the vector",
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
            tooltip=["vector:N", "number:Q", alt.Tooltip("value:Q", format=".3f")],
        )
    )
    return finish(bars.properties(height=34 * rows + 60))


def attention(
    shares: NDArray[np.floating], pieces: Sequence[str], title: str, dark: bool = False
) -> Chart:
    """Attention (T, T) of one head: row looks at column, from 0 to 1."""
    labels = [f"{number} {piece}" for number, piece in enumerate(pieces)]
    data = _grid(shares, "from", labels, "to", labels, "attention")
    strongest = [labels[int(column)] for column in shares.argmax(1)]
    words = ", ".join(
        f"{name} → {target}" for name, target in list(zip(labels, strongest, strict=True))[:12]
    )
    return Chart(
        _heat_spec("to", "from", "attention", len(labels), 22, dark, _up(shares)),
        data,
        title,
        f"{title}. Strongest: {words}.",
    )


def movement(moved: NDArray[np.floating], pieces: Sequence[str], dark: bool = False) -> Chart:
    """How far each layer (L) moves each token (T), as a share of the vector's length before."""
    labels = [f"{number} {piece}" for number, piece in enumerate(pieces)]
    layers = [f"layer {number}" for number in range(1, len(moved) + 1)]
    title = "How far each layer moves each token (distance as a share of the vector's length)"
    data = _grid(moved[:, : len(labels)], "layer", layers, "token", labels, "distance")
    words = ", ".join(
        f"{layer} {value:.2f}" for layer, value in zip(layers, moved.mean(1), strict=True)
    )
    return Chart(
        _heat_spec("token", "layer", "distance", len(layers), 34, dark, _up(moved)),
        data,
        title,
        f"{title}. Means: {words}.",
    )


def _up(values: NDArray[np.floating]) -> float:
    """The largest value, up to the next fifth: where the colours end."""
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
    x: str, y: str, value: str, rows: int, row_pixels: int, dark: bool, high: float
) -> Spec:
    scale = alt.Scale(domain=[0, high], range=list(TILES[dark]), interpolate="rgb", clamp=True)
    axis = {"domain": False, "ticks": False, "labelLimit": 130}
    tiles = (
        alt.Chart()
        .mark_rect()
        .encode(
            x=alt.X(
                f"{x}:N",
                sort=None,
                title=f"{x} →" if x == "to" else None,
                axis=alt.Axis(labelAngle=-60, **axis),
            ),
            y=alt.Y(
                f"{y}:N", sort=None, title=f"{y} ↓" if y == "from" else None, axis=alt.Axis(**axis)
            ),
            color=alt.Color(
                f"{value}:Q",
                scale=scale,
                legend=alt.Legend(title=value, orient="right", gradientLength=120),
            ),
            tooltip=[f"{y}:N", f"{x}:N", alt.Tooltip(f"{value}:Q", format=".3f")],
        )
    )
    return finish(tiles.properties(height=max(180, row_pixels * rows + 110)))


def adapters(modules: Sequence[AdaptedModule], dark: bool = False) -> Chart:
    """A tile a linear module: rows layers, columns modules within one; those with LoRA matrices say
    their rank.
    """
    modules = sorted(modules, key=lambda module: (module.layer, find_projection(module.module)))
    most = max((module.change for module in modules), default=0.0) or 1.0
    data = pd.DataFrame(
        {
            "layer": [f"layer {module.layer + 1}" for module in modules],
            "module": [module.module for module in modules],
            "A": [
                f"{module.rank} × {module.inputs}" if module.rank else "none" for module in modules
            ],
            "B": [
                f"{module.outputs} × {module.rank}" if module.rank else "none" for module in modules
            ],
            "change": [module.change for module in modules],
            "label": [f"r {module.rank}" if module.rank else "frozen" for module in modules],
            "shade": [_shade(module, most) for module in modules],
        }
    )
    data["on_dark"] = [text_colour(shade, dark) == LIGHT_TEXT for shade in data["shade"]]
    title = "Where the LoRA matrices sit"
    adapted = sorted({module.module for module in modules if module.rank})
    layers = len(data["layer"].unique())
    return Chart(
        _adapters_spec(layers, dark),
        data,
        title,
        f"{title}: {', '.join(adapted) or 'nowhere'}, in {layers} layers.",
    )


def _shade(module: AdaptedModule, most: float) -> float:
    return 0.0 if not module.rank else 0.45 + 0.55 * module.change / most


@cache
def _adapters_spec(layers: int, dark: bool) -> Spec:
    scale = alt.Scale(domain=[0, 1], range=list(TILES[dark]), interpolate="rgb", clamp=True)
    axis = {"domain": False, "ticks": False, "labelLimit": 240}
    base = alt.Chart().encode(
        x=alt.X("module:N", sort=None, title=None, axis=alt.Axis(labelAngle=-30, **axis)),
        y=alt.Y("layer:N", sort=None, title=None, axis=alt.Axis(**axis)),
        tooltip=[
            "layer:N",
            "module:N",
            "A:N",
            "B:N",
            alt.Tooltip("change:Q", title="change of the weight", format=".1%"),
        ],
    )
    tiles = base.mark_rect(cornerRadius=3, stroke=MIDDLE[dark], strokeWidth=2).encode(
        color=alt.Color("shade:Q", scale=scale, legend=None)
    )
    names = base.mark_text(fontSize=FONT - 1).encode(
        text="label:N",
        color=alt.when("datum.on_dark").then(alt.value(LIGHT_TEXT)).otherwise(alt.value(DARK_TEXT)),
    )
    return finish(alt.layer(tiles, names).properties(height=34 * layers + 130))
