"""Charts of the distinctive words of a class: bars, and a cloud with the most distinctive largest.

Words of a cloud are placed along a spiral from the middle outwards, each at the first free place,
so the same words get the same places. Without a browser, widths are estimated from the letters,
and are rather too wide.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.charts.base import (
    FONT,
    HUE,
    Chart,
    Spec,
    draw_labeled_bars,
    fade_unchosen,
    finish,
    make_click_selection,
)
from core.translation import format_number, read_language, translate

# px in which words are placed; on a wider page the gaps grow, and words never overlap
WIDTH, HEIGHT = 400, 250
SMALLEST, LARGEST = 15.0, 44.0  # font sizes in px
MOST_BARS = 12


def draw_word_cloud(table: pd.DataFrame, name: str, color: str, chosen: str = "") -> Chart:
    """Draw the words of ``table`` (word, z, count), sized by z. Selection parameter ``chosen`` has
    the field word.

    Words without a free place are only in the table.
    """
    strength = np.sqrt(table["z"].to_numpy(float))
    low, high = (strength.min(), strength.max()) if len(table) else (0.0, 1.0)
    sizes = SMALLEST + (LARGEST - SMALLEST) * (strength - low) / max(high - low, 1e-9)
    places = _places(tuple(table["word"]), tuple(sizes.tolist()))
    data = table.assign(
        x=places[:, 0], y=places[:, 1], size=sizes, kept=(table["word"] == chosen) | (not chosen)
    )
    return Chart(_cloud_spec(color, read_language()), data, name, _words(table, name))


@lru_cache(maxsize=64)  # the next view often has the same words
def _places(words: tuple[str, ...], sizes: tuple[float, ...]) -> NDArray[np.float64]:
    return place_words(words, sizes, WIDTH, HEIGHT)


@lru_cache(maxsize=16)
def _cloud_spec(color: str, language: str) -> Spec:
    words = (
        alt.Chart()
        .transform_filter("isValid(datum.x)")
        .mark_text(fontSize=FONT, fontWeight=600, cursor="pointer", baseline="middle")
        .encode(
            x=alt.X("x:Q", scale=alt.Scale(domain=[0, WIDTH], nice=False), axis=None),
            y=alt.Y("y:Q", scale=alt.Scale(domain=[HEIGHT, 0], nice=False), axis=None),
            size=alt.Size("size:Q", scale=None),
            text="word:N",
            color=alt.value(color),
            opacity=fade_unchosen(0.5),
            tooltip=_tooltip(),
        )
    )
    return finish(
        words.add_params(make_click_selection("word")).properties(height=HEIGHT), language=language
    )


def draw_word_bars(table: pd.DataFrame, name: str, color: str, chosen: str = "") -> Chart:
    """Draw the first words of ``table`` (word, z, count) as bars of z with the count. Selection
    parameter ``chosen`` has the field word.
    """
    first = table.head(MOST_BARS)
    label = [format_number(count, ",") for count in first["count"]]
    return Chart(
        _bars_spec(color, read_language()),
        first.assign(label=label, kept=(first["word"] == chosen) | (not chosen)),
        name,
        _words(table, name),
    )


@lru_cache(maxsize=16)
def _bars_spec(color: str, language: str) -> Spec:
    title = translate("z-score of the log-odds; the number is the count")
    base = alt.Chart().encode(
        y=alt.Y("word:N", sort=None, title=None),
        x=alt.X("z:Q", title=title, axis=alt.Axis(tickCount=4)),
        tooltip=_tooltip(),
    )
    bars = base.mark_bar(color=color or HUE, cornerRadiusEnd=2, cursor="pointer").encode(
        opacity=fade_unchosen()
    )
    return finish(
        draw_labeled_bars(
            base, bars.add_params(make_click_selection("word")), "z", title
        ).properties(height=24 * MOST_BARS + 60),
        language=language,
    )


def _tooltip() -> list[str | alt.Tooltip]:
    return [
        alt.Tooltip("word:N", title=translate("word")),
        alt.Tooltip("count:Q", title=translate("count"), format=","),
        alt.Tooltip("z:Q", title=translate("z-score"), format=".1f"),
    ]


def _words(table: pd.DataFrame, name: str) -> str:
    listed = ", ".join(
        f"{word} ({format_number(count, ',')})"
        for word, count in zip(
            table["word"].head(MOST_BARS), table["count"].head(MOST_BARS), strict=True
        )
    )
    return translate(
        "Distinctive words of {name}, most distinctive first, with their count: {words}.",
        name=name,
        words=listed or translate("none"),
    )


NARROW, WIDE = frozenset("iljtf.,'’|:;!()[]r1 "), frozenset("mwMW@—")
LINE = 1.12  # line height relative to the font size
GAP = 3.0  # px between two words
TURNS, STEPS = 14, 560


def place_words(
    words: Sequence[str], sizes: Sequence[float], width: float, height: float
) -> NDArray[np.float64]:
    """Return centers (n, 2) in px from the upper left corner; NaN for a word without a free place.
    ``sizes`` are font sizes in px.
    """
    places = np.full((len(words), 2), np.nan)
    halves = np.array(
        [
            [measure_text_width(word) * size / 2, size * LINE / 2]
            for word, size in zip(words, sizes, strict=True)
        ]
    ).reshape(-1, 2)
    spiral = _spiral() * (width / 2, height / 2) + (width / 2, height / 2)
    across, down = np.ascontiguousarray(spiral.T)
    # a row for each placed word, so that numpy's inner loop runs over all points (n, STEPS)
    blocked = np.empty((len(words), STEPS), dtype=bool)
    placed: list[int] = []
    for number, half in enumerate(halves):
        inside = ((spiral - half >= 0) & (spiral + half <= (width, height))).all(axis=1)
        room = halves[placed] + half + GAP / 2
        centers, rows = places[placed], blocked[: len(placed)]
        np.less(np.abs(across - centers[:, :1]), room[:, :1], out=rows)
        rows &= np.abs(down - centers[:, 1:]) < room[:, 1:]
        free = np.flatnonzero(inside & ~rows.any(axis=0))
        if len(free):
            places[number] = spiral[free[0]]
            placed.append(number)
    return places


def measure_text_width(text: str) -> float:
    """Estimate the width of bold text relative to the font size."""
    return sum(map(_letter_width, text))


def _letter_width(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.05
    if unicodedata.combining(letter):
        return 0.0
    return 0.36 if letter in NARROW else 0.95 if letter in WIDE else 0.63


@cache
def _spiral() -> NDArray[np.float64]:
    """Return evenly dense points (STEPS, 2) of an Archimedean spiral in the square from -1 to 1."""
    radius = np.sqrt(np.linspace(0, 1, STEPS))
    angle = radius * TURNS * 2 * np.pi
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)])
