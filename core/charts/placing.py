"""Where the words of a cloud stand: from the middle outwards along a spiral, each at the first place that is free.

The same words get the same places. Widths are estimates from the letters, because no browser is at hand; they err on the wide side.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

NARROW, WIDE = frozenset("iljtf.,'’|:;!()[]r1 "), frozenset("mwMW@—")
LINE = 1.12  # height of a line over the size of its letters
GAP = 3.0  # px between two words
TURNS, STEPS = 14, 560


def place_words(words: Sequence[str], sizes: Sequence[float], width: float, height: float) -> NDArray[np.float64]:
    """Centres (n, 2) in px from the upper left corner; NaN for a word that finds no room. ``sizes`` are those of the letters, in px."""
    places = np.full((len(words), 2), np.nan)
    halves = np.array([[text_width(word) * size / 2, size * LINE / 2] for word, size in zip(words, sizes, strict=True)]).reshape(-1, 2)
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
