"""Parts of the Gallery page: a card a failed run, with its curve beside a healthy one, and the
answer for those who have guessed.
"""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from core import charts
from core.demo.gallery import Failure
from core.errors import JobNotFound
from core.runs.requests import read_train_request
from core.runs.run_results import read_curve
from core.storage.job import Job
from core.storage.recovery import EXAMPLE_ID
from core.storage.store import Store
from ui import navigation
from ui.text import accuracy
from ui.widgets import chart_view
from ui.widgets.run_summary import proportion, summarise

HEALTHY, THIS = "a healthy run", "this run"


def draw_introduction() -> None:
    """What these are, and how to use them."""
    st.subheader("Six runs that went wrong on purpose", anchor=False)
    st.caption(
        "Each was trained on the demo corpus with one thing wrong, and came with the project:"
        " nothing is trained here. Look at curve and scores, guess what is wrong, then open the"
        " answer. Every page reads these runs as any other."
    )


def draw(store: Store, failures: Sequence[Failure], runs: Mapping[str, Job]) -> None:
    """A card for each, two beside each other where there is room."""
    healthy = _healthy(store)
    cells = st.grid(2, min_column_width=400, gap="medium")
    for number, failure in enumerate(failures, start=1):
        with cells.cell(), st.container(border=True, key=f"card-{failure.id}", height="stretch"):
            _draw_card(store, number, failure, runs[failure.id], healthy)


def _draw_card(
    store: Store, number: int, failure: Failure, job: Job, healthy: pd.DataFrame
) -> None:
    summary = summarise(store, job)
    st.markdown(f"#### Run {number}")
    if summary.test:
        st.markdown(f"**{accuracy(summary.test)} of {summary.test.n:,} test texts right**")
        validation = proportion(job.result.get("validation"))
        also = f" Validation: {accuracy(validation)} of {validation.n:,}." if validation else ""
        st.caption(f"± is the 95 % interval.{also}")
    curve = pd.concat(
        [read_curve(store, job, THIS, read_train_request(job).config), healthy], ignore_index=True
    )
    chart_view.draw(
        charts.run_curves(curve, [THIS, HEALTHY], "step", "loss"), key=f"curve-{failure.id}"
    )
    with st.expander("What went wrong?", key=f"answer-{failure.id}", icon=":material/lightbulb:"):
        st.markdown(f"**{failure.title}.** {failure.done}")
        st.markdown(f"*How it shows.* {failure.sign}")
        st.markdown(f"*What mends it.* {failure.remedy}")
    with st.container(horizontal=True, gap="medium"):
        navigation.link(navigation.EVALUATE, "Its matrix", run_id=failure.id)
        navigation.link(navigation.THROUGH_TIME, "Its way there", run_id=failure.id)
        if not healthy.empty:
            navigation.link(
                navigation.COMPARE, "Beside a healthy run", compared=f"{EXAMPLE_ID},{failure.id}"
            )


def _healthy(store: Store) -> pd.DataFrame:
    """The curve of the shipped example; empty where it was deleted."""
    try:
        job = store.job(EXAMPLE_ID)
    except JobNotFound:
        return pd.DataFrame()
    return read_curve(store, job, HEALTHY, read_train_request(job).config)
