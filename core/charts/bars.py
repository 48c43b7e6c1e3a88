"""Bar charts: probabilities of a text, trained parameters, and the classes of repeated patterns."""

from collections.abc import Sequence
from functools import cache, lru_cache

import altair as alt
import pandas as pd

from core.charts.base import (
    FADED,
    FONT,
    HUE,
    THEME_TEXT,
    Chart,
    Spec,
    choose_class_colors,
    draw_labeled_bars,
    fade_unchosen,
    finish,
    format_share,
    make_click_selection,
    make_name_axis,
    set_title,
)
from core.data.explore.words import isolate
from core.translation import format_number, localize, read_language, translate

MOST_BARS = 8  # classes; of more the most probable ones are drawn, and the others as one bar
LIKELY = 5


def draw_probabilities(values: Sequence[float], classes: Sequence[str], name: str) -> Chart:
    """Draw a bar per class from 0 to 100 %, for one text and the run called ``name``; charts of
    several runs are shown side by side.

    Of more than eight classes the five most probable ones are drawn, and the others as one bar; the
    table has all.
    """
    ranked = sorted(range(len(values)), key=lambda index: -values[index])  # stable
    predicted = ranked[0]
    drawn = list(range(len(values))) if len(values) <= MOST_BARS else ranked[:LIKELY]
    bars = [(classes[index], float(values[index]), index == predicted) for index in drawn]
    whole = None
    if others := len(values) - len(drawn):
        rest = max(0.0, float(sum(values)) - sum(value for _, value, _ in bars))
        bars.append((translate("{n} other classes", n=others), rest, False))
        every = {"class": [classes[index] for index in ranked]}
        whole = pd.DataFrame(every | {"probability": [float(values[index]) for index in ranked]})
    data = pd.DataFrame(bars, columns=["class", "probability", "predicted"])
    data["label"] = [localize(format_share(value)) for value in data["probability"]]
    words = ", ".join(f"{label} {localize(format_share(value))}" for label, value, _ in bars)
    return Chart(
        set_title(_probability_spec(tuple(data["class"]), read_language()), name),
        data,
        name,
        translate("Class probabilities by {run}: {probabilities}.", run=name, probabilities=words),
        whole=whole,
    )


@lru_cache(maxsize=64)
def _probability_spec(classes: tuple[str, ...], language: str) -> Spec:
    colors = choose_class_colors(classes) if len(classes) <= 4 else [HUE] * len(classes)
    axis = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".0%")
    # room for the last label
    base = alt.Chart().encode(
        x=alt.X(
            "probability:Q",
            title=translate("probability"),
            scale=alt.Scale(domain=[0, 1.25]),
            axis=axis,
        ),
        y=alt.Y("class:N", sort=list(classes), title=None, axis=make_name_axis(classes)),
    )
    bars = base.mark_bar(cornerRadiusEnd=2).encode(
        color=alt.Color(
            "class:N", scale=alt.Scale(domain=list(classes), range=colors), legend=None
        ),
        tooltip=[
            alt.Tooltip("class:N", title=translate("class")),
            alt.Tooltip("probability:Q", title=translate("probability"), format=".2%"),
        ],
    )
    numbers = [
        base.transform_filter(which)
        .mark_text(align="left", dx=6, fontSize=FONT, fontWeight=weight)
        .encode(text="label:N", color=alt.value(THEME_TEXT))
        for which, weight in (("datum.predicted", "bold"), ("!datum.predicted", "normal"))
    ]
    chart = alt.layer(bars, *numbers).properties(height=38 * len(classes) + 90)
    return finish(chart, language=language)


def draw_trainable_bar(trainable: int, total: int) -> Chart:
    """Draw one bar of all parameters, with the trained part first."""
    frozen, share = total - trainable, format_share(trainable / total)
    data = pd.DataFrame(
        {
            "part": [translate("trained"), translate("frozen")],
            "parameters": [trainable, frozen],
            "label": [
                translate("trained {parameters:,}", parameters=trainable),
                translate("frozen {parameters:,}", parameters=frozen),
            ],
            "order": [0, 1],
        }
    )
    title = translate(
        "{share} of {total:,} parameters are trained", share=localize(share), total=total
    )
    details = translate("{trained:,}; {frozen:,} stay frozen.", trained=trainable, frozen=frozen)
    return Chart(
        set_title(_trainable_spec(), title),
        data,
        title,
        f"{title}: {details}",
    )


@cache
def _trainable_spec() -> Spec:
    legend = alt.Legend(title=None, orient="bottom", symbolType="square", offset=4)
    bar = (
        alt.Chart()
        .mark_bar(height=24)
        .encode(
            x=alt.X("parameters:Q", stack="normalize", axis=None),
            color=alt.Color(
                "label:N", sort=None, scale=alt.Scale(range=[HUE, FADED]), legend=legend
            ),
            order=alt.Order("order:Q"),
            tooltip=["part:N", alt.Tooltip("parameters:Q", format=",")],
        )
    )
    return finish(bar.properties(height=140))


def draw_trainable_modules(table: pd.DataFrame) -> Chart:
    """Draw the trained parameters of each module. ``table``: module, parameters, in the order of
    the bars.
    """
    data = table.assign(label=[f"{parameters:,}" for parameters in table["parameters"]])
    words = ", ".join(
        f"{module} {label}" for module, label in zip(data["module"], data["label"], strict=True)
    )
    title = "Trained parameters per module"
    return Chart(_modules_spec(len(table)), data, title, f"{title}: {words}.")


@cache
def _modules_spec(modules: int) -> Spec:
    base = alt.Chart().encode(
        x=alt.X("parameters:Q", title="parameters", axis=alt.Axis(format=",d", tickCount=4)),
        y=alt.Y("module:N", sort=None, title=None, axis=alt.Axis(labelLimit=320)),
    )
    bars = base.mark_bar(color=HUE).encode(
        tooltip=["module:N", alt.Tooltip("parameters:Q", format=",")]
    )
    return finish(
        draw_labeled_bars(base, bars, "parameters", "parameters").properties(
            height=28 * modules + 100
        ),
        "Trained parameters per module",
    )


MOST_COLORED = 4


def draw_pattern_bars(table: pd.DataFrame, classes: Sequence[str], chosen: str = "") -> Chart:
    """Draw a bar per pattern, divided into the classes of its texts. ``table`` is the result of
    ``boilerplate.evidence``, in the order of the bars.

    With more than four classes a bar shows the most likely class against the rest. Selection
    parameter ``chosen`` has the field pattern.
    """
    parts, parted = [], _name_parts()
    for line in table.to_dict("records"):
        name = classes[int(line["top"])]
        texts = format_number(line["texts"], ",")
        label = f"{texts} · {isolate(name)} {localize(format_ratio(line['ratio']))}"
        counts = {other: line[f"class {number}"] for number, other in enumerate(classes)}
        if len(classes) > MOST_COLORED:
            counts = dict(zip(parted, (counts[name], line["texts"] - counts[name]), strict=True))
        parts += [
            (line["pattern"], part, texts, texts / line["texts"], label, number)
            for number, (part, texts) in enumerate(counts.items())
        ]
    data = pd.DataFrame(parts, columns=["pattern", "class", "texts", "share", "label", "order"])
    data["kept"] = (data["pattern"] == chosen) | (not chosen)
    title = translate("Classes of the texts with each pattern")
    first = [
        translate(
            "{pattern} in {texts:,} texts, {name} {ratio}",
            pattern=line["pattern"],
            texts=line["texts"],
            name=classes[int(line["top"])],
            ratio=localize(format_ratio(line["ratio"])),
        )
        for line in table.head(5).to_dict("records")
    ]
    names = tuple(classes) if len(classes) <= MOST_COLORED else parted
    return Chart(
        _pattern_spec(names, read_language()) | {"height": 26 * len(table) + 90},
        data,
        title,
        f"{title}: {'; '.join(first) or translate('none found')}.",
    )


def _name_parts() -> tuple[str, str]:
    return translate("likeliest class"), translate("other classes")


def format_ratio(ratio: float) -> str:
    """Format a likelihood ratio: ``× 3.2``, ``× 410``."""
    return f"× {ratio:,.1f}" if ratio < 10 else f"× {ratio:,.0f}"


@lru_cache(maxsize=64)
def _pattern_spec(names: tuple[str, ...], language: str) -> Spec:
    colors = [HUE, FADED] if names == _name_parts() else choose_class_colors(names)
    legend = alt.Legend(title=None, orient="top", symbolType="square")
    y = alt.Y("pattern:N", sort=None, title=None, axis=alt.Axis(labelLimit=180))
    base = alt.Chart().encode(y=y)
    bars = base.mark_bar(cursor="pointer").encode(
        opacity=fade_unchosen(),
        x=alt.X(
            "share:Q",
            title=translate("share of the texts with it"),
            scale=alt.Scale(domain=[0, 1.75]),
            axis=alt.Axis(values=[0, 0.5, 1], format=".0%"),
        ),
        color=alt.Color(
            "class:N", scale=alt.Scale(domain=list(names), range=colors), legend=legend
        ),
        order="order:Q",
        tooltip=[
            alt.Tooltip("pattern:N", title=translate("pattern")),
            alt.Tooltip("class:N", title=translate("class")),
            alt.Tooltip("texts:Q", title=translate("texts"), format=","),
            alt.Tooltip("share:Q", title=translate("share"), format=".1%"),
        ],
    )
    labels = base.transform_filter("datum.order === 0").mark_text(align="left", dx=8, fontSize=FONT)
    labels = labels.encode(x=alt.datum(1), text="label:N", color=alt.value(THEME_TEXT))
    return finish(
        alt.layer(bars.add_params(make_click_selection("pattern")), labels), language=language
    )
