"""Pictures of a dataset: how many texts each class has, and how long they are."""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.charts.chart import ACCENT, FONT, THEME_TEXT, Chart, Spec, class_colours, class_dashes, finish, labelled_bars, per_cent, titled

Lengths = NDArray[np.int64]

BINS = 40
LATE = 0.6  # share of the axis beyond which a label stands left of its rule
LONGEST_SHOWN = 0.995  # quantile: a handful of very long texts would squeeze all others into the first bins


def class_balance(table: pd.DataFrame, classes: Sequence[str], chosen: str | None = None) -> Chart:
    """Bars of texts per class and split. ``table``: class, split, texts, and where some bars stand back, a bool column ``kept``.

    Selection parameter ``chosen`` has the field class.
    """
    splits = tuple(dict.fromkeys(table["split"]))
    total, counts = int(table["texts"].sum()), table.groupby("class")["texts"].sum().reindex(list(classes), fill_value=0)
    data = table.assign(
        label=[f"{texts:,}" + (f" {split}" if len(splits) > 1 else "") for texts, split in zip(table["texts"], table["split"], strict=True)]
    )
    described = ", ".join(f"{name} {texts:,}" for name, texts in counts.items())
    return Chart(_balance_spec(tuple(classes), splits, chosen), data, "Texts per class", f"Texts per class, {total:,} in all: {described}.")


@lru_cache(maxsize=64)
def _balance_spec(classes: tuple[str, ...], splits: tuple[str, ...], chosen: str | None) -> Spec:
    picked = alt.selection_point(name="chosen", fields=["class"])
    base = alt.Chart().encode(
        x=alt.X("texts:Q", title="texts", axis=alt.Axis(format=",d", tickCount=4)),
        y=alt.Y("class:N", sort=list(classes), title=None),
        yOffset=alt.YOffset("split:N", sort=list(splits)),
    )
    scale = alt.Scale(domain=list(classes), range=class_colours(classes, chosen))
    strength = alt.Scale(domain=list(splits), range=np.linspace(1, 0.25, len(splits)).round(2).tolist())
    bars = base.mark_bar(cursor="pointer", strokeWidth=1.5).encode(
        color=alt.Color("class:N", scale=scale, legend=None),
        stroke=alt.Stroke("class:N", scale=scale, legend=None),  # the outline keeps a pale split visible
        fillOpacity=alt.FillOpacity("split:O", sort=list(splits), scale=strength, legend=None),
        opacity=alt.when("datum.kept === false").then(alt.value(0.3)).otherwise(alt.value(1)),
        tooltip=["class:N", "split:N", alt.Tooltip("texts:Q", format=",")],
    )
    height = len(classes) * max(34, 28 * len(splits) + 8) + 100
    return finish(labelled_bars(base, bars.add_params(picked), "texts", "texts").properties(height=height), "Texts per class")


def length_histogram(
    lengths: pd.DataFrame, classes: Sequence[str], unit: str, max_tokens: int | None = None, chosen: str | None = None
) -> Chart:
    """How long the texts of each class are, as a share of the class. ``lengths``: class, length, a line a text.

    ``unit`` is words, characters or tokens. With ``max_tokens`` a rule stands where texts are cut and says how many are.
    """
    title, spec, values = f"Text length in {unit}", _length_spec(tuple(classes), unit, chosen), lengths["length"].to_numpy(np.int64)
    edges = _edges(values)
    data, last = _binned(lengths, classes, edges), int(edges[-1]) - 1
    beyond = int((values > last).sum())
    notes = [f"{beyond:,} longer than {last:,} {unit} are not shown."] if beyond else []
    if max_tokens is not None and values.size:
        cut = per_cent(float((values > max_tokens).mean())) if (values > max_tokens).any() else "None"
        notes.insert(0, f"{cut[0].upper()}{cut[1:]} of the texts {'is' if cut == 'None' else 'are'} cut at {max_tokens:,} {unit}.")
        if max_tokens <= last:
            label = f"{max_tokens:,} {unit}: {cut} cut"
            limit = {"kind": "limit", "middle": float(max_tokens), "label": label, "late": max_tokens > last * LATE}
            data = pd.concat([data, pd.DataFrame([limit])], ignore_index=True)
    note, medians = " ".join(notes), lengths.groupby("class")["length"].median().reindex(list(classes)).dropna()
    words = "Median: " + ", ".join(f"{name} {length:,.0f}" for name, length in medians.items()) if values.size else "No texts"
    return Chart(titled(spec, title), data, title, f"{title}. {words}. {note}".strip(), note)


def _edges(values: Lengths) -> Lengths:
    """Bounds of bins of equal whole width that hold all but the very longest texts; each bin holds its lower bound."""
    top = int(np.quantile(values, LONGEST_SHOWN)) + 1 if values.size else 1
    width = ceil(top / BINS)
    return np.arange(0, top + width, width, dtype=np.int64)


def _binned(lengths: pd.DataFrame, classes: Sequence[str], edges: Lengths) -> pd.DataFrame:
    present = [name for name in classes if (lengths["class"] == name).any()]  # no line along zero for a class that is filtered out
    parts = []
    for name in present or classes:
        mine = lengths.loc[lengths["class"] == name, "length"].to_numpy(np.int64)
        texts = np.histogram(mine[mine < edges[-1]], edges)[0]
        part = {"class": name, "from": edges[:-1], "to": edges[1:] - 1, "middle": (edges[:-1] + edges[1:] - 1) / 2, "texts": texts}
        parts.append(pd.DataFrame(part).assign(share=texts / max(len(mine), 1), kind="bin", label=""))
    return pd.concat(parts, ignore_index=True)


@lru_cache(maxsize=64)
def _length_spec(classes: tuple[str, ...], unit: str, chosen: str | None) -> Spec:
    few = len(classes) <= 4
    legend = alt.Legend(title=None, orient="top", symbolType="stroke") if few else None
    base = alt.Chart().encode(x=alt.X("middle:Q", title=unit, scale=alt.Scale(nice=False), axis=alt.Axis(tickCount=8)))
    lines = base.transform_filter("datum.kind === 'bin'").mark_line(interpolate="monotone", strokeWidth=2.5)
    lines = lines.encode(
        y=alt.Y("share:Q", title="share of the class", axis=alt.Axis(format=".0%", tickCount=5)),
        color=alt.Color("class:N", scale=alt.Scale(domain=list(classes), range=class_colours(classes, chosen)), legend=legend),
        strokeDash=alt.StrokeDash("class:N", scale=alt.Scale(domain=list(classes), range=class_dashes(classes)), legend=legend),
        tooltip=["class:N", "from:Q", "to:Q", alt.Tooltip("texts:Q", format=","), alt.Tooltip("share:Q", format=".1%")],
    )
    limit = base.transform_filter("datum.kind === 'limit'")
    rule = limit.mark_rule(color=ACCENT, strokeWidth=2, strokeDash=[4, 4])
    labels = [
        limit.transform_filter(which)
        .mark_text(align=align, baseline="top", dx=dx, y=2, fontSize=FONT)
        .encode(text="label:N", color=alt.value(THEME_TEXT))
        for which, align, dx in (("datum.late", "right", -6), ("!datum.late", "left", 6))
    ]
    return finish(alt.layer(lines, rule, *labels).properties(height=360))
