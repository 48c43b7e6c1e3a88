"""Charts of a dataset: texts per class, text lengths, and texts truncated at a token limit."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import altair as alt
import numpy as np
import pandas as pd

from core.charts.base import (
    ACCENT,
    FONT,
    HUE,
    THEME_TEXT,
    Chart,
    Spec,
    choose_class_colors,
    choose_class_dashes,
    draw_labeled_bars,
    fade_unchosen,
    finish,
    format_share,
    make_click_selection,
    make_name_axis,
    set_title,
)
from core.data.explore.statistics import CutCount, Histogram
from core.translation import (
    format_number,
    localize,
    mark,
    read_language,
    translate,
    translate_plural,
)

LATE = 0.6  # part of the axis beyond which a label is to the left of its rule
MOST_LINES = 4  # classes with a line each; more share one line, and the box plots show them
ALL = mark("all selected")
BALANCE = mark("Texts per class")
LENGTH_TITLES = {
    "tokens": mark("Text length in tokens"),
    "words": mark("Text length in words"),
    "characters": mark("Text length in characters"),
}
BOX_TITLES = {
    "tokens": mark("Length per class in tokens"),
    "words": mark("Length per class in words"),
    "characters": mark("Length per class in characters"),
}
BOX_NUMBERS = {
    "low": mark("low"),
    "lower": mark("lower"),
    "median": mark("median"),
    "upper": mark("upper"),
    "high": mark("high"),
    "longest": mark("longest"),
    "texts": mark("texts"),
}
MANY = 20  # classes; the bars of more are thinner


def draw_class_balance(
    table: pd.DataFrame, classes: Sequence[str], chosen: str | None = None
) -> Chart:
    """Draw bars of texts per class and split. ``table``: class, split, texts, and a bool column
    ``kept`` if some bars are faded, in the order of the bars.

    Selection parameter ``chosen`` has the field class.
    """
    splits = tuple(dict.fromkeys(table["split"]))
    total, counts = (
        int(table["texts"].sum()),
        table.groupby("class")["texts"].sum().reindex(list(classes), fill_value=0),
    )
    data = table.assign(
        label=[
            format_number(texts, ",") + (f" {translate(split)}" if len(splits) > 1 else "")
            for texts, split in zip(table["texts"], table["split"], strict=True)
        ]
    )
    described = ", ".join(f"{name} {format_number(n, ',')}" for name, n in counts.items())
    return Chart(
        _balance_spec(tuple(classes), splits, chosen, read_language()),
        data,
        translate(BALANCE),
        translate("Texts per class, {total:,} in all: {texts}.", total=total, texts=described),
    )


@lru_cache(maxsize=64)
def _balance_spec(
    classes: tuple[str, ...], splits: tuple[str, ...], chosen: str | None, language: str
) -> Spec:
    texts = translate("texts")
    base = alt.Chart().encode(
        x=alt.X("texts:Q", title=texts, axis=alt.Axis(format=",d", tickCount=4)),
        # the order of the table
        y=alt.Y("class:N", sort=None, title=None, axis=make_name_axis(classes)),
        yOffset=alt.YOffset("split:N", sort=list(splits)),
    )
    scale = alt.Scale(domain=list(classes), range=choose_class_colors(classes, chosen))
    strength = alt.Scale(
        domain=list(splits), range=np.linspace(1, 0.25, len(splits)).round(2).tolist()
    )
    bars = base.mark_bar(cursor="pointer", strokeWidth=1.5).encode(
        color=alt.Color("class:N", scale=scale, legend=None),
        # the outline keeps a pale split visible
        stroke=alt.Stroke("class:N", scale=scale, legend=None),
        fillOpacity=alt.FillOpacity("split:O", sort=list(splits), scale=strength, legend=None),
        opacity=fade_unchosen(),
        tooltip=[
            _name_class(),
            alt.Tooltip("split:N", title=translate("split")),
            alt.Tooltip("texts:Q", title=texts, format=","),
        ],
    )
    bar = 28 if len(classes) <= MANY else 20
    height = len(classes) * max(bar, bar * len(splits) + 8) + 100
    return finish(
        draw_labeled_bars(
            base, bars.add_params(make_click_selection("class")), "texts", texts
        ).properties(height=height),
        translate(BALANCE),
        language,
    )


def _name_class() -> alt.Tooltip:
    return alt.Tooltip("class:N", title=translate("class"))


def draw_length_histogram(
    histogram: Histogram,
    classes: Sequence[str],
    unit: str,
    selected: tuple[int, int] | None = None,
) -> Chart:
    """Draw the lengths of texts as proportions of each class; with more than four classes as one
    line.

    ``unit`` is words, characters or tokens; bins within the range ``selected`` are shaded.
    Selection parameter ``chosen`` has the fields from and to of a bin.
    """
    title, edges = translate(LENGTH_TITLES[unit]), histogram.edges
    names = {label: name for label, name in enumerate(classes) if histogram.texts[:, label].any()}
    lines = (
        {name: histogram.texts[:, label] for label, name in names.items()}
        if len(classes) <= MOST_LINES
        else {translate(ALL): histogram.texts.sum(axis=1)}
    )
    bins = {"from": edges[:-1], "to": edges[1:] - 1, "middle": (edges[:-1] + edges[1:] - 1) / 2}
    low, high = selected or (0, -1)
    within, blank, every = (
        (edges[:-1] <= high) & (edges[1:] > low),
        np.full(len(edges) - 1, np.nan),
        histogram.texts.sum(axis=1),
    )
    repeats = len(lines) + 1  # a line per class, and a layer to click on
    data = pd.DataFrame(
        {
            "class": np.repeat([*lines, translate(ALL)], len(blank)),
            **{name: np.tile(values, repeats) for name, values in bins.items()},
            "texts": np.concatenate([*lines.values(), every]),
            "share": np.concatenate(
                [*(texts / max(texts.sum(), 1) for texts in lines.values()), blank]
            ),
            "kind": np.repeat(["bin", "hit"], [len(blank) * len(lines), len(blank)]),
            "kept": np.concatenate([np.full(len(blank) * len(lines), None, object), within]),
        }
    )
    note, words = _describe_lengths(histogram, unit)
    return Chart(
        set_title(_length_spec(tuple(classes), unit, read_language()), title),
        data,
        title,
        f"{title}. {words} {note}".strip(),
        note,
    )


def _describe_lengths(histogram: Histogram, unit: str) -> tuple[str, str]:
    """Return a sentence on the texts that are not shown, empty if all are, and one on all texts."""
    total = int(histogram.texts.sum()) + histogram.beyond
    facts = {"longest": histogram.longest, "unit": translate(unit)}
    note = (
        translate_plural(
            "{n:,} text longer than {longest:,} {unit} is not shown.",
            "{n:,} texts longer than {longest:,} {unit} are not shown.",
            histogram.beyond,
            **facts,
        )
        if histogram.beyond
        else ""
    )
    words = (
        translate("{total:,} texts, most of them up to {longest:,} {unit}.", total=total, **facts)
        if total
        else translate("No texts.")
    )
    return note, words


@lru_cache(maxsize=64)
def _length_spec(classes: tuple[str, ...], unit: str, language: str) -> Spec:
    title = translate(unit)
    domain = classes if len(classes) <= MOST_LINES else (translate(ALL),)
    legend = alt.Legend(title=None, orient="top", symbolType="stroke") if len(domain) > 1 else None
    base = alt.Chart().encode(
        x=alt.X("middle:Q", title=title, scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=8))
    )
    tooltip = [
        _name_class(),
        alt.Tooltip("from:Q", title=translate("from")),
        alt.Tooltip("to:Q", title=translate("to")),
        alt.Tooltip("texts:Q", title=translate("texts"), format=","),
        alt.Tooltip("share:Q", title=translate("share"), format=".1%"),
    ]
    curves = base.transform_filter("datum.kind === 'bin'").mark_line(
        interpolate="monotone", strokeWidth=2.5
    )
    curves = curves.encode(
        y=alt.Y(
            "share:Q",
            title=translate("share of the class" if len(domain) > 1 else "share"),
            axis=alt.Axis(format=".0%", tickCount=5),
        ),
        color=alt.Color(
            "class:N",
            scale=alt.Scale(domain=list(domain), range=choose_class_colors(domain)),
            legend=legend,
        ),
        strokeDash=alt.StrokeDash(
            "class:N",
            scale=alt.Scale(domain=list(domain), range=choose_class_dashes(domain)),
            legend=legend,
        ),
    )
    hits = (
        alt.Chart().transform_filter("datum.kind === 'hit'").mark_rect(cursor="pointer", fill=HUE)
    )
    hits = hits.transform_calculate(
        end="datum.to + 1"
    ).encode(
        x=alt.X("from:Q", title=title),
        x2="end:Q",
        y=alt.value(0),
        y2=alt.value("height"),
        opacity=alt.when("datum.kept")
        .then(alt.value(0.16))
        .otherwise(alt.value(0.001)),  # invisible, but reacts to a click
        tooltip=tooltip[1:4],
    )
    return finish(
        alt.layer(curves, hits.add_params(make_click_selection("from", "to"))).properties(
            height=300
        ),
        language=language,
    )


def draw_length_boxes(table: pd.DataFrame, classes: Sequence[str], unit: str) -> Chart:
    """Draw a box per class. ``table``: class, texts, low, lower, median, upper, high, longest, and
    a bool column ``kept``.

    The box covers the middle half, the line 90 % of the texts. Selection parameter ``chosen`` has
    the field class.
    """
    title = translate(BOX_TITLES[unit])
    words = ", ".join(
        f"{name} {format_number(median, ',.0f')}"
        for name, median in zip(table["class"], table["median"], strict=True)
    )
    return Chart(
        set_title(_box_spec(tuple(classes), unit, read_language()), title),
        table,
        title,
        translate("{title}. Median: {texts}.", title=title, texts=words or translate("no texts")),
    )


@lru_cache(maxsize=64)
def _box_spec(classes: tuple[str, ...], unit: str, language: str) -> Spec:
    scale = alt.Scale(domain=list(classes), range=choose_class_colors(classes))
    numbers = [
        alt.Tooltip(f"{name}:Q", title=translate(title), format=",")
        for name, title in BOX_NUMBERS.items()
    ]
    y = alt.Y(
        "class:N",
        sort=list(classes),
        title=None,
        scale=alt.Scale(domain=list(classes)),
        axis=make_name_axis(classes),
    )
    base = alt.Chart().encode(
        y=y,
        color=alt.Color("class:N", scale=scale, legend=None),
        opacity=fade_unchosen(),
        tooltip=[_name_class(), *numbers],
    )
    axis = alt.X("low:Q", title=translate(unit), axis=alt.Axis(format=",d", tickCount=6))
    line = base.mark_rule(strokeWidth=2).encode(x=axis, x2="high:Q")
    few = len(classes) <= MANY
    box = base.mark_bar(size=18 if few else 13, cornerRadius=2, cursor="pointer").encode(
        x=alt.X("lower:Q"), x2="upper:Q"
    )
    middle = base.mark_tick(size=22 if few else 16, thickness=3).encode(
        x="median:Q", color=alt.value(THEME_TEXT)
    )
    return finish(
        alt.layer(line, box.add_params(make_click_selection("class")), middle).properties(
            height=(34 if len(classes) <= MANY else 24) * len(classes) + 70
        ),
        language=language,
    )


def draw_cut_curve(
    table: pd.DataFrame, classes: Sequence[str], max_tokens: int, cut: CutCount
) -> Chart:
    """Draw the proportion of texts that each limit truncates. ``table``: max_tokens, class, share.
    A rule marks ``max_tokens``.
    """
    title = translate("Texts truncated at max tokens")
    share = localize(format_share(cut.share)) if cut.texts else translate("none")
    last = float(table["max_tokens"].max()) if len(table) else 1.0
    limit = {
        "max_tokens": max_tokens,
        "share": cut.share,
        "label": translate("{n:,} tokens: {share} truncated", n=max_tokens, share=share),
        "late": max_tokens > last * LATE,
        "kind": "limit",
    }
    table = table.assign(**{"class": table["class"].replace(ALL, translate(ALL))})
    data = pd.concat([table.assign(kind="curve"), pd.DataFrame([limit])], ignore_index=True)
    names = tuple(dict.fromkeys(table["class"]))
    described = translate(
        "With {limit:,} tokens {cut:,} of {n:,} texts are truncated, {share}.",
        limit=max_tokens,
        cut=cut.texts,
        n=cut.n,
        share=share,
    )
    spec = _naming(_cut_spec(tuple(classes), read_language()), names)
    return Chart(set_title(spec, title), data, title, f"{title}. {described}")


def _naming(spec: Spec, names: Sequence[str]) -> Spec:
    """Return ``spec`` with ``names`` in its legend; building a spec per choice of classes would
    take 45 ms.
    """
    (lines, *others), channels = cast(list[dict[str, Any]], spec["layer"]), ("color", "strokeDash")
    legends = {
        name: {**how, "legend": how["legend"] and {**how["legend"], "values": list(names)}}
        for name, how in lines["encoding"].items()
        if name in channels
    }
    return spec | {"layer": [{**lines, "encoding": {**lines["encoding"], **legends}}, *others]}


@lru_cache(maxsize=64)
def _cut_spec(classes: tuple[str, ...], language: str) -> Spec:
    many = len(classes) > MOST_LINES
    domain = [translate(ALL)] if many else [*classes, translate(ALL)]
    colors = [HUE] if many else [*choose_class_colors(classes), THEME_TEXT]
    dashes = [(1, 0)] if many else [*choose_class_dashes(classes), (1, 0)]
    legend = alt.Legend(title=None, orient="top", symbolType="stroke") if not many else None
    base = alt.Chart().encode(
        x=alt.X("max_tokens:Q", title=translate("max tokens"), scale=alt.Scale(nice=False)),
        y=alt.Y(
            "share:Q",
            title=translate("proportion truncated"),
            axis=alt.Axis(format=".0%", tickCount=5),
            scale=alt.Scale(domain=[0, 1]),
        ),
    )
    lines = base.transform_filter("datum.kind === 'curve'").mark_line(strokeWidth=2.5)
    lines = lines.encode(
        color=alt.Color("class:N", scale=alt.Scale(domain=domain, range=colors), legend=legend),
        strokeDash=alt.StrokeDash(
            "class:N", scale=alt.Scale(domain=domain, range=dashes), legend=legend
        ),
        tooltip=[
            _name_class(),
            alt.Tooltip("max_tokens:Q", title=translate("max tokens")),
            alt.Tooltip("share:Q", title=translate("share"), format=".1%"),
        ],
    )
    limit = base.transform_filter("datum.kind === 'limit'")
    rule = limit.mark_rule(color=ACCENT, strokeWidth=2, strokeDash=[4, 4]).encode(
        y=alt.value(0), y2=alt.value("height")
    )
    return finish(
        alt.layer(
            lines,
            rule,
            limit.mark_point(color=ACCENT, filled=True, size=90, opacity=1),
            *_label_limit(limit),
        ).properties(height=300),
        language=language,
    )


def _label_limit(limit: alt.Chart) -> list[alt.Chart]:
    """Draw the label of the limit, on the side with more room."""
    return [
        limit.transform_filter(which)
        .mark_text(align=align, baseline="top", dx=dx, fontSize=FONT)
        .encode(y=alt.value(2), text="label:N", color=alt.value(THEME_TEXT))
        for which, align, dx in (("datum.late", "right", -8), ("!datum.late", "left", 8))
    ]
