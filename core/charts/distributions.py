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

LATE = 0.6  # part of the axis beyond which a label is to the left of its rule
MOST_LINES = 4  # classes with a line each; more share one line, and the box plots show them
ALL = "all selected"
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
            f"{texts:,}" + (f" {split}" if len(splits) > 1 else "")
            for texts, split in zip(table["texts"], table["split"], strict=True)
        ]
    )
    described = ", ".join(f"{name} {texts:,}" for name, texts in counts.items())
    return Chart(
        _balance_spec(tuple(classes), splits, chosen),
        data,
        "Texts per class",
        f"Texts per class, {total:,} in all: {described}.",
    )


@lru_cache(maxsize=64)
def _balance_spec(classes: tuple[str, ...], splits: tuple[str, ...], chosen: str | None) -> Spec:
    base = alt.Chart().encode(
        x=alt.X("texts:Q", title="texts", axis=alt.Axis(format=",d", tickCount=4)),
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
        tooltip=["class:N", "split:N", alt.Tooltip("texts:Q", format=",")],
    )
    bar = 28 if len(classes) <= MANY else 20
    height = len(classes) * max(bar, bar * len(splits) + 8) + 100
    return finish(
        draw_labeled_bars(
            base, bars.add_params(make_click_selection("class")), "texts", "texts"
        ).properties(height=height),
        "Texts per class",
    )


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
    title, edges = f"Text length in {unit}", histogram.edges
    names = {label: name for label, name in enumerate(classes) if histogram.texts[:, label].any()}
    lines = (
        {name: histogram.texts[:, label] for label, name in names.items()}
        if len(classes) <= MOST_LINES
        else {ALL: histogram.texts.sum(axis=1)}
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
            "class": np.repeat([*lines, ALL], len(blank)),
            **{name: np.tile(values, repeats) for name, values in bins.items()},
            "texts": np.concatenate([*lines.values(), every]),
            "share": np.concatenate(
                [*(texts / max(texts.sum(), 1) for texts in lines.values()), blank]
            ),
            "kind": np.repeat(["bin", "hit"], [len(blank) * len(lines), len(blank)]),
            "kept": np.concatenate([np.full(len(blank) * len(lines), None, object), within]),
        }
    )
    note = (
        f"{histogram.beyond:,} {'text' if histogram.beyond == 1 else 'texts'} longer than"
        f" {histogram.longest:,} {unit} {'is' if histogram.beyond == 1 else 'are'} not shown."
        if histogram.beyond
        else ""
    )
    total = int(histogram.texts.sum()) + histogram.beyond
    words = (
        f"{total:,} texts, most of them up to {histogram.longest:,} {unit}."
        if total
        else "No texts."
    )
    return Chart(
        set_title(_length_spec(tuple(classes), unit), title),
        data,
        title,
        f"{title}. {words} {note}".strip(),
        note,
    )


@lru_cache(maxsize=64)
def _length_spec(classes: tuple[str, ...], unit: str) -> Spec:
    domain = classes if len(classes) <= MOST_LINES else (ALL,)
    legend = alt.Legend(title=None, orient="top", symbolType="stroke") if len(domain) > 1 else None
    base = alt.Chart().encode(
        x=alt.X("middle:Q", title=unit, scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=8))
    )
    tooltip = [
        "class:N",
        "from:Q",
        "to:Q",
        alt.Tooltip("texts:Q", format=","),
        alt.Tooltip("share:Q", format=".1%"),
    ]
    curves = base.transform_filter("datum.kind === 'bin'").mark_line(
        interpolate="monotone", strokeWidth=2.5
    )
    curves = curves.encode(
        y=alt.Y(
            "share:Q",
            title="share of the class" if len(domain) > 1 else "share",
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
        x=alt.X("from:Q", title=unit),
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
        )
    )


def draw_length_boxes(table: pd.DataFrame, classes: Sequence[str], unit: str) -> Chart:
    """Draw a box per class. ``table``: class, texts, low, lower, median, upper, high, longest, and
    a bool column ``kept``.

    The box covers the middle half, the line 90 % of the texts. Selection parameter ``chosen`` has
    the field class.
    """
    title = f"Length per class in {unit}"
    words = ", ".join(
        f"{name} {median:,.0f}"
        for name, median in zip(table["class"], table["median"], strict=True)
    )
    return Chart(
        set_title(_box_spec(tuple(classes), unit), title),
        table,
        title,
        f"{title}. Median: {words or 'no texts'}.",
    )


@lru_cache(maxsize=64)
def _box_spec(classes: tuple[str, ...], unit: str) -> Spec:
    scale = alt.Scale(domain=list(classes), range=choose_class_colors(classes))
    numbers = [
        alt.Tooltip(f"{name}:Q", format=",")
        for name in ("low", "lower", "median", "upper", "high", "longest", "texts")
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
        tooltip=["class:N", *numbers],
    )
    axis = alt.X("low:Q", title=unit, axis=alt.Axis(format=",d", tickCount=6))
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
        )
    )


def draw_cut_curve(
    table: pd.DataFrame, classes: Sequence[str], max_tokens: int, cut: CutCount
) -> Chart:
    """Draw the proportion of texts that each limit truncates. ``table``: max_tokens, class, share.
    A rule marks ``max_tokens``.
    """
    title = "Texts truncated at max tokens"
    share = format_share(cut.share) if cut.texts else "none"
    last = float(table["max_tokens"].max()) if len(table) else 1.0
    limit = {
        "max_tokens": max_tokens,
        "share": cut.share,
        "label": f"{max_tokens:,} tokens: {share} truncated",
        "late": max_tokens > last * LATE,
        "kind": "limit",
    }
    data = pd.concat([table.assign(kind="curve"), pd.DataFrame([limit])], ignore_index=True)
    names = tuple(dict.fromkeys(table["class"]))
    alt_text = (
        f"{title}. With {max_tokens:,} tokens {cut.texts:,} of {cut.n:,} texts are truncated,"
        f" {share}."
    )
    return Chart(set_title(_naming(_cut_spec(tuple(classes)), names), title), data, title, alt_text)


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
def _cut_spec(classes: tuple[str, ...]) -> Spec:
    many = len(classes) > MOST_LINES
    domain = [ALL] if many else [*classes, ALL]
    colors = [HUE] if many else [*choose_class_colors(classes), THEME_TEXT]
    dashes = [(1, 0)] if many else [*choose_class_dashes(classes), (1, 0)]
    legend = alt.Legend(title=None, orient="top", symbolType="stroke") if not many else None
    base = alt.Chart().encode(
        x=alt.X("max_tokens:Q", title="max tokens", scale=alt.Scale(nice=False)),
        y=alt.Y(
            "share:Q",
            title="proportion truncated",
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
        tooltip=["class:N", "max_tokens:Q", alt.Tooltip("share:Q", format=".1%")],
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
        ).properties(height=300)
    )


def _label_limit(limit: alt.Chart) -> list[alt.Chart]:
    """Draw the label of the limit, on the side with more room."""
    return [
        limit.transform_filter(which)
        .mark_text(align=align, baseline="top", dx=dx, fontSize=FONT)
        .encode(y=alt.value(2), text="label:N", color=alt.value(THEME_TEXT))
        for which, align, dx in (("datum.late", "right", -8), ("!datum.late", "left", 8))
    ]
