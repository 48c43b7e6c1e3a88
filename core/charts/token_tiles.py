"""Charts of tokens: a text as tiles, attributions of its tokens, and tokens per word by class."""

from collections.abc import Sequence
from functools import cache, lru_cache

import altair as alt
import pandas as pd

from core.charts.base import (
    ACCENT,
    FADED,
    FONT,
    HUE,
    THEME_TEXT,
    Chart,
    Spec,
    choose_class_colors,
    finish,
    make_name_axis,
    name_labels,
    set_title,
)
from core.translation import format_number, mark, read_language, translate

LINE_UNITS = 64  # characters per line: fits next to the sidebar on a page of 900 px
LINE_PIXELS = 52
MOST_TILES = 400  # tokens; the table has all of them
MOST_TOKENS = 300  # tokens with attributions; the table has all of them
MOST_CLASSES = 20  # in the chart of tokens per word
KINDS = {mark("word"): HUE, mark("continued"): ACCENT, mark("special"): FADED}


def draw_token_tiles(table: pd.DataFrame, title: str) -> Chart:
    """Draw each token as a tile with its id, in reading order.

    ``table``: position, token, id, kind (word, continued, special), kept.
    """
    shown = table.head(MOST_TILES)
    lines, starts, ends = [], [], []
    line = at = 0
    for token, number in zip(shown["token"], shown["id"], strict=True):
        units = max(len(str(token)), len(str(number)), 2) + 2
        if at and at + units > LINE_UNITS:
            line, at = line + 1, 0
        lines.append(line)
        starts.append(at)
        ends.append(at + units - 0.5)
        at += units
    data = shown.assign(
        line=lines,
        start=starts,
        end=ends,
        middle=[(a + b) / 2 for a, b in zip(starts, ends, strict=True)],
    )
    words = " ".join(map(str, shown.loc[shown["kept"], "token"].head(40)))
    return Chart(
        _tiles_spec(line + 1, read_language()), data, title, f"{title}: {words}", _note(len(table))
    )


def _note(tokens: int) -> str:
    if tokens <= MOST_TILES:
        return ""
    return translate("The first {shown:,} of {n:,} tokens.", shown=MOST_TILES, n=tokens)


@cache
def _tiles_spec(lines: int, language: str) -> Spec:
    base = alt.Chart().encode(
        y=alt.Y("line:O", axis=None, scale=alt.Scale(domain=list(range(lines)), paddingInner=0.12)),
        opacity=alt.when("datum.kept").then(alt.value(1)).otherwise(alt.value(0.4)),
    )
    color = alt.Color(
        "kind:N",
        scale=alt.Scale(domain=list(KINDS), range=list(KINDS.values())),
        legend=alt.Legend(title=None, orient="top", labelExpr=name_labels(KINDS)),
    )
    span = alt.X("start:Q", axis=None, scale=alt.Scale(domain=[0, LINE_UNITS], nice=False))
    tiles = base.mark_rect(fillOpacity=0.14, strokeWidth=1.5, cornerRadius=3).encode(
        x=span,
        x2="end:Q",
        color=color,
        stroke=alt.Stroke(
            "kind:N", scale=alt.Scale(domain=list(KINDS), range=list(KINDS.values())), legend=None
        ),
        strokeDash=alt.when("datum.kept").then(alt.value([1, 0])).otherwise(alt.value([3, 3])),
        tooltip=[
            alt.Tooltip("position:Q", title=translate("position")),
            alt.Tooltip("token:N", title=translate("token")),
            "id:Q",
            alt.Tooltip("kept:N", title=translate("read by the model")),
        ],
    )
    middle = alt.X("middle:Q", axis=None, scale=alt.Scale(domain=[0, LINE_UNITS], nice=False))
    names = base.mark_text(fontSize=FONT - 1, dy=-8, font="monospace", fontWeight="bold").encode(
        x=middle, text="token:N", color=alt.value(THEME_TEXT)
    )
    numbers = base.mark_text(fontSize=FONT - 3, dy=10).encode(
        x=middle, text="id:Q", color=alt.value(THEME_TEXT)
    )
    chart = alt.layer(tiles, names, numbers).properties(height=LINE_PIXELS * lines + 40)
    return finish(chart, language=language)


def draw_tokens_per_word(table: pd.DataFrame, classes: Sequence[str]) -> Chart:
    """Draw a point per class at its tokens per word, with a bar for the middle 80 % of its texts;
    of more than 20 classes the 20 with the most.

    ``table``: class, ratio, low, high.
    """
    title = translate(
        "Tokens per word (point: all texts of the class; bar: the middle 80 % of texts)"
    )
    shown = table
    if len(classes) > MOST_CLASSES:
        shown = table.nlargest(MOST_CLASSES, "ratio").reset_index(drop=True)
        highest = translate(
            "the {shown} highest of {n:,} classes", shown=MOST_CLASSES, n=len(classes)
        )
        title = f"{title}; {highest}"
        classes = shown["class"].tolist()
    words = ", ".join(
        f"{name} {format_number(ratio, '.2f')}"
        for name, ratio in zip(shown["class"], shown["ratio"], strict=True)
    )
    return Chart(
        _ratio_spec(tuple(classes), read_language()),
        shown,
        title,
        f"{translate('Tokens per word')}: {words}.",
    )


@lru_cache(maxsize=16)
def _ratio_spec(classes: tuple[str, ...], language: str) -> Spec:
    base = alt.Chart().encode(
        y=alt.Y("class:N", sort=list(classes), title=None, axis=make_name_axis(classes)),
        color=alt.Color(
            "class:N",
            scale=alt.Scale(domain=list(classes), range=choose_class_colors(classes)),
            legend=None,
        ),
    )
    scale = alt.Scale(zero=False, nice=True)
    bars = base.mark_rule(strokeWidth=8, opacity=0.4).encode(
        x=alt.X(
            "low:Q", title=translate("Tokens per word"), scale=scale, axis=alt.Axis(tickCount=6)
        ),
        x2="high:Q",
    )
    points = base.mark_point(filled=True, size=140, opacity=1).encode(
        x=alt.X("ratio:Q", scale=scale),
        tooltip=[
            alt.Tooltip("class:N", title=translate("class")),
            alt.Tooltip("ratio:Q", title=translate("Tokens per word"), format=".2f"),
        ],
    )
    chart = alt.layer(bars, points).properties(height=34 * len(classes) + 80)
    return finish(chart, language=language)


MIDDLE = {False: "#F4F5F7", True: "#20262E"}


def draw_attributions(
    tokens: Sequence[str], values: Sequence[float], title: str, dark: bool = False
) -> Chart:
    """Draw each token as a tile: blue raises the logit of the class, orange lowers it.

    ``values`` are in logits.
    """
    rows, line, at = [], 0, 0
    most = max((abs(value) for value in values), default=0.0) or 1.0
    for place, (token, value) in enumerate(
        zip(tokens[:MOST_TOKENS], values[:MOST_TOKENS], strict=True)
    ):
        units = max(len(token), 5) + 2
        if at and at + units > LINE_UNITS:
            line, at = line + 1, 0
        rows.append(
            (
                place,
                token,
                round(value, 4),
                f"{value:+.2f}",
                value / most,
                line,
                at,
                at + units - 0.5,
                at + units / 2 - 0.25,
            )
        )
        at += units
    data = pd.DataFrame(
        rows,
        columns=["position", "token", "logits", "label", "shade", "line", "start", "end", "middle"],
    )
    strongest = sorted(zip(tokens, values, strict=True), key=lambda pair: -abs(pair[1]))[:8]
    words = ", ".join(f"{token} {value:+.2f}" for token, value in strongest)
    note = ""
    if len(tokens) > MOST_TOKENS:
        note = translate("The first {shown:,} of {n:,} tokens.", shown=MOST_TOKENS, n=len(tokens))
    return Chart(
        set_title(_spec(line + 1, dark), title), data, title, f"{title}. Strongest: {words}.", note
    )


@cache
def _spec(lines: int, dark: bool) -> Spec:
    scale = alt.Scale(
        domain=[-1, 0, 1], range=[ACCENT, MIDDLE[dark], HUE], interpolate="rgb", clamp=True
    )
    base = alt.Chart().encode(
        y=alt.Y("line:O", axis=None, scale=alt.Scale(domain=list(range(lines)), paddingInner=0.12))
    )
    tiles = base.mark_rect(fillOpacity=0.55, cornerRadius=3).encode(
        x=alt.X("start:Q", axis=None, scale=alt.Scale(domain=[0, LINE_UNITS], nice=False)),
        x2="end:Q",
        color=alt.Color("shade:Q", scale=scale, legend=None),
        tooltip=["position:Q", "token:N", alt.Tooltip("logits:Q", format="+.3f")],
    )
    middle = alt.X("middle:Q", axis=None, scale=alt.Scale(domain=[0, LINE_UNITS], nice=False))
    text = alt.value("#FFFFFF" if dark else "#1B2026")
    names = base.mark_text(fontSize=FONT - 1, dy=-8, font="monospace", fontWeight="bold").encode(
        x=middle, text="token:N", color=text
    )
    numbers = base.mark_text(fontSize=FONT - 3, dy=10).encode(x=middle, text="label:N", color=text)
    return finish(alt.layer(tiles, names, numbers).properties(height=48 * lines + 30))
