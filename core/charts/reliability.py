"""Charts of calibration: accuracy against confidence, texts per bin, and accuracy against
coverage.
"""

from functools import cache

import altair as alt
import pandas as pd

from core.charts.base import ACCENT, FADED, HUE, Chart, Spec, finish, format_share
from core.evaluation.calibration import Calibration
from core.translation import format_number, localize, read_language, translate

UNIT = alt.Scale(domain=[0, 1], nice=False)
AXIS = alt.Axis(format=".0%", tickCount=6)
FEWEST = 0.02  # proportion of texts: the interval of fewer would fill the chart
# px for the labels of the vertical axes, so that the horizontal axes of both charts are aligned
EXTENT = 46


def draw_reliability(measured: Calibration, name: str) -> Chart:
    """Draw a point with its 95 % interval for each bin with texts, and the diagonal of perfect
    calibration.
    """
    data = measured.bins[measured.bins["texts"] > 0].reset_index(drop=True)
    title = translate(
        "{name}: accuracy against confidence in {bins} bins", name=name, bins=len(measured.bins)
    )
    words = "; ".join(
        translate(
            "confidence {confidence}, accuracy {accuracy} of {texts:,}",
            confidence=localize(format_share(confidence)),
            accuracy=localize(format_share(accuracy)),
            texts=texts,
        )
        for confidence, accuracy, texts in zip(
            data["confidence"], data["accuracy"], data["texts"], strict=True
        )
    )
    return Chart(
        _reliability_spec(read_language()),
        data,
        title,
        f"{title}. {words or translate('no texts')}.",
    )


def draw_bin_counts(measured: Calibration) -> Chart:
    """Draw a bar for each bin: the number of texts of its point in ``reliability``."""
    title = translate("Texts in each of the {bins} bins", bins=len(measured.bins))
    words = ", ".join(format_number(number, ",") for number in measured.bins["texts"])
    return Chart(
        _counts_spec(read_language()),
        measured.bins[["low", "high", "texts"]],
        title,
        translate("{title}, least confident first: {texts}.", title=title, texts=words),
    )


@cache
def _reliability_spec(language: str) -> Spec:
    tooltip = [
        *(
            alt.Tooltip(f"{column}:Q", title=title, format=".1%")
            for column, title in (
                ("confidence", translate("mean confidence")),
                ("accuracy", translate("accuracy")),
            )
        ),
        *(
            alt.Tooltip(f"accuracy_{edge}:Q", title=title, format=".1%")
            for edge, title in (
                ("low", translate("95 % interval, low")),
                ("high", translate("95 % interval, high")),
            )
        ),
        alt.Tooltip("texts:Q", title=translate("texts"), format=","),
    ]
    # without a text alternative, because it is the same in every chart
    line = alt.Chart().mark_rule(strokeDash=[5, 4], color=FADED, strokeWidth=2, aria=False)
    diagonal = line.encode(x=alt.XDatum(0), y=alt.YDatum(0), x2=alt.X2Datum(1), y2=alt.Y2Datum(1))
    base = alt.Chart().encode(
        x=alt.X(
            "confidence:Q",
            title=translate("confidence"),
            scale=UNIT,
            axis=AXIS,
        ),
        tooltip=tooltip,
    )
    bars = base.mark_rule(strokeWidth=3, opacity=0.55, color=HUE).encode(
        y=alt.Y(
            "accuracy_low:Q",
            title=translate("accuracy"),
            scale=UNIT,
            axis=alt.Axis(format=".0%", tickCount=6, minExtent=EXTENT),
        ),
        y2="accuracy_high:Q",
    )
    points = base.mark_point(filled=True, size=90, opacity=1, color=HUE).encode(
        y=alt.Y("accuracy:Q", scale=UNIT)
    )
    return finish(alt.layer(diagonal, bars, points).properties(height=320), language=language)


@cache
def _counts_spec(language: str) -> Spec:
    counts = (
        alt.Chart()
        .mark_bar(color=HUE, opacity=0.8, stroke="transparent", binSpacing=1)
        .encode(
            x=alt.X("low:Q", bin="binned", title=translate("confidence"), scale=UNIT, axis=AXIS),
            x2="high:Q",
            y=alt.Y(
                "texts:Q",
                title=translate("texts"),
                axis=alt.Axis(tickCount=3, format="~s", minExtent=EXTENT),
            ),
            tooltip=[
                alt.Tooltip("low:Q", title=translate("from")),
                alt.Tooltip("high:Q", title=translate("to")),
                alt.Tooltip("texts:Q", title=translate("texts"), format=","),
            ],
        )
    )
    return finish(counts.properties(height=130), language=language)


def draw_coverage(curve: pd.DataFrame, threshold: float) -> Chart:
    """Draw the accuracy of the answered texts, with its 95 % interval, against their proportion; a
    rule marks ``threshold``.
    """
    answered = curve[curve["threshold"] >= threshold].tail(1).assign(kind="chosen")
    curve = curve[(curve["coverage"] >= FEWEST) | (curve.index == len(curve) - 1)]
    data = pd.concat([curve.assign(kind="curve"), answered], ignore_index=True)
    title = translate(
        "Accuracy of the answered texts against their proportion (band: 95 % interval)"
    )
    few = curve.iloc[:: max(1, len(curve) // 5)]
    words = ", ".join(
        translate(
            "{accuracy} at {share}",
            accuracy=localize(format_share(accuracy)),
            share=localize(format_share(share)),
        )
        for accuracy, share in zip(few["accuracy"], few["coverage"], strict=True)
    )
    return Chart(_coverage_spec(read_language()), data, title, f"{title}: {words}.")


@cache
def _coverage_spec(language: str) -> Spec:
    axis = alt.Axis(format=".0%", tickCount=6)
    base = alt.Chart().encode(
        x=alt.X(
            "coverage:Q",
            title=translate("proportion of texts answered"),
            scale=alt.Scale(domain=[0, 1]),
            axis=axis,
        ),
        tooltip=[
            alt.Tooltip("threshold:Q", title=translate("minimum confidence"), format=".1%"),
            alt.Tooltip("coverage:Q", title=translate("answered"), format=".1%"),
            alt.Tooltip("accuracy:Q", title=translate("accuracy"), format=".1%"),
            alt.Tooltip("texts:Q", title=translate("texts"), format=","),
        ],
    )
    y = alt.Y("accuracy:Q", title=translate("accuracy"), scale=alt.Scale(zero=False), axis=axis)
    curve = base.transform_filter("datum.kind === 'curve'")
    band = curve.mark_area(opacity=0.2, color=HUE).encode(
        y=alt.Y("low:Q", title=translate("accuracy"), scale=alt.Scale(zero=False)), y2="high:Q"
    )
    line = curve.mark_line(color=HUE, strokeWidth=2.5).encode(y=y)
    chosen = base.transform_filter("datum.kind === 'chosen'")
    rule = chosen.mark_rule(color=ACCENT, strokeDash=[4, 3], strokeWidth=2)
    point = chosen.mark_point(
        color=ACCENT, filled=True, size=130, opacity=1, shape="diamond"
    ).encode(y=y)
    return finish(alt.layer(band, line, rule, point).properties(height=300), language=language)
