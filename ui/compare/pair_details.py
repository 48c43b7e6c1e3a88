"""Details of two compared runs: differences in the matrix and per class, and the texts that only
one classifies correctly.
"""

from collections.abc import Sequence
from math import isnan

import pandas as pd
import streamlit as st

from core import charts
from core.evaluation.comparison import Pair, compare_classes, list_disagreements
from ui.text import count, plain
from ui.widgets import chart_view, tables

KEY = "pair"
SHOWN_TEXTS = 500


def choose(pairs: Sequence[Pair]) -> Pair | None:
    """Let the reader choose a comparable pair; the URL holds it. None if there is no such pair."""
    comparable = {f"{pair.first.id},{pair.second.id}": pair for pair in pairs if pair.paired}
    if not comparable:
        return None
    st.markdown("#### Two runs in detail")
    if len(comparable) == 1:
        return next(iter(comparable.values()))
    requested = st.session_state.get(KEY, st.query_params.get(KEY))
    # the stored pair may contain runs that are no longer compared
    st.session_state[KEY] = requested if requested in comparable else next(iter(comparable))
    names = {key: f"{pair.first.name} and {pair.second.name}" for key, pair in comparable.items()}
    chosen = st.selectbox(
        "Pair", list(comparable), format_func=lambda key: names.get(key, key), key=KEY
    )
    st.query_params[KEY] = chosen
    return comparable[chosen]


def draw(pair: Pair) -> None:
    """Draw the matrix and the classes side by side, then the texts."""
    columns = chart_view.count_columns(pair.first.classes)
    sides = st.grid(columns, min_column_width=400, gap="large")
    with sides.cell():
        draw_matrices(pair)
    with sides.cell():
        _classes(pair)
    _texts(pair)


def draw_matrices(pair: Pair) -> None:
    """Draw the second run's confusion matrix minus the first's, on their common texts."""
    first, second = (predictions.scores.counts for predictions in pair.align())
    names = pair.first.name, pair.second.name
    chart_view.draw(
        charts.draw_matrix_difference(
            first, second, pair.first.classes, names, chart_view.is_dark()
        ),
        key="difference",
    )


def _classes(pair: Pair) -> None:
    changes = compare_classes(pair)
    if len(changes) > charts.MOST_LABELED:
        changes = changes.sort_values("difference", kind="stable", ignore_index=True)
    # prefixed, so that no run name equals another column's name
    first, second = (
        f"F1 of {pair.first.name}",
        f"F1 of {pair.second.name}",
    )
    intervals = changes[["low", "high"]].to_numpy()
    shown = pd.DataFrame(
        {
            "Class": changes["class"],
            "Texts": changes["support"],
            "Change in F1": [_signed(value) for value in changes["difference"]],
            "95 % interval": [
                "–" if isnan(low) else f"{_signed(low)} to {_signed(high)}"
                for low, high in intervals
            ],
            "": [_decide(low, high) for low, high in intervals],
            first: changes["first"],
            second: changes["second"],
        }
    )
    f1 = st.column_config.NumberColumn(format="%.3f")
    columns = {
        first: f1,
        second: f1,
        "Texts": st.column_config.NumberColumn(format="localized", width=60),
    }
    tables.draw_plain(
        shown,
        key="class-differences",
        columns=columns,
        alt="F1 per class of both runs, and its change with the interval",
    )
    st.caption(
        "Paired bootstrap over the texts. With many classes, one in twenty differs by chance."
    )


def _texts(pair: Pair) -> None:
    assert pair.paired
    st.markdown("#### Texts that only one run classifies correctly")
    first, second = plain(pair.first.name), plain(pair.second.name)
    st.caption(
        f"Only {first}: {count(pair.paired.only_first, 'texts')}. Only {second}:"
        f" {count(pair.paired.only_second, 'texts')}."
    )
    differing = list_disagreements(pair)
    if differing.empty:
        return
    shown = differing.head(SHOWN_TEXTS)[["right", "text", "true", "first", "second"]]
    shown.columns = [
        "Correct run",
        "text",
        "True class",
        f"Prediction of {pair.first.name}",
        f"Prediction of {pair.second.name}",
    ]
    position = tables.draw_texts(
        shown,
        key="told-apart",
        alt="Texts that one run classifies correctly and the other does not",
    )
    if position is not None:
        with st.container(border=True, key="whole-text"):
            st.text(str(shown["text"].iloc[position]))


def _signed(value: float) -> str:
    return "–" if isnan(value) else f"{value:+.3f}".replace("-", "−")


def _decide(low: float, high: float) -> str:
    if isnan(low):
        return "not compared"  # one of the runs has no score of this class
    return "better" if low > 0 else "worse" if high < 0 else "too close to call"
