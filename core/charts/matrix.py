"""Charts of a confusion matrix, and of the difference of two on the same texts.

Rows are true classes, columns predicted classes.
"""

from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Literal, get_args

import altair as alt
import numpy as np
import pandas as pd

from core.charts.base import ACCENT, FONT, Chart, Spec, finish, format_share, set_title
from core.evaluation.scores import Scores

CellsShow = Literal["counts", "per cent of row", "errors only"]
CELLS_SHOW: tuple[CellsShow, ...] = get_args(CellsShow)
TITLES: dict[CellsShow, str] = {
    "counts": "Confusion matrix (texts)",
    "per cent of row": "Confusion matrix (per cent of each true class)",
    "errors only": "Confusion matrix, errors only (texts)",
}
# colors of no text and of all texts, on the light and the dark page
TILES = {False: ("#EDF3F8", "#084E8A"), True: ("#1E2B38", "#8CCBF5")}
DARK_TEXT, LIGHT_TEXT = "#000000", "#FFFFFF"
MOST_LABELED = 20  # classes; with more the cells are too small for numbers
MANY, SMALL_FONT = 30, 10  # classes, px: with more classes the names would overlap


def draw_confusion_matrix(
    counts: np.ndarray,
    classes: Sequence[str],
    show: CellsShow = "counts",
    dark: bool = False,
    chosen: tuple[str, str] | None = None,
) -> Chart:
    """Draw a tile per pair of classes, with a frame around the cell ``chosen``, (true, predicted).

    ``counts`` is (C, C), true class first. Shades range from 0 to 1 for proportions, otherwise from
    0 to the largest number. Selection parameter ``cell`` has the fields true and predicted, which
    are class names.
    """
    scores = Scores(counts)
    size, errors = len(classes), counts * (1 - np.eye(len(classes), dtype=counts.dtype))
    shares = scores.row_shares
    shade = {
        "counts": _of_largest(counts),
        "per cent of row": shares,
        "errors only": _of_largest(errors),
    }[show]
    data = pd.DataFrame(
        {
            **choose_tile_fields(classes),
            "texts": counts.ravel(),
            "share": shares.ravel(),
            "shade": shade.ravel(),
            "label": _labels(counts, shares, show),
            "chosen": [cell == chosen for cell in product(classes, classes)],
            "on_dark": [choose_text_color(value, dark) == LIGHT_TEXT for value in shade.ravel()],
        }
    )
    return Chart(
        set_title(_matrix_spec(size, show, dark), TITLES[show]),
        data,
        TITLES[show],
        _words(scores, errors, classes),
    )


def choose_tile_fields(classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the fields true and predicted of each tile, row by row."""
    names = np.asarray(classes, dtype=object)
    return {"true": np.repeat(names, len(names)), "predicted": np.tile(names, len(names))}


def mix_tile_color(shade: float, dark: bool) -> tuple[int, int, int]:
    """Return red, green and blue of a tile as Vega draws it."""
    low, high = (tuple(int(color[i : i + 2], 16) for i in (1, 3, 5)) for color in TILES[dark])
    red, green, blue = (round(a + (b - a) * shade) for a, b in zip(low, high, strict=True))
    return red, green, blue


def choose_text_color(shade: float, dark: bool) -> str:
    """Return black or white, whichever has more contrast to the tile."""
    luminance = _luminance(mix_tile_color(shade, dark))
    # at equality both have the same contrast (WCAG 2.2, 1.4.3)
    return DARK_TEXT if (luminance + 0.05) ** 2 > 0.05 * 1.05 else LIGHT_TEXT


def _luminance(color: tuple[int, int, int]) -> float:
    channels = [
        part / 255 / 12.92 if part <= 10 else ((part / 255 + 0.055) / 1.055) ** 2.4
        for part in color
    ]
    return 0.2126 * channels[0] + 0.7152 * channels[1] + 0.0722 * channels[2]


def _of_largest(numbers: np.ndarray) -> np.ndarray:
    return numbers / max(int(numbers.max(initial=0)), 1)


def _labels(counts: np.ndarray, shares: np.ndarray, show: CellsShow) -> list[str]:
    if show == "per cent of row":
        return [format_share(share) for share in shares.ravel()]
    hidden = (
        np.eye(len(counts), dtype=bool).ravel()
        if show == "errors only"
        else np.zeros(counts.size, dtype=bool)
    )
    return [
        "" if hide else f"{count:,}" for count, hide in zip(counts.ravel(), hidden, strict=True)
    ]


def _words(scores: Scores, errors: np.ndarray, classes: Sequence[str]) -> str:
    words = (
        f"Confusion matrix of {scores.accuracy.n:,} texts, true classes in rows: {scores.accuracy}"
        " correct."
    )
    if not errors.sum():
        return words
    true, predicted = divmod(int(errors.argmax()), len(classes))
    return (
        f"{words} Most frequent error: {classes[true]} predicted as {classes[predicted]},"
        f" {errors.max():,} texts."
    )


@cache
def _matrix_spec(size: int, show: CellsShow, dark: bool) -> Spec:
    cell = alt.selection_point(name="cell", fields=["true", "predicted"])
    crowded = size > 6
    font = FONT if size <= MANY else SMALL_FONT
    base = alt.Chart().encode(
        x=alt.X(
            "predicted:N",
            sort=None,
            title="predicted class",
            axis=alt.Axis(
                labelAngle=-90 if size > MANY else -40 if crowded else 0,
                labelFontSize=font,
                domain=False,
                ticks=False,
            ),
        ),
        y=alt.Y(
            "true:N",
            sort=None,
            title="true class",
            axis=alt.Axis(labelFontSize=font, domain=False, ticks=False),
        ),
    )
    scale = alt.Scale(domain=[0, 1], range=list(TILES[dark]), interpolate="rgb", clamp=True)
    framed = alt.when("datum.chosen")
    base = base.encode(
        tooltip=[
            alt.Tooltip("true:N", title="true class"),
            alt.Tooltip("predicted:N", title="predicted"),
            alt.Tooltip("texts:Q", format=","),
            alt.Tooltip("share:Q", title="of the true class", format=".1%"),
        ]
    )
    tiles = base.mark_rect(cursor="pointer", cornerRadius=2).encode(
        color=alt.Color("shade:Q", scale=scale, legend=None),
        stroke=framed.then(alt.value(ACCENT)).otherwise(alt.value("transparent")),
        strokeWidth=framed.then(alt.value(4)).otherwise(alt.value(0)),
    )
    numbers = base.mark_text(
        fontSize=max(13, 22 - size), fontWeight="bold", cursor="pointer"
    ).encode(
        text="label:N",
        color=alt.when("datum.on_dark").then(alt.value(LIGHT_TEXT)).otherwise(alt.value(DARK_TEXT)),
    )
    layers = [tiles.add_params(cell), numbers] if size <= MOST_LABELED else [tiles.add_params(cell)]
    return finish(
        alt.layer(*layers).properties(
            height=(
                120 + 14 * size
                if size > MANY
                else min(640, 80 + 66 * size if not crowded else 120 + 40 * size)
            )
        )
    )


# worse, equal, better; the ends have a contrast of 4.5:1 to their text
TONES = {False: ("#8A3A00", "#F3F4F6", "#084E8A"), True: ("#F5A977", "#232A33", "#8CCBF5")}
# beyond this part of the largest difference a tile is dark on a light page, and light on a dark one
STRONG = 0.55


def draw_matrix_difference(
    first: np.ndarray,
    second: np.ndarray,
    classes: Sequence[str],
    names: tuple[str, str],
    dark: bool = False,
) -> Chart:
    """Draw the difference ``second`` minus ``first`` of each cell, both (C, C), true class first.

    Blue is better, more on the diagonal or fewer off it; orange is worse.
    """
    size, change = len(classes), second - first
    better = np.where(np.eye(size, dtype=bool), change, -change)
    strength = better / max(int(np.abs(change).max(initial=0)), 1)
    data = pd.DataFrame(
        {
            **choose_tile_fields(classes),
            "first": first.ravel(),
            "second": second.ravel(),
            "change": change.ravel(),
            "shade": strength.ravel(),
            "label": [format_signed(value) for value in change.ravel()],
            "on_dark": [(abs(value) > STRONG) != dark for value in strength.ravel()],
        }
    )
    title = f"{names[1]} minus {names[0]} (texts in each cell; blue is better, orange is worse)"
    gained = int(np.trace(change))
    return Chart(
        _difference_spec(size, dark),
        data,
        title,
        f"{title}: {format_signed(gained)} on the diagonal.",
    )


def format_signed(number: int) -> str:
    """Format an integer with its sign: ``+3``, ``−3``, ``0``."""
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
        y=alt.Y(
            "true:N",
            sort=None,
            title="true class",
            axis=alt.Axis(labelFontSize=font, domain=False, ticks=False),
        ),
        tooltip=[
            "true:N",
            "predicted:N",
            *(alt.Tooltip(f"{name}:Q", format=",") for name in ("first", "second", "change")),
        ],
    )
    scale = alt.Scale(domain=[-1, 0, 1], range=list(TONES[dark]), interpolate="rgb", clamp=True)
    tiles = base.mark_rect(cornerRadius=2).encode(
        color=alt.Color("shade:Q", scale=scale, legend=None)
    )
    numbers = base.mark_text(fontSize=max(13, 22 - size), fontWeight="bold").encode(
        text="label:N",
        color=alt.when("datum.on_dark").then(alt.value(LIGHT_TEXT)).otherwise(alt.value(DARK_TEXT)),
    )
    height = (
        120 + 14 * size
        if size > MANY
        else min(640, 80 + 66 * size if not crowded else 120 + 40 * size)
    )
    return finish(
        alt.layer(*([tiles, numbers] if size <= MOST_LABELED else [tiles])).properties(
            height=height
        )
    )
