"""The words that set a class apart: as bars, and as a cloud in which the surest ones are largest.

Where the words of a cloud stand: from the middle outwards along a spiral, each at the first place
that is free.

The same words get the same places. Widths are estimates from the letters, because no browser is at
hand; they err on the wide side.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.charts.base import FONT, HUE, Chart, Spec, clicks, finish, labelled_bars, standing_back

WIDTH, HEIGHT = (
    400,
    250,
)  # px that words are placed in; on a wider page they drift apart sideways and never overlap
SMALLEST, LARGEST = 15.0, 44.0  # px of letters
MOST_BARS = 12


def word_cloud(table: pd.DataFrame, name: str, colour: str, chosen: str = "") -> Chart:
    """The words of ``table`` (word, z, count), sized by z. Selection parameter ``chosen`` has the
    field word.

    Words that find no room are left out of the picture and stay in the table.
    """
    strength = np.sqrt(table["z"].to_numpy(float))
    low, high = (strength.min(), strength.max()) if len(table) else (0.0, 1.0)
    sizes = SMALLEST + (LARGEST - SMALLEST) * (strength - low) / max(high - low, 1e-9)
    places = _places(tuple(table["word"]), tuple(sizes.tolist()))
    data = table.assign(
        x=places[:, 0], y=places[:, 1], size=sizes, kept=(table["word"] == chosen) | (not chosen)
    )
    return Chart(_cloud_spec(colour), data, name, _words(table, name))


@lru_cache(maxsize=64)  # the next view mostly shares its words with this one
def _places(words: tuple[str, ...], sizes: tuple[float, ...]) -> NDArray[np.float64]:
    return place_words(words, sizes, WIDTH, HEIGHT)


@lru_cache(maxsize=16)
def _cloud_spec(colour: str) -> Spec:
    words = (
        alt.Chart()
        .transform_filter("isValid(datum.x)")
        .mark_text(fontSize=FONT, fontWeight=600, cursor="pointer", baseline="middle")
        .encode(
            x=alt.X("x:Q", scale=alt.Scale(domain=[0, WIDTH], nice=False), axis=None),
            y=alt.Y("y:Q", scale=alt.Scale(domain=[HEIGHT, 0], nice=False), axis=None),
            size=alt.Size("size:Q", scale=None),
            text="word:N",
            color=alt.value(colour),
            opacity=standing_back(0.5),
            tooltip=_tooltip(),
        )
    )
    return finish(words.add_params(clicks("word")).properties(height=HEIGHT))


def word_bars(table: pd.DataFrame, name: str, colour: str, chosen: str = "") -> Chart:
    """The first words of ``table`` (word, z, count) as bars of z with the count. Selection
    parameter ``chosen`` has the field word.
    """
    first = table.head(MOST_BARS)
    label = [f"{count:,}" for count in first["count"]]
    return Chart(
        _bars_spec(colour),
        first.assign(label=label, kept=(first["word"] == chosen) | (not chosen)),
        name,
        _words(table, name),
    )


@lru_cache(maxsize=16)
def _bars_spec(colour: str) -> Spec:
    title = "z-score of the log-odds; the number is the count"
    base = alt.Chart().encode(
        y=alt.Y("word:N", sort=None, title=None),
        x=alt.X("z:Q", title=title, axis=alt.Axis(tickCount=4)),
        tooltip=_tooltip(),
    )
    bars = base.mark_bar(color=colour or HUE, cornerRadiusEnd=2, cursor="pointer").encode(
        opacity=standing_back()
    )
    return finish(
        labelled_bars(base, bars.add_params(clicks("word")), "z", title).properties(
            height=24 * MOST_BARS + 60
        )
    )


def _tooltip() -> list[str | alt.Tooltip]:
    return [
        "word:N",
        alt.Tooltip("count:Q", format=","),
        alt.Tooltip("z:Q", title="z-score", format=".1f"),
    ]


def _words(table: pd.DataFrame, name: str) -> str:
    listed = ", ".join(
        f"{word} ({count:,})"
        for word, count in zip(
            table["word"].head(MOST_BARS), table["count"].head(MOST_BARS), strict=True
        )
    )
    return f"Words that set {name} apart, surest first, with their count: {listed or 'none'}."


NARROW, WIDE = frozenset("iljtf.,'’|:;!()[]r1 "), frozenset("mwMW@—")
LINE = 1.12  # height of a line over the size of its letters
GAP = 3.0  # px between two words
TURNS, STEPS = 14, 560


def place_words(
    words: Sequence[str], sizes: Sequence[float], width: float, height: float
) -> NDArray[np.float64]:
    """Centres (n, 2) in px from the upper left corner; NaN for a word that finds no room. ``sizes``
    are those of the letters, in px.
    """
    places = np.full((len(words), 2), np.nan)
    halves = np.array(
        [
            [text_width(word) * size / 2, size * LINE / 2]
            for word, size in zip(words, sizes, strict=True)
        ]
    ).reshape(-1, 2)
    spiral = _spiral() * (width / 2, height / 2) + (width / 2, height / 2)
    across, down = spiral.T
    taken, boxes = np.empty((len(words), 2)), np.empty((len(words), 2))
    placed = 0
    for number, half in enumerate(halves):
        inside = ((spiral - half >= 0) & (spiral + half <= (width, height))).all(axis=1)
        room = boxes[:placed] + half + GAP / 2
        beside = np.abs(across[:, None] - taken[:placed, 0]) >= room[:, 0]  # (STEPS, placed)
        above = np.abs(down[:, None] - taken[:placed, 1]) >= room[:, 1]
        free = np.flatnonzero(inside & (beside | above).all(axis=1))
        if len(free):
            places[number] = taken[placed] = spiral[free[0]]
            boxes[placed] = half
            placed += 1
    return places


def text_width(text: str) -> float:
    """Estimated width of bold text over the size of its letters."""
    return sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.05
    if unicodedata.combining(letter):
        return 0.0
    return 0.36 if letter in NARROW else 0.95 if letter in WIDE else 0.63


@cache
def _spiral() -> NDArray[np.float64]:
    """Points (STEPS, 2) of an Archimedean spiral in the square from -1 to 1, evenly dense."""
    radius = np.sqrt(np.linspace(0, 1, STEPS))
    angle = radius * TURNS * 2 * np.pi
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
