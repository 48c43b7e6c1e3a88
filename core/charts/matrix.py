"""Charts of a confusion matrix, and of the difference of two on the same texts.

Rows are true classes, columns predicted classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Literal, get_args

import altair as alt
import numpy as np
import pandas as pd

from core.charts.base import (
    ACCENT,
    FONT,
    NARROW,
    SPARE,
    Chart,
    Spec,
    choose_head,
    finish,
    format_share,
    set_title,
    shorten,
)
from core.evaluation.scores import Scores, choose_confused
from core.translation import localize, mark, read_language, translate

CellsShow = Literal["counts", "per cent of row", "errors only"]
CELLS_SHOW: tuple[CellsShow, ...] = get_args(CellsShow)
TITLES: dict[CellsShow, str] = {
    "counts": mark("Confusion matrix (texts)"),
    "per cent of row": mark("Confusion matrix (per cent of each true class)"),
    "errors only": mark("Confusion matrix, errors only (texts)"),
}
# colors of no text and of all texts, on the light and the dark page
TILES = {False: ("#EDF3F8", "#084E8A"), True: ("#1E2B38", "#8CCBF5")}
DARK_TEXT, LIGHT_TEXT = "#000000", "#FFFFFF"
MOST_LABELED = 20  # classes; with more the cells are too small for numbers
MANY, SMALL_FONT = 30, 10  # classes, px: with more classes the names would overlap
TALLEST = 1_500  # px of a matrix of many classes
CROWDED = 10  # classes; with more the cells are small
LETTER, GAP = 7.6, 8  # px: mean width of a letter at FONT, and between two names
STEEP, NAMELESS = 20, 14  # px: names below narrower columns are vertical, or left out
NAME_LIMIT = f"({NARROW} ? 96 : 160)"  # px of a name before it is cut off
TALL_ROWS = 6  # classes; with more the rows are lower
MOST_LINES = 3  # of a name that is wrapped at its spaces
# px of the chart; a report has no page around it and is 640 px wide
ROOM = "(width > 0 ? (containerSize()[0] || 640) : 640)"


def draw_confusion_matrix(
    counts: np.ndarray,
    classes: Sequence[str],
    show: CellsShow = "counts",
    dark: bool = False,
    chosen: tuple[str, str] | None = None,
    drawn: Sequence[int] = (),
) -> Chart:
    """Draw a tile per pair of classes, with a frame around the cell ``chosen``, (true, predicted).

    ``counts`` is (C, C), true class first. ``drawn`` are the ids of the classes in their order;
    without them all up to 20 classes, or else the 20 with the most errors, and the table has all.
    Shades range from 0 to 1 for proportions, otherwise from 0 to the largest number. Selection
    parameter ``cell`` has the fields true and predicted, which are class names.
    """
    scores = Scores(counts)
    errors, shares = counts * (1 - np.eye(len(classes), dtype=counts.dtype)), scores.row_shares
    shade = {
        "counts": counts,
        "per cent of row": shares,
        "errors only": errors,
    }[show]
    ids = np.asarray(drawn if len(drawn) else choose_confused(counts, MOST_LABELED))
    names, part = [classes[index] for index in ids], np.ix_(ids, ids)
    tiles = shade[part] if show == "per cent of row" else _of_largest(shade[part])
    # without numbers no text needs a contrast
    data = pd.DataFrame(
        {
            **choose_tile_fields(names),
            "texts": counts[part].ravel(),
            "share": shares[part].ravel(),
            "shade": tiles.ravel(),
            "label": _label(counts[part], shares[part], show),
            "chosen": [cell == chosen for cell in product(names, names)],
            "on_dark": [
                len(ids) <= MOST_LABELED and choose_text_color(value, dark) == LIGHT_TEXT
                for value in tiles.ravel()
            ],
        }
    )
    whole = {**choose_tile_fields(classes), "texts": counts.ravel(), "share": shares.ravel()}
    title = translate(TITLES[show])
    return _describe_part(
        Chart(
            set_title(_matrix_spec(_measure(names), show, dark, read_language()), title),
            data,
            title,
            _words(scores, errors, classes),
            whole=None if len(ids) == len(classes) else pd.DataFrame(whole),
        ),
        len(ids),
        len(classes),
        int(errors.sum() - errors[part].sum()),
    )


@dataclass(frozen=True)
class NameSizes:
    """Number of class names, the letters of the longest name and word, the words of a name, and
    the ``head`` of ``base.shorten``.
    """

    names: int
    longest: int
    word: int
    words: int
    head: float = 0.5


def _measure(names: Sequence[str]) -> NameSizes:
    words = [name.split() or [""] for name in names]
    return NameSizes(
        len(names),
        max(map(len, names), default=0),
        max((len(word) for name in words for word in name), default=0),
        max(map(len, words), default=1),
        choose_head(names),
    )


def _describe_part(chart: Chart, drawn: int, classes: int, unseen: int) -> Chart:
    """Add to the title how many of the classes are drawn, and how many errors are not."""
    if drawn == classes:
        return chart
    part = translate("{drawn} of {all} classes", drawn=drawn, all=classes)
    title = f"{chart.title}: {part}"
    note = translate(
        "{n:,} errors involve other classes; the table has all of them."
        if unseen
        else "No error involves other classes; the table has all of them.",
        n=unseen,
    )
    spec = chart.spec | {"title": {"text": title, "subtitle": note}}
    return replace(chart, spec=spec, title=title, alt=f"{title}. {chart.alt} {note}", note=note)


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


def _label(counts: np.ndarray, shares: np.ndarray, show: CellsShow) -> list[str]:
    """Return the text of each cell; of many classes the empty cells have none, and shares have no
    decimals.
    """
    crowded = len(counts) > CROWDED
    if show == "per cent of row":
        labels = [
            f"{share:.0%}" if crowded else localize(format_share(share)) for share in shares.ravel()
        ]
    else:
        labels = [localize(f"{count:,}") for count in counts.ravel()]
    hidden = (counts == 0) & crowded
    if show == "errors only":
        hidden |= np.eye(len(counts), dtype=bool)
    return ["" if hide else label for label, hide in zip(labels, hidden.ravel(), strict=True)]


def _words(scores: Scores, errors: np.ndarray, classes: Sequence[str]) -> str:
    words = translate(
        "Confusion matrix of {n:,} texts, true classes in rows: {accuracy} correct.",
        n=scores.accuracy.n,
        accuracy=localize(str(scores.accuracy)),
    )
    if not errors.sum():
        return words
    true, predicted = divmod(int(errors.argmax()), len(classes))
    most = translate(
        "Most frequent error: {true} predicted as {predicted}, {n:,} texts.",
        true=classes[true],
        predicted=classes[predicted],
        n=int(errors.max()),
    )
    return f"{words} {most}"


def _measure_column(sizes: NameSizes) -> str:
    """Return the expression for the width of a column in px."""
    letter = LETTER if sizes.names <= MANY else LETTER * SMALL_FONT / FONT
    return f"(({ROOM} - min({letter * sizes.longest}, {NAME_LIMIT}) - 60) / {sizes.names})"


def _number_font(sizes: NameSizes) -> int | alt.ExprRef:
    """Return the size of the numbers in px: of many classes they fit into their column, or are left
    out.
    """
    usual, column = max(13, 22 - sizes.names), _measure_column(sizes)
    if sizes.names <= CROWDED:
        return usual
    return alt.ExprRef(f"{column} < {NAMELESS} ? 0 : min({usual}, {column} * 0.5 + 3)")


def _axes(sizes: NameSizes) -> dict[str, alt.X | alt.Y]:
    """Return the axes of a matrix, whose names never overlap at any width of the page.

    The names of the columns are in one line, else wrapped at their spaces, else at an angle. Where
    columns are too narrow only the rows have names: they are those of the columns too.
    """
    font = FONT if sizes.names <= MANY else SMALL_FONT
    letter = LETTER * font / FONT
    column = _measure_column(sizes)
    in_one_line = f"{column} > {letter * sizes.longest + GAP}"
    wrapped = f"{column} > {letter * sizes.word + GAP}" if sizes.words <= MOST_LINES else "false"
    level, steep = f"({in_one_line} || {wrapped})", f"{column} < {STEEP}"
    short = shorten(NAME_LIMIT, letter, sizes.head)
    lines = f"!({in_one_line}) && ({wrapped}) ? split(datum.label, ' ') : ({short})"
    lines = f"{column} < {NAMELESS} ? '' : {lines}"
    many, crowded = sizes.names > MANY, sizes.names > CROWDED
    usual = {"labelFontSize": font, "labelLimit": alt.ExprRef(f"{NAME_LIMIT} * {SPARE}")}
    across = alt.Axis(
        domain=False,
        ticks=False,
        labels=not many,
        labelAngle=alt.ExprRef(f"{level} ? 0 : {steep} ? -90 : -40"),
        # Vega-Lite derives them from a constant angle only
        labelAlign=alt.ExprRef(f"{level} ? 'center' : 'right'"),
        labelBaseline=alt.ExprRef(f"!{level} && {steep} ? 'middle' : 'top'"),
        labelExpr=lines,
        **usual,
    )
    return {
        "x": alt.X(
            "predicted:N",
            sort=None,
            title=[translate("predicted class"), translate("in the order of the rows")]
            if crowded
            else translate("predicted class"),
            axis=across,
        ),
        "y": alt.Y(
            "true:N",
            sort=None,
            title=translate("true class"),
            axis=alt.Axis(domain=False, ticks=False, labelExpr=_name_rows(sizes, short), **usual),
        ),
    }


def _name_rows(sizes: NameSizes, short: str) -> str:
    """Return the expression for the name of a row: the rows of few classes have room for a line per
    word.
    """
    few = sizes.names <= TALL_ROWS and sizes.words <= MOST_LINES
    fits = f"{LETTER * sizes.word} < {NAME_LIMIT} && {LETTER} * length(datum.label) > {NAME_LIMIT}"
    return f"{fits} ? split(datum.label, ' ') : ({short})" if few else short


def _compute_height(sizes: NameSizes) -> int:
    """Return the height in px; long names below the columns need room."""
    if sizes.names > MANY:
        return min(TALLEST, 100 + 14 * sizes.names)
    names = min(110, round(LETTER * sizes.longest * 0.7))
    return 80 + names + (66 if sizes.names <= TALL_ROWS else 34) * sizes.names


@cache
def _matrix_spec(sizes: NameSizes, show: CellsShow, dark: bool, language: str) -> Spec:
    cell = alt.selection_point(name="cell", fields=["true", "predicted"])
    size = sizes.names
    base = alt.Chart().encode(**_axes(sizes))
    scale = alt.Scale(domain=[0, 1], range=list(TILES[dark]), interpolate="rgb", clamp=True)
    framed = alt.when("datum.chosen")
    base = base.encode(
        tooltip=[
            alt.Tooltip("true:N", title=translate("true class")),
            alt.Tooltip("predicted:N", title=translate("predicted class")),
            alt.Tooltip("texts:Q", title=translate("texts"), format=","),
            alt.Tooltip("share:Q", title=translate("of the true class"), format=".1%"),
        ]
    )
    tiles = base.mark_rect(cursor="pointer", cornerRadius=2).encode(
        color=alt.Color("shade:Q", scale=scale, legend=None),
        stroke=framed.then(alt.value(ACCENT)).otherwise(alt.value("transparent")),
        strokeWidth=framed.then(alt.value(4)).otherwise(alt.value(0)),
    )
    numbers = base.mark_text(
        fontSize=_number_font(sizes), fontWeight="bold", cursor="pointer"
    ).encode(
        text="label:N",
        color=alt.when("datum.on_dark").then(alt.value(LIGHT_TEXT)).otherwise(alt.value(DARK_TEXT)),
    )
    layers = [tiles.add_params(cell), numbers] if size <= MOST_LABELED else [tiles.add_params(cell)]
    chart = alt.layer(*layers).properties(height=_compute_height(sizes))
    return finish(chart, language=language)


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

    Blue is better, more on the diagonal or fewer off it; orange is worse. Of more than 20 classes
    the 20 with the largest differences are drawn, and the table has all.
    """
    change = second - first
    sums = np.abs(change).sum(axis=0) + np.abs(change).sum(axis=1)
    # of many classes those that differ
    most = len(sums) if len(sums) <= MOST_LABELED else max(2, np.count_nonzero(sums))
    ids = np.sort(np.argsort(-sums, kind="stable")[: min(most, MOST_LABELED)])
    part, size = np.ix_(ids, ids), len(ids)
    whole = {**choose_tile_fields(classes), "first": first.ravel(), "second": second.ravel()}
    drawn, names_drawn = change[part], [classes[index] for index in ids]
    better = np.where(np.eye(size, dtype=bool), drawn, -drawn)
    strength = better / max(int(np.abs(drawn).max(initial=0)), 1)
    data = pd.DataFrame(
        {
            **choose_tile_fields(names_drawn),
            "first": first[part].ravel(),
            "second": second[part].ravel(),
            "change": drawn.ravel(),
            "shade": strength.ravel(),
            "label": [
                format_signed(value) if value or size <= CROWDED else "" for value in drawn.ravel()
            ],
            "on_dark": [(abs(value) > STRONG) != dark for value in strength.ravel()],
        }
    )
    title = translate(
        "{second} minus {first} (texts in each cell; blue is better, orange is worse)",
        second=names[1],
        first=names[0],
    )
    gained = int(np.trace(change))
    chart = Chart(
        set_title(_difference_spec(_measure(names_drawn), dark, read_language()), title),
        data,
        title,
        f"{title}: {translate('{change} on the diagonal', change=format_signed(gained))}.",
    )
    if size == len(classes):
        return chart
    note = translate(
        "The {n} of {all} classes with the largest differences; the table has all.",
        n=size,
        all=len(classes),
    )
    spec = chart.spec | {"title": {"text": title, "subtitle": note}}
    table = pd.DataFrame({**whole, "change": change.ravel()})
    return replace(chart, spec=spec, alt=f"{chart.alt} {note}", note=note, whole=table)


def format_signed(number: int) -> str:
    """Format an integer with its sign: ``+3``, ``−3``, ``0``."""
    return f"+{number:,}" if number > 0 else f"{number:,}".replace("-", "−")


@cache
def _difference_spec(sizes: NameSizes, dark: bool, language: str) -> Spec:
    base = alt.Chart().encode(
        **_axes(sizes),
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
    numbers = base.mark_text(fontSize=_number_font(sizes), fontWeight="bold").encode(
        text="label:N",
        color=alt.when("datum.on_dark").then(alt.value(LIGHT_TEXT)).otherwise(alt.value(DARK_TEXT)),
    )
    chart = alt.layer(tiles, numbers).properties(height=_compute_height(sizes))
    return finish(chart, language=language)
