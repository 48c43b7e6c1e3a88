"""The Evaluate page: comparison with the untrained model and with another run, on the same
texts.
"""

from dataclasses import replace

import streamlit as st

from core import charts
from core.charts import CellsShow
from core.errors import ArtifactDamaged
from core.evaluation.comparison import Result, compare
from core.evaluation.predictions import Predictions
from core.runs import artifacts
from core.storage.job import Job, JobKind
from core.training.events import Split
from ui.app.page_frame import OpenRun
from ui.compare import pair_details
from ui.evaluate.overview import MATRIX_KEY, with_interval
from ui.session import cache, error_boundary
from ui.text import count, plain
from ui.widgets import chart_view

OTHER_KEY = "other-run"


def before_and_after(run: OpenRun, untrained: Predictions | None, show: CellsShow) -> None:
    """Draw the matrices of the untrained and the trained model on the same texts."""
    if untrained is None:
        st.caption(
            "The untrained model was not scored in this run, or its predictions are unreadable."
        )
        return
    try:
        after = cache.predictions(run.folder, run.version, len(run.classes), "test")
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    before, after = untrained.only(after.rows), after.only(untrained.rows)
    st.caption(f"Both on the same {count(len(after), 'test texts')}.")
    sides = st.grid(2, min_column_width=400, gap="large")
    for name, predictions in (("Before", before), ("After", after)):
        with sides.cell():
            chart = charts.confusion_matrix(
                predictions.scores.counts, run.classes, show, chart_view.dark()
            )
            title = f"{name} training: {with_interval(predictions.scores.accuracy)} accuracy"
            chart_view.draw(replace(chart, title=title), key=f"{MATRIX_KEY}-{name.lower()}")


def another_run(run: OpenRun, split: Split, predictions: Predictions) -> None:
    """Draw the difference to another run on the same data, and whether it is significant."""
    others = _comparable(run, split)
    if not others:
        st.caption(f"No other run has {split} predictions on the same data with the same classes.")
        return
    names = {job.id: job.name for job in others}
    st.session_state.setdefault(OTHER_KEY, st.query_params.get(OTHER_KEY))
    if st.session_state[OTHER_KEY] not in names:
        st.session_state[OTHER_KEY] = others[0].id
    chosen = st.selectbox(
        "Other run",
        list(names),
        format_func=lambda job: names.get(job, job),
        key=OTHER_KEY,
        on_change=_write,
    )
    other = next(job for job in others if job.id == chosen)
    try:
        theirs = cache.predictions(run.store.folder(other), other.version, len(run.classes), split)
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    _draw_difference(run, predictions, other, theirs)


def _draw_difference(
    run: OpenRun, predictions: Predictions, other: Job, theirs: Predictions
) -> None:
    first = Result(other.id, other.name, run.job.fingerprint, run.classes, theirs)
    second = Result(run.id, run.job.name, run.job.fingerprint, run.classes, predictions)
    (pair,) = compare([first, second])
    st.markdown(plain(pair.verdict))
    if pair.paired:
        pair_details.matrices(pair)


def _comparable(run: OpenRun, split: Split) -> list[Job]:
    return [
        job
        for job in run.store.jobs(JobKind.TRAIN)
        if job.id != run.id
        and job.fingerprint == run.job.fingerprint
        and job.result.get("classes") == list(run.classes)
        and artifacts.predictions_path(run.store.folder(job), split).is_file()
    ]


def _write() -> None:
    st.query_params[OTHER_KEY] = st.session_state[OTHER_KEY]
