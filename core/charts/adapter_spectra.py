"""What an adapter changed: a map of its matrices over layers, and the singular values of one."""

from collections.abc import Sequence
from functools import cache
from typing import Literal

import altair as alt
import pandas as pd

from core.charts.base import FONT, HUE, Chart, Spec, finish, titled
from core.charts.matrix import DARK_TEXT, LIGHT_TEXT, TILES, text_colour

Shown = Literal["relative change", "effective rank"]
TITLES: dict[Shown, str] = {
    "relative change": "Change of each adapted weight (‖ΔW‖ / ‖W‖)",
    "effective rank": "Effective rank of each change",
}


def adapter_map(table: pd.DataFrame, shown: Shown, rank: int, dark: bool = False) -> Chart:
    """A tile a matrix. ``table``: layer (from 1), module, change (share), effective_rank; shades go
    up to the largest, or to ``rank``.
    """
    column = "change" if shown == "relative change" else "effective_rank"
    most = max(float(table["change"].max()), 1e-9) if column == "change" else float(rank)
    shade = (table[column] / most).clip(0, 1)
    data = table[["layer", "module", "change", "effective_rank"]].assign(
        layer=[f"layer {layer}" for layer in table["layer"]],
        label=[
            f"{value * 100:.1f} %" if column == "change" else f"{value:.1f}"
            for value in table[column]
        ],
        shade=shade,
        on_dark=[text_colour(float(value), dark) == LIGHT_TEXT for value in shade],
    )
    title = TITLES[shown] + (f", of at most {rank}" if column != "change" else "")
    words = ", ".join(
        f"{line['layer']} {line['module']} {line['label']}"
        for line in data.head(12).to_dict("records")
    )
    return Chart(
        titled(_map_spec(data["layer"].nunique(), dark), title), data, title, f"{title}: {words}."
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


def singular_values(values: Sequence[float], name: str) -> Chart:
    """A bar a direction, the strongest first."""
    data = pd.DataFrame(
        {
            "direction": range(1, len(values) + 1),
            "singular value": [round(float(value), 5) for value in values],
        }
    )
    title = f"Singular values of the change of {name}"
    words = ", ".join(f"{value:.3f}" for value in values[:8])
    return Chart(titled(_bars_spec(), title), data, title, f"{title}: {words}.")


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
