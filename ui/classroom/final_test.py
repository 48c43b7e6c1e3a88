"""The hidden final test on the page Class: the button that reveals it, and its result."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core.people.classroom import Rules, reveal_hidden_test
from core.runs.leaderboard import FinalScore
from core.storage.store import Store
from core.translation import format_number, localize, mark, translate
from ui.session.error_boundary import boundary
from ui.text import plain
from ui.widgets import tables

DIFFERENCE, INTERVAL = mark("Chosen by luck"), mark("95 % interval")


def draw_reveal(store: Store) -> None:
    """Draw the button that reveals the scores, with a confirmation."""
    with (
        st.popover(translate("Reveal the final test"), icon=":material/visibility:", key="final"),
        boundary(),
    ):
        st.markdown(
            translate(
                "Everyone sees how the best run of each person scores on the hidden texts. This"
                " happens once: runs that end later are not counted, because their authors know"
                " the result."
            )
        )
        if st.button(translate("Reveal it now"), key="final-confirm", type="primary"):
            reveal_hidden_test(store)
            st.rerun()


def draw(
    store: Store, rules: Rules, scores: Sequence[FinalScore], notes: Sequence[str] = ()
) -> None:
    """Draw the scores of the final test, or that there will be one.

    ``notes`` say what the scores of the runs leave out.
    """
    if not rules.is_on:
        return
    if rules.is_hiding:
        about = translate(
            "Scores are on the visible test texts. The others are hidden for a final test, which"
            " the teacher reveals once, at the end."
        )
        st.caption(" ".join([about, *notes]))
        return
    st.markdown(f"##### {translate('Final test')}")
    if not scores:
        st.caption(translate("No run had been scored on the hidden texts when they were revealed."))
        return
    own = next((score for score in scores if score.row.run.job.owner == store.visitor.id), None)
    if own:
        st.info(_describe(own), icon=":material/flag:")
    table = pd.DataFrame([_row(score) for score in scores])
    tables.draw_plain(table, key="final-table", columns=_columns())
    st.caption(
        translate(
            "The best run of each person by the visible texts. It was chosen because it scored high"
            " there, partly by luck, so most differences are negative. The intervals cover 95 %."
        )
    )


def _describe(score: FinalScore) -> str:
    low, high = score.interval
    return translate(
        "Your best run, {run}, scored {visible} on {n:,} visible texts and {hidden} on"
        " {hidden_n:,} hidden ones. Chosen by luck: {points} points (95 % interval {low} to"
        " {high}).",
        run=plain(score.row.run.name),
        visible=localize(str(score.row.test)),
        n=score.row.test.n,
        hidden=localize(str(score.hidden)),
        hidden_n=score.hidden.n,
        points=_format_points(score.difference),
        low=_format_points(low),
        high=_format_points(high),
    )


def _format_points(share: float) -> str:
    return format_number(100 * share, "+.1f").replace("-", "−")


def _row(score: FinalScore) -> dict[str, object]:
    low, high = (_format_points(edge) for edge in score.interval)
    return {
        "Who": score.row.owner_name or "–",
        "Run": score.row.run.name,
        "Visible": localize(str(score.row.test)),
        "Hidden": localize(str(score.hidden)),
        DIFFERENCE: translate("{points} points", points=_format_points(score.difference)),
        INTERVAL: translate("{low} to {high}", low=low, high=high),
        "Hidden texts": score.hidden.n,
    }


def _columns() -> tables.Columns:
    return {
        "Who": translate("Who"),
        "Run": translate("Run"),
        "Visible": translate("Visible"),
        "Hidden": translate("Hidden"),
        "Hidden texts": translate("Hidden texts"),
        DIFFERENCE: st.column_config.TextColumn(
            translate(DIFFERENCE),
            help=translate("Accuracy on the hidden minus accuracy on the visible test texts"),
        ),
        INTERVAL: st.column_config.TextColumn(
            translate(INTERVAL),
            help=translate("Of the difference; if it contains 0, chance alone explains it"),
        ),
    }
