"""What each token of a text adds to a class, as coloured tiles in reading order."""

from collections.abc import Sequence
from functools import cache

import altair as alt
import pandas as pd

from core.charts.chart import ACCENT, FONT, HUE, Chart, Spec, finish, titled

LINE_UNITS, MOST_TOKENS = 64, 300  # characters a line; more tokens are no picture, the table has them
MIDDLE = {False: "#F4F5F7", True: "#20262E"}


def attributions(pieces: Sequence[str], values: Sequence[float], title: str, dark: bool = False) -> Chart:
    """Blue adds to the class, orange takes from it; ``values`` in logits."""
    rows, line, at = [], 0, 0
    most = max((abs(value) for value in values), default=0.0) or 1.0
    for place, (piece, value) in enumerate(zip(pieces[:MOST_TOKENS], values[:MOST_TOKENS], strict=True)):
        units = max(len(piece), 5) + 2
        if at and at + units > LINE_UNITS:
            line, at = line + 1, 0
        rows.append((place, piece, round(value, 4), f"{value:+.2f}", value / most, line, at, at + units - 0.5, at + units / 2 - 0.25))
        at += units
    data = pd.DataFrame(rows, columns=["position", "token", "logits", "label", "shade", "line", "start", "end", "middle"])
    strongest = sorted(zip(pieces, values, strict=True), key=lambda pair: -abs(pair[1]))[:8]
    words = ", ".join(f"{piece} {value:+.2f}" for piece, value in strongest)
    note = f"The first {MOST_TOKENS} of {len(pieces):,} tokens." if len(pieces) > MOST_TOKENS else ""
    return Chart(titled(_spec(line + 1, dark), title), data, title, f"{title}. Strongest: {words}.", note)


@cache
def _spec(lines: int, dark: bool) -> Spec:
    scale = alt.Scale(domain=[-1, 0, 1], range=[ACCENT, MIDDLE[dark], HUE], interpolate="rgb", clamp=True)
    base = alt.Chart().encode(y=alt.Y("line:O", axis=None, scale=alt.Scale(domain=list(range(lines)), paddingInner=0.12)))
    tiles = base.mark_rect(fillOpacity=0.55, cornerRadius=3).encode(
        x=alt.X("start:Q", axis=None, scale=alt.Scale(domain=[0, LINE_UNITS], nice=False)),
        x2="end:Q",
        color=alt.Color("shade:Q", scale=scale, legend=None),
        tooltip=["position:Q", "token:N", alt.Tooltip("logits:Q", format="+.3f")],
    )
    middle = alt.X("middle:Q", axis=None, scale=alt.Scale(domain=[0, LINE_UNITS], nice=False))
    text = alt.value("#FFFFFF" if dark else "#1B2026")
    names = base.mark_text(fontSize=FONT - 1, dy=-8, font="monospace", fontWeight="bold").encode(x=middle, text="token:N", color=text)
    numbers = base.mark_text(fontSize=FONT - 3, dy=10).encode(x=middle, text="label:N", color=text)
    return finish(alt.layer(tiles, names, numbers).properties(height=48 * lines + 30))
