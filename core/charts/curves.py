"""Curves over training: loss, scores, probabilities of a text, and a map of easy and hard texts."""

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from math import ceil

import altair as alt
import numpy as np
import pandas as pd

from core.charts.base import (
    ACCENT,
    CLASS_COLORS,
    CLASS_SHAPES,
    FADED,
    FONT,
    HUE,
    THEME_TEXT,
    Chart,
    Spec,
    choose_class_colors,
    choose_class_dashes,
    finish,
    format_share,
    name_labels,
)
from core.evaluation.scores import Proportion
from core.translation import format_number, localize, mark, read_language, translate

LOSS = mark("Loss (nats per text)")
SERIES = mark("train"), mark("validation")
SCORES = mark("accuracy"), mark("macro-F1")
RAW_POINTS = 1000  # a screen has hardly more columns
SMOOTHED_SHARE = 0.04  # span of the moving average as a share of the curve so far
SMALLEST_LOSS = 1e-6  # a logarithm needs more than zero
# of the drawn range: a line of text has 16 px, axes and legend leave about 260 px, and the axis is
# longer than the range
LABEL_SHARE = 0.08
COLUMNS = ["step", "value", "series", "label", "low", "high"]


def draw_loss_curves(metrics: pd.DataFrame, log: bool = False) -> Chart:
    """Draw the training loss raw and smoothed, the validation loss as points, and the best
    checkpoint.

    ``metrics``: step, split (train or validation), loss, best; other columns are ignored. Without
    rows the chart is empty.
    """
    names, steps = metrics["split"].to_numpy(), metrics["step"].to_numpy(float)
    losses = metrics["loss"].to_numpy(float)
    trained = names == "train"
    train = pd.Series(losses[trained])
    smoothed = train.ewm(span=max(1.0, len(train) * SMOOTHED_SHARE)).mean()
    thin = slice(None, None, ceil(len(train) / RAW_POINTS) or 1)
    validation = metrics[names == "validation"]
    best = _last_best(validation)
    data = _stack(
        (steps[trained][thin], train.to_numpy()[thin], "each step", ""),
        (steps[trained][thin], smoothed.to_numpy()[thin], "train", ""),
        (validation["step"].to_numpy(float), validation["loss"].to_numpy(float), "validation", ""),
        (
            best["step"].to_numpy(float),
            best["loss"].to_numpy(float),
            "best",
            "".join(_label_best(f"{loss:.3f}") for loss in best["loss"]),
        ),
    )
    data["value"] = data["value"].clip(lower=SMALLEST_LOSS)
    title = translate(LOSS)
    words = translate(
        "validation {course}, best checkpoint {best}" if len(validation) else "not validated yet",
        course=_course(validation["loss"], ".3f"),
        best=_at(best, "loss", ".3f"),
    )
    training = translate(
        "training, smoothed, {course}" if len(train) else "no training step yet",
        course=_course(smoothed, ".3f"),
    )
    spec = _loss_spec(log, read_language())
    return Chart(spec, data, title, f"{title}: {training}; {words}.")


def draw_score_curves(
    metrics: pd.DataFrame, rows: int = 0, baselines: Mapping[str, float] | None = None
) -> Chart:
    """Draw accuracy and macro-F1 on the validation subset, with ``baselines`` (name to accuracy) as
    labeled rules.

    ``metrics``: step, split, accuracy, macro_f1, best. ``rows`` of the subset gives accuracy its 95
    % interval as a band.
    """
    validation, named = metrics[metrics["split"] == "validation"], dict(baselines or {})
    accuracy, best = (
        _curve(validation["step"], validation["accuracy"], "accuracy"),
        _last_best(validation),
    )
    if rows:
        intervals = [Proportion(round(share * rows), rows).interval for share in accuracy["value"]]
        accuracy = accuracy.assign(
            low=[low for low, _ in intervals], high=[high for _, high in intervals]
        )
    rules = _rules(named, [*validation["accuracy"].dropna(), *validation["macro_f1"].dropna()])
    data = _joined(
        accuracy,
        _curve(validation["step"], validation["macro_f1"], "macro-F1"),
        _curve(
            best["step"],
            best["accuracy"],
            "best",
            [_label_best(format_share(share)) for share in best["accuracy"]],
        ),
        rules.assign(series="baseline", step=float("nan")),
    )
    title = translate("Accuracy and macro-F1 on validation texts")
    course = translate(
        "accuracy {course}, best checkpoint {best}" if len(validation) else "none yet",
        course=_course(validation["accuracy"], ".3f"),
        best=_at(best, "accuracy", ".3f"),
    )
    compared = "".join(f"; {name} {localize(format_share(share))}" for name, share in named.items())
    return Chart(_score_spec(read_language()), data, title, f"{title}: {course}{compared}.")


def _rules(named: Mapping[str, float], scores: Sequence[float]) -> pd.DataFrame:
    """Tabulate a rule per baseline. If two labels would overlap, the upper rule has both."""
    ordered = sorted(named.items(), key=lambda item: -item[1])
    span = max([*named.values(), *scores], default=0) - min([*named.values(), *scores], default=0)
    labels: list[str] = []
    anchor = 0
    for place, (name, share) in enumerate(ordered):
        label = f"{name} {localize(format_share(share))}"
        if place and ordered[anchor][1] - share < LABEL_SHARE * span:
            labels[anchor] += f" · {label}"
            labels.append("")
        else:
            anchor = place
            labels.append(label)
    return pd.DataFrame({"value": [share for _, share in ordered], "label": labels})


def draw_sparkline(values: Sequence[float], label: str = "accuracy") -> Chart:
    """Draw a small curve without axes for a list of runs, with its last point highlighted."""
    last = len(values) - 1
    data = pd.DataFrame(
        {
            "step": range(len(values)),
            "value": list(values),
            "last": [index == last for index in range(len(values))],
        }
    )
    words = (
        f"{label} from {format_share(values[0])} to {format_share(values[-1])} over {len(values)}"
        " validations"
        if values
        else f"no {label} yet"
    )
    return Chart(_spark_spec(), data, label, f"{words[0].upper()}{words[1:]}.")


def _curve(
    steps: "pd.Series[int]", values: "pd.Series[float]", series: str, labels: Sequence[str] = ()
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "step": steps.to_numpy(float),
            "value": values.to_numpy(float),
            "series": [series] * len(steps),
            "label": list(labels) or [""] * len(steps),
        }
    )


def _stack(*parts: tuple[np.ndarray, np.ndarray, str, str]) -> pd.DataFrame:
    """Return the curves below each other; a part has steps, values, the series and a label.

    A hundred times a minute while a run is watched, so no frame of each curve is built first.
    """
    lengths = [len(part[0]) for part in parts]
    if not sum(lengths):
        return pd.DataFrame(columns=COLUMNS)
    steps, values, series, labels = zip(*parts, strict=True)
    return pd.DataFrame(
        {
            "step": np.concatenate(steps),
            "value": np.concatenate(values),
            "series": np.repeat(np.array(series, object), lengths),
            "label": np.repeat(np.array(labels, object), lengths),
            "low": np.nan,
            "high": np.nan,
        }
    )


def _joined(*parts: pd.DataFrame) -> pd.DataFrame:
    """Join the parts into one frame; empty parts do not affect the types of columns."""
    filled = [part for part in parts if len(part)]
    if not filled:
        return pd.DataFrame(columns=COLUMNS)
    joined = pd.concat(filled, ignore_index=True).reindex(columns=COLUMNS)
    return joined.astype({"low": float, "high": float})


def _last_best(validation: pd.DataFrame) -> pd.DataFrame:
    """Return the best row so far, the last of those that were the best when they were written."""
    return validation[validation["best"].astype(bool)].tail(1)


def _course(values: "pd.Series[float]", form: str) -> str:
    """Return the first and the last value; empty without values."""
    if values.empty:
        return ""
    first, last = (format_number(value, form) for value in (values.iloc[0], values.iloc[-1]))
    return translate("from {first} to {last}", first=first, last=last)


def _at(best: pd.DataFrame, column: str, form: str) -> str:
    if best.empty:
        return translate("not known yet")
    value, step = float(best[column].iloc[0]), int(best["step"].iloc[0])
    return translate("{value} at step {step:,}", value=format_number(value, form), step=step)


def _label_best(figure: str) -> str:
    return translate("best {figure}", figure=localize(figure))


def _base(y: alt.Y) -> alt.Chart:
    axis = alt.Axis(tickCount=8, format=",d", tickMinStep=1)
    return alt.Chart().encode(
        x=alt.X("step:Q", title=translate("step"), axis=axis, scale=alt.Scale(nice=False)), y=y
    )


def _series(base: alt.Chart, *names: str) -> alt.Chart:
    return base.transform_filter(alt.FieldOneOfPredicate("series", list(names)))


def _best_mark(base: alt.Chart) -> alt.LayerChart:
    """Draw an open diamond around the best point, and its value at the right of the legend's row,
    where neither curves nor rules cross it.
    """
    best = _series(base, "best")
    label = best.mark_text(
        align="right", baseline="middle", fontSize=FONT, fontWeight="bold"
    ).encode(text="label:N", color=alt.value(THEME_TEXT), x=alt.value("width"), y=alt.value(-16))
    return label + best.mark_point(
        shape="diamond", size=260, filled=False, opacity=1, color=ACCENT, strokeWidth=3
    )


@cache
def _loss_spec(log: bool, language: str) -> Spec:
    base = _base(
        alt.Y(
            "value:Q",
            title=translate("loss"),
            scale=alt.Scale(type="log" if log else "linear", zero=False, nice=not log),
            axis=alt.Axis(tickCount=6),
        )
    )
    scale = alt.Scale(domain=["train", "validation"], range=[HUE, ACCENT])
    color = alt.Color(
        "series:N",
        scale=scale,
        legend=alt.Legend(
            title=None, orient="top", symbolType="stroke", labelExpr=name_labels(SERIES)
        ),
    )
    tooltip = [
        "series:N",
        alt.Tooltip("step:Q", title=translate("step"), format=","),
        alt.Tooltip("value:Q", title=translate("loss"), format=".4f"),
    ]
    raw = _series(base, "each step").mark_line(color=HUE, strokeWidth=1, opacity=0.45)
    lines = (
        _series(base, "train", "validation")
        .mark_line(strokeWidth=2.5)
        .encode(color=color, tooltip=tooltip)
    )
    points = (
        _series(base, "validation")
        .mark_point(color=ACCENT, filled=True, size=70, opacity=1)
        .encode(tooltip=tooltip)
    )
    return finish(
        (raw + lines + points + _best_mark(base)).properties(height=380),
        translate(LOSS),
        language,
    )


@cache
def _score_spec(language: str) -> Spec:
    base = _base(
        alt.Y(
            "value:Q",
            title=translate("share"),
            scale=alt.Scale(zero=False),
            axis=alt.Axis(format=".1~%", tickCount=6),
        )
    )
    names, legend = (
        ["accuracy", "macro-F1"],
        alt.Legend(
            title=None,
            orient="top",
            symbolDash=[1, 0],
            symbolStrokeWidth=0,
            labelExpr=name_labels(SCORES),
        ),
    )
    color = alt.Color(
        "series:N",
        scale=alt.Scale(domain=names, range=[CLASS_COLORS[0], CLASS_COLORS[2]]),
        legend=legend,
    )
    dash = alt.StrokeDash(
        "series:N", scale=alt.Scale(domain=names, range=[[1, 0], [6, 4]]), legend=None
    )
    shape = alt.Shape(
        "series:N", scale=alt.Scale(domain=names, range=list(CLASS_SHAPES[:2])), legend=legend
    )
    tooltip = [
        "series:N",
        alt.Tooltip("step:Q", title=translate("step"), format=","),
        alt.Tooltip("value:Q", title=translate("share"), format=".1%"),
    ]
    band = (
        _series(base, "accuracy")
        .mark_area(color=CLASS_COLORS[0], opacity=0.15)
        .encode(y=alt.Y("low:Q"), y2="high:Q")
    )
    lines = _series(base, *names).mark_line(strokeWidth=2.5).encode(color=color, strokeDash=dash)
    points = (
        _series(base, *names)
        .mark_point(filled=True, size=70, opacity=1)
        .encode(color=color, shape=shape, tooltip=tooltip)
    )
    level = alt.Chart().encode(y="value:Q").transform_filter("datum.series === 'baseline'")
    rule = level.mark_rule(color=FADED, strokeWidth=2, strokeDash=[2, 4]).encode(tooltip="label:N")
    # at the left, because curves of good runs end near the baselines at the right
    label = level.mark_text(align="left", baseline="bottom", dx=4, dy=-4, fontSize=FONT)
    label = label.encode(x=alt.value(0), text="label:N", color=alt.value(THEME_TEXT))
    return finish(
        (band + rule + label + lines + points + _best_mark(base)).properties(height=380),
        translate("Accuracy and macro-F1 on validation texts"),
        language,
    )


@cache
def _spark_spec() -> Spec:
    y = alt.Y("value:Q", axis=None, scale=alt.Scale(zero=False))
    base = alt.Chart().encode(x=alt.X("step:Q", axis=None), y=y)
    end = base.transform_filter("datum.last").mark_point(
        color=ACCENT, filled=True, size=40, opacity=1
    )
    return finish((base.mark_line(color=HUE, strokeWidth=2) + end).properties(height=36))


GROUPS = (mark("easy"), mark("ambiguous"), mark("hard"))
SHAPES = ("circle", "diamond", "square")


def draw_over_steps(
    table: pd.DataFrame,
    value: str,
    classes: Sequence[str],
    step: int,
    title: str,
    chosen: str | None = None,
) -> Chart:
    """Draw a line per class over the validations. ``table``: step, class and the column ``value``
    (0 to 1); a rule marks ``step``.

    With more than four classes there is one hue, and ``chosen`` is highlighted.
    """
    now = table[table["step"] == step]
    words = ", ".join(
        f"{name} {format_number(share, '.3f')}"
        for name, share in zip(now["class"], now[value], strict=True)
        if share == share  # NaN: a class that does not occur
    )
    data = table.assign(chosen=table["step"] == step)
    return Chart(
        _steps_spec(value, tuple(classes), chosen, read_language()),
        data,
        title,
        translate("{title}, at step {step:,}: {words}.", title=title, step=step, words=words),
    )


@lru_cache(maxsize=32)
def _steps_spec(value: str, classes: tuple[str, ...], chosen: str | None, language: str) -> Spec:
    few = len(classes) <= len(CLASS_COLORS)
    axis_title = translate("probability") if value != "f1" else "F1"
    legend = (
        alt.Legend(title=None, orient="bottom", columns=4, symbolType="stroke") if few else None
    )
    faint = alt.when(alt.datum["class"] == chosen).then(alt.value(1)).otherwise(alt.value(0.25))
    base = alt.Chart().encode(
        x=alt.X(
            "step:Q",
            title=translate("step"),
            axis=alt.Axis(format=",d", tickMinStep=1),
            scale=alt.Scale(nice=False),
        )
    )
    few_or_chosen = few or chosen is not None
    lines = base.mark_line(
        point=alt.OverlayMarkDef(size=40 if few else 15), strokeWidth=2.5 if few_or_chosen else 1.5
    ).encode(
        y=alt.Y(
            f"{value}:Q",
            title=axis_title,
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(tickCount=5),
        ),
        color=alt.Color(
            "class:N",
            scale=alt.Scale(domain=list(classes), range=choose_class_colors(classes, chosen)),
            legend=legend,
        ),
        strokeDash=alt.StrokeDash(
            "class:N",
            scale=alt.Scale(
                domain=list(classes), range=[list(dash) for dash in choose_class_dashes(classes)]
            ),
            legend=legend,
        ),
        opacity=alt.value(1) if few else faint,
        tooltip=[
            alt.Tooltip("class:N", title=translate("class")),
            alt.Tooltip("step:Q", title=translate("step"), format=","),
            alt.Tooltip(f"{value}:Q", title=axis_title, format=".3f"),
        ],
    )
    rule = base.transform_filter("datum.chosen").mark_rule(
        color=ACCENT, strokeDash=[4, 3], strokeWidth=2
    )
    return finish(alt.layer(rule, lines).properties(height=300), language=language)


def draw_training_map(table: pd.DataFrame, ringed: int | None = None) -> Chart:
    """Draw a point per text at its variability and mean. ``table``: row, class, mean, deviation,
    group, text; ``ringed`` is a row.

    Selection parameter ``picked`` has the field row.
    """
    title = translate(
        "Easy, ambiguous and hard texts (probability of the true class over the validations)"
    )
    counts = table["group"].value_counts()
    words = ", ".join(
        f"{translate(name)} {format_number(counts.get(name, 0), ',')}" for name in GROUPS
    )
    return Chart(
        _map_spec(read_language()),
        table.assign(chosen=table["row"] == ringed),
        title,
        f"{title}: {words}.",
    )


@cache
def _map_spec(language: str) -> Spec:
    legend = alt.Legend(title=None, orient="bottom", labelExpr=name_labels(GROUPS))
    ringed = alt.when("datum.chosen")
    points = (
        alt.Chart()
        .mark_point(filled=True, cursor="pointer")
        .encode(
            x=alt.X(
                "deviation:Q",
                title=translate("variability (standard deviation)"),
                scale=alt.Scale(domainMin=0, nice=True),
            ),
            y=alt.Y("mean:Q", title=translate("mean"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color(
                "group:N",
                scale=alt.Scale(domain=list(GROUPS), range=list(CLASS_COLORS[:3])),
                legend=legend,
            ),
            shape=alt.Shape(
                "group:N", scale=alt.Scale(domain=list(GROUPS), range=list(SHAPES)), legend=legend
            ),
            size=ringed.then(alt.value(220)).otherwise(alt.value(45)),
            stroke=ringed.then(alt.value(THEME_TEXT)).otherwise(alt.value("transparent")),
            strokeWidth=ringed.then(alt.value(2.5)).otherwise(alt.value(0)),
            opacity=alt.value(0.75),
            tooltip=[
                alt.Tooltip("class:N", title=translate("class")),
                alt.Tooltip("text:N", title=translate("text")),
                alt.Tooltip("mean:Q", title=translate("mean"), format=".2f"),
                alt.Tooltip("deviation:Q", title=translate("variability"), format=".2f"),
            ],
        )
        .add_params(alt.selection_point(name="picked", fields=["row"]))
    )
    return finish(points.properties(height=380), language=language)
