"""The Evaluate page: comparison with the untrained model and with another run, on the same
texts.
"""

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from core import charts
from core.charts import CellsShow
from core.errors import ArtifactDamaged
from core.evaluation.comparison import compare
from core.evaluation.predictions import Predictions
from core.runs.compared_runs import make_distinct_names, make_result
from core.runs.run import Run
from core.storage.job import JobKind
from core.training.events import EvaluatedSplit
from ui.compare import pair_details
from ui.evaluate.confusion import MATRIX_KEY, with_interval
from ui.session import cache, error_boundary
from ui.text import count, plain
from ui.widgets import chart_view

OTHER_KEY = "other-run"


def draw_before_and_after(
    run: Run, untrained: Predictions | None, show: CellsShow, drawn: Sequence[int]
) -> None:
    """Draw the matrices of the untrained and the trained model, with the classes ``drawn``, on the
    same texts.
    """
    if untrained is None:
        st.caption(
            "The untrained model was not scored in this run, or its predictions are unreadable."
        )
        return
    try:
        after = cache.read_predictions(run.folder, run.version, len(run.classes), "test")
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    before, after = untrained.select_rows(after.rows), after.select_rows(untrained.rows)
    st.caption(f"Both on the same {count(len(after), 'test texts')}.")
    sides = st.grid(chart_view.count_columns(run.classes), min_column_width=400, gap="large")
    for name, predictions in (("Before", before), ("After", after)):
        with sides.cell():
            chart = charts.draw_confusion_matrix(
                predictions.scores.counts, run.classes, show, chart_view.is_dark(), drawn=drawn
            )
            title = f"{name} training: {with_interval(predictions.scores.accuracy)} accuracy"
            chart_view.draw(replace(chart, title=title), key=f"{MATRIX_KEY}-{name.lower()}")


def draw_another_run(run: Run, split: EvaluatedSplit, predictions: Predictions) -> None:
    """Draw the difference to another run on the same data, and whether it is significant."""
    others = _comparable(run, split)
    if not others:
        st.caption(f"No other run has {split} predictions on the same data with the same classes.")
        return
    names = make_distinct_names([run.job, *(other.job for other in others)])
    st.session_state.setdefault(OTHER_KEY, st.query_params.get(OTHER_KEY))
    if st.session_state[OTHER_KEY] not in {other.id for other in others}:
        st.session_state[OTHER_KEY] = others[0].id
    chosen = st.selectbox(
        "Other run",
        [other.id for other in others],
        format_func=lambda job: names.get(job, job),
        key=OTHER_KEY,
        on_change=_write,
    )
    other = next(other for other in others if other.id == chosen)
    try:
        theirs = cache.read_predictions(other.folder, other.version, len(run.classes), split)
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    first = make_result(other, theirs, names[other.id])
    (pair,) = compare([first, make_result(run, predictions, names[run.id])])
    st.markdown(plain(pair.verdict))
    if pair.paired:
        pair_details.draw_matrices(pair)


def _comparable(run: Run, split: EvaluatedSplit) -> list[Run]:
    store = cache.open_lab()
    others = (Run.of(store, job) for job in store.list_jobs(JobKind.TRAIN))
    return [
        other
        for other in others
        if other.id != run.id
        and other.fingerprint == run.fingerprint
        and other.result.classes == run.classes
        and other.has_predictions(split)
    ]


def _write() -> None:
    st.query_params[OTHER_KEY] = st.session_state[OTHER_KEY]
