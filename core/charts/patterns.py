"""Sources and boilerplate: of which classes the texts are that hold a pattern."""

from collections.abc import Sequence
from functools import lru_cache

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
    clicks,
    finish,
    standing_back,
)
from core.data.explore.words import isolate

MOST_COLOURED = 4
OTHERS = "other classes"
LIKELIEST = "likeliest class"


def pattern_bars(table: pd.DataFrame, classes: Sequence[str], chosen: str = "") -> Chart:
    """A bar per pattern, cut into the classes of its texts. ``table`` as ``boilerplate.evidence``
    gives it, drawn in its order.

    Beyond four classes a bar shows the likeliest class against the rest. Selection parameter
    ``chosen`` has the field pattern.
    """
    parts = []
    for line in table.to_dict("records"):
        name = classes[int(line["top"])]
        label = f"{line['texts']:,} · {isolate(name)} {times(line['ratio'])}"
        counts = {other: line[f"class {number}"] for number, other in enumerate(classes)}
        if len(classes) > MOST_COLOURED:
            counts = {LIKELIEST: counts[name], OTHERS: line["texts"] - counts[name]}
        parts += [
            (line["pattern"], part, texts, texts / line["texts"], label, number)
            for number, (part, texts) in enumerate(counts.items())
        ]
    data = pd.DataFrame(parts, columns=["pattern", "class", "texts", "share", "label", "order"])
    data["kept"] = (data["pattern"] == chosen) | (not chosen)
    title = "Classes of the texts with each pattern"
    first = [
        f"{line['pattern']} in {line['texts']:,} texts, {classes[int(line['top'])]}"
        f" {times(line['ratio'])}"
        for line in table.head(5).to_dict("records")
    ]
    names = tuple(classes) if len(classes) <= MOST_COLOURED else (LIKELIEST, OTHERS)
    return Chart(
        _pattern_spec(names) | {"height": 26 * len(table) + 90},
        data,
        title,
        f"{title}: {'; '.join(first) or 'none found'}.",
    )


def times(ratio: float) -> str:
    """A likelihood ratio: ``× 3.2``, ``× 410``."""
    return f"× {ratio:,.1f}" if ratio < 10 else f"× {ratio:,.0f}"


@lru_cache(maxsize=64)
def _pattern_spec(names: tuple[str, ...]) -> Spec:
    colours = [HUE, FADED] if names == (LIKELIEST, OTHERS) else class_colours(names)
    legend = alt.Legend(title=None, orient="top", symbolType="square")
    y = alt.Y("pattern:N", sort=None, title=None, axis=alt.Axis(labelLimit=180))
    base = alt.Chart().encode(y=y)
    bars = base.mark_bar(cursor="pointer").encode(
        opacity=standing_back(),
        x=alt.X(
            "share:Q",
            title="share of the texts with it",
            scale=alt.Scale(domain=[0, 1.75]),
            axis=alt.Axis(values=[0, 0.5, 1], format=".0%"),
        ),
        color=alt.Color(
            "class:N", scale=alt.Scale(domain=list(names), range=colours), legend=legend
        ),
        order="order:Q",
        tooltip=[
            "pattern:N",
            "class:N",
            alt.Tooltip("texts:Q", format=","),
            alt.Tooltip("share:Q", format=".1%"),
        ],
    )
    labels = base.transform_filter("datum.order === 0").mark_text(align="left", dx=8, fontSize=FONT)
    labels = labels.encode(x=alt.datum(1), text="label:N", color=alt.value(THEME_TEXT))
    return finish(alt.layer(bars.add_params(clicks("pattern")), labels))
