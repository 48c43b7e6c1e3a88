"""The hidden final test on the page Class: the button that reveals it, and its result."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.people.classroom import Rules, reveal_hidden_test
from core.runs.leaderboard import FinalScore
from core.storage.store import Store
from ui.session.error_boundary import boundary
from ui.text import plain
from ui.widgets import tables

DIFFERENCE = "Chosen by luck"


def draw_reveal(store: Store) -> None:
    """Draw the button that reveals the scores, with a confirmation."""
    with (
        st.popover("Reveal the final test", icon=":material/visibility:", key="final"),
        boundary(),
    ):
        st.markdown(
            "Everyone sees how the best run of each person scores on the hidden texts. This happens"
            " once: runs that end later are not counted, because their authors know the result."
        )
        if st.button("Reveal it now", key="final-confirm", type="primary"):
            reveal_hidden_test(store)
            st.rerun()


def draw(store: Store, rules: Rules, scores: Sequence[FinalScore]) -> None:
    """Draw the scores of the final test, or that there will be one."""
    if not rules.is_on:
        return
    if rules.is_hiding:
        st.caption(
            f"Scores are on the visible test texts. {rules.hidden_percent} % of the test texts are"
            " hidden for a final test, which the teacher reveals once, at the end."
        )
        return
    st.markdown("##### Final test")
    if not scores:
        st.caption("No run had been scored on the hidden texts when they were revealed.")
        return
    own = next((score for score in scores if score.row.run.job.owner == store.visitor.id), None)
    if own:
        st.info(_describe(own), icon=":material/flag:")
    table = pd.DataFrame([_row(score) for score in scores])
    tables.draw_plain(table, key="final-table", columns=_columns())
    st.caption(
        "The best run of each person by the visible texts. It was chosen because it scored high"
        " there, partly by luck, so most differences are negative. The intervals cover 95 %."
    )


def _describe(score: FinalScore) -> str:
    low, high = score.interval
    return (
        f"Your best run, {plain(score.row.run.name)}, scored {score.row.test} on"
        f" {score.row.test.n:,} visible texts and {score.hidden} on {score.hidden.n:,} hidden ones."
        f" Chosen by luck: {_format_points(score.difference)} points (95 % interval"
        f" {_format_points(low)} to {_format_points(high)})."
    )


def _format_points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _row(score: FinalScore) -> dict[str, object]:
    low, high = score.interval
    return {
        "Who": score.row.owner_name or "–",
        "Run": score.row.run.name,
        "Visible": str(score.row.test),
        "Hidden": str(score.hidden),
        DIFFERENCE: f"{_format_points(score.difference)} points",
        "95 % interval": f"{_format_points(low)} to {_format_points(high)}",
        "Hidden texts": score.hidden.n,
    }


def _columns() -> tables.Columns:
    return {
        DIFFERENCE: st.column_config.TextColumn(
            help="Accuracy on the hidden minus accuracy on the visible test texts"
        ),
        "95 % interval": st.column_config.TextColumn(
            help="Of the difference; if it contains 0, chance alone explains it"
        ),
    }
