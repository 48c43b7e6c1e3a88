"""Parts of the Evaluate page: headline, the texts of a cell, and the model before training beside
it.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import pandas as pd
import streamlit as st

from core import charts
from core.charts import CellsShow
from core.errors import ArtifactDamaged
from core.evaluation.predictions import Predictions
from core.evaluation.scores import Proportion
from core.runs import artifacts
from core.storage.recovery import BUNDLED_OWNERS
from core.training.events import Split
from ui.app.page_frame import OpenRun
from ui.session import cache, error_boundary
from ui.text import count, per_cent, plain
from ui.widgets import chart_view, tables

View = Literal["before and after training", "difference to another run", "ROC and precision–recall"]
VIEWS: tuple[View, ...] = get_args(View)
SPLITS: tuple[Split, ...] = ("test", "validation")
TRUE_KEY, PREDICTED_KEY, LAST_CELL_KEY = "true-class", "predicted-class", "last-cell"
MATRIX_KEY = "matrix"
SHOWN_TEXTS = 500  # a cell of the diagonal may hold thousands; nobody scrolls through them
TEXT_WIDTH = 400  # px
HOW_TO_READ = """
- **Rows are the true classes, columns what the run said.** The diagonal is right; everything
  beside it is a mistake.
- **Precision** asks how far you can trust a predicted class; **recall** how many texts of a
  class were found; **F1** is their harmonic mean, and macro-F1 its mean over the classes.
- **The 95 % interval** says where the score would most likely fall with other texts of the same
  kind: Wilson's for shares, a bootstrap over the texts for F1. Classes whose intervals overlap
  widely are not told apart by these texts.
- **One way** means that more of one class is taken for the other than the other way round,
  beyond chance (Fisher's exact test, corrected for the pairs shown by Holm's method).
- **ROC and precision–recall** take each class against the rest and look at its probability
  alone. 0.5 under the ROC curve is chance.
- **Margin** is the distance between the two most probable classes. A mistake with a wide margin
  is a confident one.
"""


def choose_split() -> Split:
    """The texts that the page is about."""
    split = st.segmented_control(
        "Split", SPLITS, required=True, default="test", key="scored-on", bind="query-params"
    )
    return split or "test"  # an empty value in the URL gives None


def choose_cells() -> CellsShow:
    """What the cells of the matrices show."""
    show = st.segmented_control(
        "Cells show",
        charts.CELLS_SHOW,
        required=True,
        default="counts",
        key="cells",
        bind="query-params",
    )
    return show or "counts"


def choose_view() -> View:
    """What is looked at beneath the matrix and its texts; only that is computed."""
    st.markdown("#### Look closer")
    view = st.segmented_control(
        "Look closer",
        VIEWS,
        required=True,
        default=VIEWS[0],
        key="view",
        bind="query-params",
        label_visibility="collapsed",
    )
    return view or VIEWS[0]


def read_untrained(run: OpenRun) -> Predictions | None:
    """What the model predicted before training, where it was scored and can be read."""
    if not artifacts.predictions_path(run.folder, "untrained").is_file():
        return None
    try:
        return cache.predictions(run.folder, run.version, len(run.classes), "untrained")
    except ArtifactDamaged:  # the trained model's are what the page is about
        return None


def headline(
    run: OpenRun, split: Split, predictions: Predictions, untrained: Predictions | None
) -> None:
    """The finding as a sentence, and what it was measured on."""
    scores = predictions.scores
    untrained_share = (
        per_cent(untrained.scores.accuracy.value) if untrained and len(untrained) else ""
    )
    before = (
        f"; untrained {untrained_share}" if untrained_share and split == "test" else ""
    )  # it was scored on test texts
    st.subheader(
        f"{with_interval(scores.accuracy)} of {len(predictions):,} {split} texts right{before}",
        anchor=False,
    )
    data = (
        f"{plain(str(run.job.result.get('data', run.request.source.name)))} ·"
        f" `{run.job.fingerprint[:6]}`"
    )
    trained = run.job.result.get("trained_rows")
    rows = [f"{trained:,} training rows"] if isinstance(trained, int) else []
    base = (
        [f"untrained {untrained_share} of {count(len(untrained), 'test texts')}"]
        if untrained and untrained_share
        else []
    )
    low, high = cache.f1_intervals(run.folder, run.version, len(run.classes), split).macro
    macro = f"Macro-F1 {scores.macro_f1:.3f} ({low:.3f}–{high:.3f})"
    st.caption(" · ".join([macro, *base, data, *rows]))
    if run.job.owner in BUNDLED_OWNERS:
        st.badge(
            "Example, shipped with the project and trained on its demo corpus",
            icon=":material/inventory_2:",
            color="gray",
        )


def draw_matrix(predictions: Predictions, classes: Sequence[str], show: CellsShow) -> None:
    """The matrix; a click on a cell chooses it."""
    chart = charts.confusion_matrix(
        predictions.scores.counts, classes, show, chart_view.dark(), _chosen_cell(classes)
    )
    chart_view.draw(chart, key=MATRIX_KEY, select="cell")


def texts_of_cell(run: OpenRun, predictions: Predictions) -> None:
    """The texts behind the chosen cell. The two boxes choose it too: a keyboard reaches them."""
    st.markdown("#### Texts of a cell")
    with st.container(horizontal=True, gap="medium"):
        true = _choose_class("True class", TRUE_KEY, run.classes)
        predicted = _choose_class("Predicted class", PREDICTED_KEY, run.classes)
    if true is None or predicted is None:
        st.caption("Click a cell of the matrix, or choose both classes, to read its texts.")
        return
    found = predictions.in_cell(run.classes.index(true), run.classes.index(predicted))
    what = "recognised" if true == predicted else f"taken for {plain(predicted)}"
    st.markdown(f"**{plain(true)} {what}: {count(len(found), 'texts')}**")
    if not len(found):
        st.caption("No text fell into this cell.")
        return
    try:
        named = found.join(_texts(predictions), on="row")
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    _draw_texts(named, run.classes)


def with_interval(share: Proportion) -> str:
    """``91.2 % (90.5–91.8)``."""
    low, high = share.interval
    return f"{per_cent(share.value)} ({low * 100:.1f}–{high * 100:.1f})" if share.n else "none"


def _chosen_cell(classes: Sequence[str]) -> tuple[str, str] | None:
    """The cell whose texts are read: the one last clicked, or chosen by the boxes under the matrix.
    Comes before both.
    """
    event = st.session_state.get(MATRIX_KEY)
    points = event["selection"].get("cell") if event else None
    clicked = (points[0].get("true"), points[0].get("predicted")) if points else None
    if clicked != st.session_state.get(
        LAST_CELL_KEY
    ):  # an old click does not undo what the boxes say since
        st.session_state[LAST_CELL_KEY] = clicked
        if clicked and set(clicked) <= set(classes):
            choose_cell(*clicked)
    true, predicted = (
        st.session_state.get(key, st.query_params.get(key)) for key in (TRUE_KEY, PREDICTED_KEY)
    )
    return (true, predicted) if true in classes and predicted in classes else None


def _choose_class(label: str, key: str, classes: Sequence[str]) -> str | None:
    return st.selectbox(
        label, classes, index=None, placeholder="choose a class", key=key, bind="query-params"
    )


def choose_cell(true: str, predicted: str) -> None:
    """Make it the cell whose texts are read."""
    st.session_state[TRUE_KEY], st.session_state[PREDICTED_KEY] = true, predicted


def _texts(predictions: Predictions) -> pd.DataFrame:
    if "text" not in predictions.frame:
        raise ArtifactDamaged(
            "The predictions of this run do not carry their texts.", "Train the run again."
        )
    return predictions.frame.set_index("row")[
        ["text", *(f"p{index}" for index in range(predictions.classes))]
    ]


def _draw_texts(found: pd.DataFrame, classes: Sequence[str]) -> None:
    probabilities = {
        f"p{index}": st.column_config.ProgressColumn(
            name, format="percent", min_value=0, max_value=1, width=110
        )
        for index, name in enumerate(classes)
    }
    columns = {
        "text": st.column_config.TextColumn("Text", width=TEXT_WIDTH),
        "margin": st.column_config.NumberColumn(
            "Margin", format="%.2f", width=80, help="Lead of the predicted class over the next one."
        ),
        **probabilities,
    }
    ordered = found.sort_values("margin", ascending=False).head(SHOWN_TEXTS)
    shown = ordered[["text", "margin", *probabilities]].reset_index(drop=True)
    chosen = tables.texts(
        shown,
        key="cell-texts",
        columns=columns,
        alt="Texts of the chosen cell, widest margin first",
    )
    first = (
        f"The {SHOWN_TEXTS:,} with the widest margin, widest"
        if len(found) > SHOWN_TEXTS
        else "Widest margin"
    )
    st.caption(f"{first} first. Choose a row to read its whole text.")
    if chosen is not None:
        with st.container(border=True, key="whole-text"):
            st.text(str(shown["text"].iloc[chosen]))
