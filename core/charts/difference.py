"""What one confusion matrix has more or fewer of than another, on the same texts."""

from collections.abc import Sequence
from functools import cache

import altair as alt
import numpy as np
import pandas as pd

from core.charts.chart import FONT, Chart, Spec, finish
from core.charts.matrix import DARK_TEXT, LIGHT_TEXT, MANY, MOST_LABELLED, SMALL_FONT, tile_fields

# worse, the same, better; the ends reach 4.5:1 with the text on them
TONES = {False: ("#8A3A00", "#F3F4F6", "#084E8A"), True: ("#F5A977", "#232A33", "#8CCBF5")}
STRONG = 0.55  # from this share of the largest difference on, the tile is dark on a light page and light on a dark one


def matrix_difference(first: np.ndarray, second: np.ndarray, classes: Sequence[str], names: tuple[str, str], dark: bool = False) -> Chart:
    """Texts that ``second`` has more or fewer of in each cell than ``first``, both (C, C), true class first.

    Blue is better: more on the diagonal, or fewer beside it; orange is worse.
    """
    size, change = len(classes), second - first
    better = np.where(np.eye(size, dtype=bool), change, -change)
    strength = better / max(int(np.abs(change).max(initial=0)), 1)
    data = pd.DataFrame(
        {
            **tile_fields(classes),
            "first": first.ravel(),
            "second": second.ravel(),
            "change": change.ravel(),
            "shade": strength.ravel(),
            "label": [signed(value) for value in change.ravel()],
            "on_dark": [(abs(value) > STRONG) != dark for value in strength.ravel()],
        }
    )
    title = f"{names[1]} minus {names[0]} (texts in each cell; blue is better, orange is worse)"
    gained = int(np.trace(change))
    return Chart(_difference_spec(size, dark), data, title, f"{title}: {signed(gained)} on the diagonal.")


def signed(number: int) -> str:
    """``+3``, ``−3``, ``0``."""
    return f"+{number:,}" if number > 0 else f"{number:,}".replace("-", "−")


@cache
def _difference_spec(size: int, dark: bool) -> Spec:
    crowded, font = size > 6, FONT if size <= MANY else SMALL_FONT
    angle = -90 if size > MANY else -40 if crowded else 0
    base = alt.Chart().encode(
        x=alt.X(
            "predicted:N",
            sort=None,
            title="predicted class",
            axis=alt.Axis(labelAngle=angle, labelFontSize=font, domain=False, ticks=False),
        ),
        y=alt.Y("true:N", sort=None, title="true class", axis=alt.Axis(labelFontSize=font, domain=False, ticks=False)),
        tooltip=["true:N", "predicted:N", *(alt.Tooltip(f"{name}:Q", format=",") for name in ("first", "second", "change"))],
    )
    scale = alt.Scale(domain=[-1, 0, 1], range=list(TONES[dark]), interpolate="rgb", clamp=True)
    tiles = base.mark_rect(cornerRadius=2).encode(color=alt.Color("shade:Q", scale=scale, legend=None))
    numbers = base.mark_text(fontSize=max(13, 22 - size), fontWeight="bold").encode(
        text="label:N", color=alt.when("datum.on_dark").then(alt.value(LIGHT_TEXT)).otherwise(alt.value(DARK_TEXT))
    )
    height = 120 + 14 * size if size > MANY else min(640, 80 + 66 * size if not crowded else 120 + 40 * size)
    return finish(alt.layer(*([tiles, numbers] if size <= MOST_LABELLED else [tiles])).properties(height=height))
