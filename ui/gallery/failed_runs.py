"""The Gallery page: a card per failed run with its curve, a healthy run's curve, and the answer."""

from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from core import charts
from core.demo.gallery import Failure
from core.errors import JobNotFound
from core.lesson.lesson_file import Spoiler
from core.runs.compared_runs import read_curve
from core.runs.requests import read_train_request
from core.storage.job import Job
from core.storage.recovery import EXAMPLE_ID
from core.storage.store import Store
from core.translation import localize, mark, translate
from ui import navigation
from ui.lesson import hiding
from ui.text import format_accuracy
from ui.widgets import chart_view
from ui.widgets.run_summary import summarize

HEALTHY, THIS = mark("a healthy run"), mark("this run")


def draw_introduction() -> None:
    """Draw what the gallery is and how to use it."""
    st.subheader(translate("Six runs that went wrong on purpose"), anchor=False)
    st.caption(
        translate(
            "Each was trained on the demo corpus with one deliberate error and is included with the"
            " project. Look at the curve and the scores, guess what is wrong, then open the answer."
            " The runs open on every page like any other run."
        )
    )


def draw(store: Store, failures: Sequence[Failure], runs: Mapping[str, Job]) -> None:
    """Draw a card for each failure, two per row if there is room."""
    healthy = _healthy(store)
    cells = st.grid(2, min_column_width=400, gap="medium")
    for number, failure in enumerate(failures, start=1):
        with cells.cell(), st.container(border=True, key=f"card-{failure.id}", height="stretch"):
            _draw_card(store, number, failure, runs[failure.id], healthy)


def _draw_card(
    store: Store, number: int, failure: Failure, job: Job, healthy: pd.DataFrame
) -> None:
    summary = summarize(store, job)
    st.markdown(f"#### {translate('Run {n}', n=number)}")
    if summary.test:
        headline = translate(
            "{accuracy} accuracy on {n:,} test texts",
            accuracy=localize(format_accuracy(summary.test)),
            n=summary.test.n,
        )
        st.markdown(f"**{headline}**")
        lines = [translate("± is the 95 % interval.")]
        if validation := summary.run.validation:
            accuracy = localize(format_accuracy(validation))
            lines.append(
                translate(
                    "Validation: {accuracy} ({n:,} texts).", accuracy=accuracy, n=validation.n
                )
            )
        st.caption(" ".join(lines))
    curve = pd.concat(
        [read_curve(store, job, translate(THIS), read_train_request(job).config), healthy],
        ignore_index=True,
    )
    names = [translate(THIS), translate(HEALTHY)]
    chart_view.draw(charts.draw_run_curves(curve, names, "step", "loss"), key=f"curve-{failure.id}")
    if hiding.is_hidden(store, Spoiler.GALLERY):
        hiding.draw_notice(Spoiler.GALLERY, f"hidden-{failure.id}")
        return
    with st.expander(
        translate("What went wrong?"), key=f"answer-{failure.id}", icon=":material/lightbulb:"
    ):
        st.markdown(f"**{translate(failure.title)}.** {translate(failure.done)}")
        st.markdown(f"*{translate('Symptoms.')}* {translate(failure.sign)}")
        st.markdown(f"*{translate('Fix.')}* {translate(failure.remedy)}")
    with st.container(horizontal=True, gap="medium"):
        navigation.link(navigation.EVALUATE, translate("Confusion matrix"), run_id=failure.id)
        navigation.link(navigation.THROUGH_TIME, translate("How it got there"), run_id=failure.id)
        if not healthy.empty:
            navigation.link(
                navigation.COMPARE,
                translate("Compare with a healthy run"),
                compared=f"{EXAMPLE_ID},{failure.id}",
            )


def _healthy(store: Store) -> pd.DataFrame:
    """Read the curve of the bundled example; empty if it was deleted."""
    try:
        job = store.read_job(EXAMPLE_ID)
    except JobNotFound:
        return pd.DataFrame()
    return read_curve(store, job, translate(HEALTHY), read_train_request(job).config)
