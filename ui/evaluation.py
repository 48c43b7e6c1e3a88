"""Parts of the Evaluate page: headline, the texts of a cell, and the model before training beside it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.charts import CellsShow
from core.errors import ArtifactDamaged
from core.evaluation.predictions import Predictions
from core.jobs import artifacts
from core.jobs.rebuild import SHIPPED_OWNER
from ui import drawing, readers, tables
from ui.frame import OpenRun
from ui.words import accuracy, count, per_cent, plain

SPLITS = ("test", "validation")
SPLIT_KEY = "scored-on"
TRUE_KEY, PREDICTED_KEY = "true-class", "predicted-class"
HOW_TO_READ = """
- **Rows are the true classes, columns what the run said.** The diagonal is right; everything beside it is a mistake.
- **Precision** asks how far you can trust a predicted class; **recall** how many texts of a class were found; **F1** is
  their harmonic mean, and macro-F1 its mean over the classes.
- **± is the 95 % interval** (Wilson): with other test texts of the same kind the accuracy would most likely fall within it.
- **Margin** is the distance between the two most probable classes. A mistake with a wide margin is a confident one.
"""


def read(run: OpenRun) -> tuple[Predictions, Predictions | None]:
    """The predictions on the chosen split, and those of the untrained model where they were kept. Raises ArtifactDamaged."""
    split = "validation" if st.session_state.get(SPLIT_KEY, st.query_params.get(SPLIT_KEY)) == "validation" else "test"
    classes = len(run.classes)
    untrained = artifacts.predictions_path(run.folder, "untrained").is_file()
    before = readers.predictions(run.folder, run.version, classes, "untrained") if untrained else None
    return readers.predictions(run.folder, run.version, classes, split), before


def headline(run: OpenRun, predictions: Predictions, untrained: Predictions | None) -> None:
    """The finding as a sentence, and what it was measured on."""
    scores = predictions.scores
    st.subheader(f"{accuracy(scores.accuracy)} of {len(predictions):,} texts right", anchor=False)
    before = f"Untrained {accuracy(untrained.scores.accuracy)} of {len(untrained):,} · " if untrained else ""
    data = f"{plain(str(run.job.result.get('data', run.request.source.name)))} · `{run.job.fingerprint[:6]}`"
    trained = run.job.result.get("trained_rows")
    rows = f" · {trained:,} training rows" if isinstance(trained, int) else ""
    shipped = " · example run, shipped with the project" if run.job.owner == SHIPPED_OWNER else ""
    st.caption(f"Macro-F1 {scores.macro_f1:.3f} · {before}{data}{rows}{shipped}")


def most_confused(predictions: Predictions, classes: Sequence[str]) -> None:
    """The cell off the diagonal that holds most texts, as a sentence."""
    errors = predictions.scores.counts.copy()
    np.fill_diagonal(errors, 0)
    if not errors.any():
        st.caption("No text was taken for another class.")
        return
    true, predicted = np.unravel_index(errors.argmax(), errors.shape)
    share = errors[true, predicted] / errors.sum()
    st.caption(
        f"Most frequent mistake: {plain(classes[true])} taken for {plain(classes[predicted])}, "
        f"{count(errors[true, predicted], 'texts')}, {per_cent(share)} of all mistakes."
    )


def texts_of_cell(run: OpenRun, predictions: Predictions, clicked: object) -> None:
    """The texts behind a cell: the one that was clicked, or chosen by the two boxes, which a keyboard reaches too."""
    st.markdown("#### Texts of a cell")
    _take_click(clicked, run.classes)
    with st.container(horizontal=True, gap="medium"):
        true = st.selectbox("True class", run.classes, index=None, placeholder="click a cell, or choose", key=TRUE_KEY)
        predicted = st.selectbox("Predicted class", run.classes, index=None, placeholder="click a cell, or choose", key=PREDICTED_KEY)
    if true is None or predicted is None:
        st.caption("Click a cell of the matrix to read its texts.")
        return
    found = predictions.in_cell(run.classes.index(true), run.classes.index(predicted))
    what = "recognised" if true == predicted else f"taken for {plain(predicted)}"
    st.markdown(f"**{plain(true)} {what}: {count(len(found), 'texts')}**")
    if len(found):
        _draw_texts(found.join(_texts(predictions), on="row"), predictions, run.classes)


def before_and_after(run: OpenRun, untrained: Predictions | None, show: CellsShow) -> None:
    """The matrix of the untrained model, and of the trained one on the very same texts."""
    st.markdown("#### Before and after training")
    if untrained is None:
        st.caption("The untrained model was not scored in this run.")
        return
    after = _same_rows(readers.predictions(run.folder, run.version, len(run.classes), "test"), untrained)
    sides = st.grid(2, min_column_width=400, gap="large")
    for name, predictions in (("Before", untrained), ("After", after)):
        with sides.cell():
            st.markdown(f"{name}: {accuracy(predictions.scores.accuracy)} of the same {len(predictions):,} test texts right")
            chart = charts.confusion_matrix(predictions.scores.counts, run.classes, show, dark=drawing.dark())
            drawing.draw(chart, key=f"matrix-{name.lower()}")


def _same_rows(predictions: Predictions, others: Predictions) -> Predictions:
    return Predictions.of(predictions.frame[predictions.frame["row"].isin(others.frame["row"])], others.classes)


def _take_click(clicked: object, classes: Sequence[str]) -> None:
    """A new click fills the boxes; the boxes can then be changed without the old click undoing it."""
    points = clicked if isinstance(clicked, list) else []
    cell = (points[0].get("true"), points[0].get("predicted")) if points else None
    if cell == st.session_state.get("last-cell"):
        return
    st.session_state["last-cell"] = cell
    if cell and set(cell) <= set(classes):
        st.session_state[TRUE_KEY], st.session_state[PREDICTED_KEY] = cell


def _texts(predictions: Predictions) -> pd.DataFrame:
    if "text" not in predictions.frame:
        raise ArtifactDamaged("The predictions of this run do not carry their texts.", "Train the run again.")
    return predictions.frame.set_index("row")[["text", *(f"p{index}" for index in range(predictions.classes))]]


def _draw_texts(found: pd.DataFrame, predictions: Predictions, classes: Sequence[str]) -> None:
    share = st.column_config.ProgressColumn
    probabilities = {f"p{index}": share(name, format="percent", min_value=0, max_value=1) for index, name in enumerate(classes)}
    columns = {"margin": st.column_config.NumberColumn("Margin", format="%.2f"), **probabilities}
    shown = found.sort_values("margin", ascending=False)[["text", "margin", *probabilities]].reset_index(drop=True)
    chosen = tables.texts(shown, key="cell-texts", columns=columns, alt="Texts of the chosen cell, widest margin first")
    if chosen is not None:
        st.text(str(shown["text"].iloc[chosen]))
