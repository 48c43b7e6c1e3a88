"""The Evaluate page: scores per class with intervals, confused pairs, and ranking curves."""

from collections.abc import Hashable
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.evaluation.class_scores import CURVE_KINDS, list_confused_pairs
from core.evaluation.predictions import Predictions
from core.runs.run import Run
from core.training.events import EvaluatedSplit
from core.translation import localize, translate, translate_plural
from ui import navigation
from ui.evaluate.confusion import choose_cell
from ui.session import cache
from ui.session.cache import BoundedCache
from ui.text import capitalize, format_per_cent, plain
from ui.widgets import chart_view, tables

CHOSEN_CURVE = "curve-class"
PAIRS_KEY = "confused-pairs"
PAIRS, MANY_PAIRS = 10, 50  # listed; the more of many classes
FEW = 4  # classes with their own line colors
# at most MANY_PAIRS lines
_pairs: BoundedCache[Hashable, pd.DataFrame] = BoundedCache(32)


def draw_per_class(run: Run, split: EvaluatedSplit) -> None:
    """Draw precision, recall and F1 of each class with intervals; ``per_class_table`` is its
    table.
    """
    chart = chart_view.share(
        (run.folder, run.version, "class scores", split),
        lambda: charts.draw_class_scores(_compute_intervals(run, split)),
    )
    chart_view.draw(chart, key="class-scores", twin=False)


def draw_per_class_table(run: Run, split: EvaluatedSplit) -> None:
    """Draw the scores of each class as a table."""
    if len(run.classes) > charts.MOST_LABELED:
        st.caption(
            translate(
                "The classes with the lowest F1 come first. Point at the table to search it or to"
                " download it."
            )
        )
    shown = tables.share(
        (run.folder, run.version, "per class", split), lambda: _tabulate_classes(run, split)
    )
    text = st.column_config.TextColumn
    columns = {
        "class": text(capitalize(translate("class"))),
        "support": st.column_config.NumberColumn(translate("Texts"), format="localized", width=70),
        "precision": text(
            translate("Precision"),
            help=translate(
                "Proportion of the texts predicted as this class that belong to it, with its 95 %"
                " interval (Wilson)."
            ),
        ),
        "recall": text(
            translate("Recall"),
            help=translate(
                "Proportion of the texts of this class that were predicted as such, with its 95 %"
                " interval (Wilson)."
            ),
        ),
        "f1": text(
            "F1",
            help=translate(
                "Harmonic mean of precision and recall, with its 95 % interval (bootstrap over the"
                " texts)."
            ),
        ),
    }
    tables.draw_plain(
        shown,
        key="per-class",
        columns=columns,
        rows_in_view=8,
        alt=translate("Scores per class with their 95 % intervals"),
    )


def _compute_intervals(run: Run, split: EvaluatedSplit) -> pd.DataFrame:
    return cache.compute_class_intervals(run.folder, run.version, run.classes, split)


def _tabulate_classes(run: Run, split: EvaluatedSplit) -> pd.DataFrame:
    table = _compute_intervals(run, split)
    if len(table) > charts.MOST_LABELED:
        table = table.sort_values("f1", kind="stable", ignore_index=True)
    shown = pd.DataFrame({"class": table["class"], "support": table["support"]})
    for name in ("precision", "recall", "f1"):
        shown[name] = [
            _scored(*line)
            for line in zip(table[name], table[f"{name}_low"], table[f"{name}_high"], strict=True)
        ]
    return shown


def draw_most_confused(run: Run, split: EvaluatedSplit, predictions: Predictions) -> None:
    """Draw the confused pairs with their direction, and a button for the most frequent error."""
    st.markdown(f"#### {translate('Confused classes')}")
    most = PAIRS if len(run.classes) <= charts.MOST_LABELED else MANY_PAIRS
    key = run.folder, run.version, predictions.row_key, PAIRS_KEY, split
    pairs = _pairs.get_or_make(
        key, lambda: list_confused_pairs(predictions.scores, run.classes, most)
    )
    if pairs.empty:
        st.caption(translate("No text was predicted as another class."))
        return
    errors = predictions.scores.counts * (1 - np.eye(len(run.classes), dtype=np.int64))
    first, second = (int(index) for index in np.unravel_index(errors.argmax(), errors.shape))
    true, predicted, number = run.classes[first], run.classes[second], int(errors[first, second])
    st.markdown(
        translate(
            "Most frequent error: {true} predicted as {predicted}, {texts}, {share} of all errors.",
            true=plain(true),
            predicted=plain(predicted),
            texts=translate_plural("{n:,} text", "{n:,} texts", number),
            share=localize(format_per_cent(number / errors.sum())),
        )
    )
    label = translate("Show this text" if number == 1 else "Show these {n:,} texts", n=number)
    st.button(
        label,
        key="read-most-confused",
        icon=":material/arrow_downward:",
        on_click=partial(choose_cell, true, predicted),
    )
    tables.draw_plain(
        tables.share(key, lambda: _tabulate_pairs(pairs)),
        key=PAIRS_KEY,
        rows_in_view=6,
        alt=translate("Pairs of confused classes, most texts first"),
        on_select=partial(_choose_pair, pairs[["first", "second"]]),
    )
    st.caption(
        translate(
            "Select a row to see its texts below. Percentages are of the texts of the true class."
            " One-sided: the two percentages differ by more than chance."
        )
    )


def _tabulate_pairs(pairs: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            capitalize(translate("class")): pairs["first"],
            translate("Predicted as"): pairs["second"],
            translate("Texts"): [
                _share(*line) for line in zip(pairs["there"], pairs["there_share"], strict=True)
            ],
            translate("Reverse"): [
                _share(*line) for line in zip(pairs["back"], pairs["back_share"], strict=True)
            ],
            translate("Direction"): [
                translate("significantly one-sided" if line else "no significant difference")
                for line in pairs["one_way"]
            ],
            "p": [localize("< 0.001" if p < 0.001 else f"{p:.3f}") for p in pairs["p"]],
        }
    )


def _choose_pair(pairs: pd.DataFrame) -> None:
    """Select the cell of the row that was selected in the table of pairs."""
    rows = st.session_state[PAIRS_KEY]["selection"]["rows"]
    if rows and rows[0] < len(pairs):
        true, predicted = pairs.iloc[rows[0]]
        choose_cell(true, predicted)


def draw_ranking(run: Run, split: EvaluatedSplit) -> None:
    """Draw the ROC or precision-recall curve of each class against the rest."""
    with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
        known = navigation.choose(translate("Curve"), CURVE_KINDS, key="curve", default="ROC")
        chosen = chart_view.choose_class(run.classes, CHOSEN_CURVE)
    curves = cache.compute_ranking_curves(run.folder, run.version, run.classes, split, known)
    chart = chart_view.share(
        (run.folder, run.version, "ranking", split, known, chosen),
        lambda: charts.draw_ranking_curves(curves, run.classes, chosen),
    )
    chart_view.draw(chart, key="ranking", twin=False)
    if chart.note:
        st.caption(plain(chart.note))
    area = translate(charts.RANKING_AREAS[known])
    columns = {
        "class": st.column_config.TextColumn(capitalize(translate("class"))),
        "area": st.column_config.NumberColumn(area[0].upper() + area[1:], **tables.decimals(4)),
        "texts": st.column_config.NumberColumn(translate("Texts"), format="localized"),
    }
    tables.draw_plain(
        curves.areas,
        key="areas",
        columns=columns,
        rows_in_view=8,
        alt=translate("{area} of each class", area=area),
    )


def _scored(value: float, low: float, high: float) -> str:
    return localize(f"{value:.3f} ({low:.3f}–{high:.3f})") if value == value else "–"


def _share(number: int, share: float) -> str:
    return localize(f"{number:,} ({format_per_cent(share)})" if share == share else f"{number:,}")
