"""The Evaluate page: headline, confusion matrix, the texts of a cell, and matrices of two models
side by side.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
import streamlit as st

from core import charts
from core.charts import CellsShow
from core.errors import ArtifactDamaged
from core.evaluation.comparison import compare
from core.evaluation.predictions import Predictions
from core.evaluation.scores import CLASS_ORDERS, Proportion, Scores, choose_confused, sort_classes
from core.runs.compared_runs import make_distinct_names, make_result
from core.runs.run import Run
from core.storage.job import JobKind
from core.training.events import EvaluatedSplit
from core.translation import localize, mark, translate, translate_plural
from ui import navigation
from ui.compare.overview import draw_matrices
from ui.glossary import explain
from ui.session import cache, error_boundary
from ui.session.cache import BoundedCache
from ui.text import format_per_cent, plain
from ui.widgets import chart_view, disputed_labels, tables
from ui.widgets.disputed_labels import Marks

View = Literal["before and after training", "difference to another run", "ROC and precision–recall"]
VIEWS: tuple[View, ...] = get_args(View)
VIEW_NAMES = (
    mark("before and after training"),
    mark("difference to another run"),
    mark("ROC and precision–recall"),
)
Looks = tuple[CellsShow, bool, tuple[str, str] | None, tuple[int, ...]]  # of a matrix
# scores of the untrained and the trained model on the same texts
_paired: BoundedCache[Hashable, tuple[Scores, Scores]] = BoundedCache(32)
SPLITS: tuple[EvaluatedSplit, ...] = ("test", "validation")
SPLIT_NAMES = mark("test"), mark("validation")  # of SPLITS
CELL_TITLES: dict[CellsShow, str] = {
    "counts": mark("counts"),
    "per cent of row": mark("% of row"),
    "errors only": mark("errors only"),
}
TRUE_KEY, PREDICTED_KEY, LAST_CELL_KEY = "true-class", "predicted-class", "last-cell"
CLASSES_KEY, ORDER_KEY, ALL_KEY = "matrix-classes", "matrix-order", "matrix-all"
MOST_COLUMNS = 6  # probabilities in the table of texts; of more classes, those of the cell
MATRIX_KEY, OTHER_KEY = "matrix", "other-run"
SHOWN_TEXTS = 500  # a cell of the diagonal may hold thousands
TEXT_WIDTH = 400  # px
HOW_TO_READ = (  # one item of a list each
    mark(
        "**Rows are true classes, columns are predicted classes.** The diagonal is correct; all"
        " other cells are errors."
    ),
    mark(
        "**Precision** is the proportion of a predicted class that is correct; **recall** is"
        " the proportion of a true class that was found; **F1** is their harmonic mean, and"
        " macro-F1 is its mean over the classes that have texts or predictions. A class with"
        " neither has no scores (–)."
    ),
    mark(
        "**The 95 % interval** shows where the score would likely fall for other texts of the"
        " same kind: Wilson's interval for proportions, a bootstrap over the texts for F1. If"
        " the intervals of two classes overlap widely, these texts show no significant"
        " difference."
    ),
    mark(
        "**Significantly one-sided** means that one class is predicted for the other more often"
        " than the reverse, beyond chance (Fisher's exact test with Holm correction for the"
        " pairs shown)."
    ),
    mark(
        "**ROC and precision–recall** compare each class with the rest, using only its"
        " probability. An area of 0.5 under the ROC curve is chance."
    ),
    mark(
        "**A disputed label** is one that a reader of the text considers wrong. The headline"
        " counts all texts; the line below it leaves out those with a disputed label."
    ),
    mark(
        "**Margin** is the difference between the two highest probabilities. An error with a"
        " large margin is a confident error."
    ),
)


def choose_split() -> EvaluatedSplit:
    """Draw the choice of the split."""
    return navigation.choose(translate("Split"), SPLITS, key="scored-on", default="test")


def choose_cells() -> CellsShow:
    """Draw the choice of what the matrix cells show."""
    return navigation.choose(
        translate("Show"),
        charts.CELLS_SHOW,
        key="cells",
        default="counts",
        names=lambda cells: translate(CELL_TITLES[cells]),
    )


def choose_view() -> View:
    """Draw the choice of the view below the matrix; only the chosen view is computed."""
    st.markdown(f"#### {translate('Details')}")
    return navigation.choose(
        translate("Details"), VIEWS, key="view", default=VIEWS[0], label_visibility="collapsed"
    )


def read_untrained(run: Run) -> Predictions | None:
    """Read the predictions before training, if they exist and are readable."""
    if not run.has_predictions("untrained"):
        return None
    try:
        return cache.read_predictions(run.folder, run.version, len(run.classes), "untrained")
    except ArtifactDamaged:  # the page works without them
        return None


def draw_headline(
    run: Run, split: EvaluatedSplit, predictions: Predictions, untrained: Predictions | None
) -> None:
    """Draw the accuracy as the headline, and what it was measured on."""
    scores = predictions.scores
    untrained_share = (
        localize(format_per_cent(untrained.scores.accuracy.value))
        if untrained and len(untrained)
        else ""
    )
    headline = translate(
        "{accuracy} accuracy on {n:,} test texts"
        if split == "test"
        else "{accuracy} accuracy on {n:,} validation texts",
        accuracy=with_interval(scores.accuracy),
        n=len(predictions),
    )
    # the untrained model is scored on test texts
    if untrained_share and split == "test":
        headline += f"; {translate('untrained {accuracy}', accuracy=untrained_share)}"
    st.subheader(
        headline,
        anchor=False,
        help=explain("accuracy", "95 % interval", "untrained score"),
    )
    data = f"{plain(run.data_name)} · `{run.fingerprint[:6]}`"
    trained = run.result.trained_rows
    rows = [] if trained is None else [translate("{rows:,} training rows", rows=trained)]
    base = []
    if untrained and untrained_share:
        texts = translate_plural("{n:,} test text", "{n:,} test texts", len(untrained))
        base = [translate("untrained {accuracy} ({texts})", accuracy=untrained_share, texts=texts)]
    low, high = cache.compute_f1_intervals(run.folder, run.version, len(run.classes), split).macro
    macro = localize(f"Macro-F1 {scores.macro_f1:.3f} ({low:.3f}–{high:.3f})")
    macro = f"{macro} {scores.described_classes}"
    st.caption(" · ".join([macro, *base, data, *rows]))
    if run.bundled:
        st.badge(
            translate("Example, included with the project and trained on its demo corpus"),
            icon=":material/inventory_2:",
            color="gray",
        )


def choose_classes(predictions: Predictions, classes: Sequence[str]) -> Sequence[int]:
    """Draw the choice of the classes in the matrix and of their order, if there is no room for all;
    return their ids in that order.
    """
    counts = predictions.scores.counts
    if len(classes) <= charts.MOST_LABELED:
        return range(len(classes))
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        names = st.multiselect(
            translate("Classes in the matrix"),
            classes,
            placeholder=translate("the {n} with the most errors", n=charts.MOST_LABELED),
            key=CLASSES_KEY,
            bind="query-params",
        )
        order = st.selectbox(
            translate("Order"), CLASS_ORDERS, key=ORDER_KEY, bind="query-params", width=200
        )
        everything = st.toggle(
            translate("All {n}", n=len(classes)), key=ALL_KEY, bind="query-params"
        )
    if everything:
        chosen = np.arange(len(classes))
    elif names:
        chosen = np.array([classes.index(name) for name in names])
    else:
        chosen = choose_confused(counts, charts.MOST_LABELED)
    return [int(index) for index in sort_classes(counts, chosen, order or CLASS_ORDERS[0])]


def draw_matrix(
    run: Run,
    split: EvaluatedSplit,
    predictions: Predictions,
    show: CellsShow,
    drawn: Sequence[int],
) -> None:
    """Draw the matrix of the classes ``drawn``; a click on a cell selects it."""
    looks = show, chart_view.is_dark(), _chosen_cell(run.classes), tuple(drawn)
    chart = chart_view.share(
        (run.folder, run.version, predictions.row_key, MATRIX_KEY, split, *looks),
        lambda: charts.draw_confusion_matrix(predictions.scores.counts, run.classes, *looks),
    )
    chart_view.draw(chart, key=MATRIX_KEY, select="cell")


def draw_texts_of_cell(
    run: Run, split: EvaluatedSplit, predictions: Predictions, disputed: Marks
) -> None:
    """Draw the texts of the selected cell; two select boxes make it selectable by keyboard. The
    label of a selected test text can be disputed.
    """
    st.markdown(f"#### {translate('Texts in the selected cell')}")
    with st.container(horizontal=True, gap="medium"):
        true = _choose_class(translate("True class"), TRUE_KEY, run.classes)
        predicted = _choose_class(translate("Predicted class"), PREDICTED_KEY, run.classes)
    if true is None or predicted is None:
        st.caption(
            translate("Click a cell of the matrix, or choose both classes, to see its texts.")
        )
        return
    cell_rows = predictions.list_cell(run.classes.index(true), run.classes.index(predicted))
    outcome = translate(
        "{true} predicted correctly" if true == predicted else "{true} predicted as {predicted}",
        true=plain(true),
        predicted=plain(predicted),
    )
    texts = translate_plural("{n:,} text", "{n:,} texts", len(cell_rows))
    st.markdown(f"**{outcome}: {texts}**")
    if not len(cell_rows):
        st.caption(translate("This cell has no texts."))
        return
    try:
        named = cell_rows.join(_texts(predictions), on="row")
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    row = _draw_texts(named, run.classes, disputed if split == "test" else {})
    if row is None:
        return
    with st.container(border=True, key="whole-text"):
        st.text(str(named.loc[named["row"] == row, "text"].iloc[0]))
        st.caption(
            translate(
                "Row {row:,} of the test split"
                if split == "test"
                else "Row {row:,} of the validation split",
                row=row,
            )
        )
        if split == "test":
            disputed_labels.draw_form(cache.open_lab(), run, disputed, row, true, predicted)


def with_interval(share: Proportion) -> str:
    """Format a proportion with its interval: ``91.2 % (90.5–91.8)``."""
    low, high = share.interval
    if not share.n:
        return translate("none")
    return localize(f"{format_per_cent(share.value)} ({low * 100:.1f}–{high * 100:.1f})")


def _chosen_cell(classes: Sequence[str]) -> tuple[str, str] | None:
    """Return the cell last clicked or chosen in the boxes; call this before drawing either."""
    event = st.session_state.get(MATRIX_KEY)
    points = event["selection"].get("cell") if event else None
    clicked = (points[0].get("true"), points[0].get("predicted")) if points else None
    # an old click does not undo a later choice in the boxes
    if clicked != st.session_state.get(LAST_CELL_KEY):
        st.session_state[LAST_CELL_KEY] = clicked
        if clicked and set(clicked) <= set(classes):
            choose_cell(*clicked)
    true, predicted = (
        st.session_state.get(key, st.query_params.get(key)) for key in (TRUE_KEY, PREDICTED_KEY)
    )
    return (true, predicted) if true in classes and predicted in classes else None


def _choose_class(label: str, key: str, classes: Sequence[str]) -> str | None:
    return st.selectbox(
        label,
        classes,
        index=None,
        placeholder=translate("Choose a class"),
        key=key,
        bind="query-params",
    )


def choose_cell(true: str, predicted: str) -> None:
    """Select the cell whose texts are shown."""
    st.session_state[TRUE_KEY], st.session_state[PREDICTED_KEY] = true, predicted


def _texts(predictions: Predictions) -> pd.DataFrame:
    if "text" not in predictions.frame:
        raise ArtifactDamaged(
            mark("The predictions of this run do not contain their texts."),
            mark("Train the run again."),
        )
    return predictions.frame.set_index("row")[
        ["text", *(f"p{index}" for index in range(predictions.classes))]
    ]


def _draw_texts(cell_rows: pd.DataFrame, classes: Sequence[str], disputed: Marks) -> int | None:
    """Draw the texts as a table and return the selected row."""
    of_cell = {*cell_rows["true"], *cell_rows["predicted"]}
    probabilities = {
        f"p{index}": st.column_config.ProgressColumn(
            name, format="percent", min_value=0, max_value=1, width=110
        )
        for index, name in enumerate(classes)
        if len(classes) <= MOST_COLUMNS or index in of_cell
    }
    columns = {
        "text": st.column_config.TextColumn(translate("Text"), width=TEXT_WIDTH),
        "margin": st.column_config.NumberColumn(
            translate("Margin"),
            **tables.decimals(2),
            width=80,
            help=translate("Probability of the predicted class minus that of the next one."),
        ),
        **probabilities,
        "disputed": st.column_config.TextColumn(translate("Disputed"), width=110),
    }
    ordered = cell_rows.sort_values("margin", ascending=False).head(SHOWN_TEXTS)
    shown = ordered[["text", "margin", *probabilities]].reset_index(drop=True)
    if any(row in disputed for row in ordered["row"]):
        shown["disputed"] = [disputed_labels.name_mark(disputed.get(row)) for row in ordered["row"]]
    chosen = tables.draw_texts(
        shown,
        key="cell-texts",
        columns=columns,
        alt=translate("Texts of the selected cell, most confident first"),
    )
    st.caption(
        translate(
            "The {n:,} most confident texts, most confident first. Select a row to read the whole"
            " text."
            if len(cell_rows) > SHOWN_TEXTS
            else "Most confident first. Select a row to read the whole text.",
            n=SHOWN_TEXTS,
        )
    )
    return None if chosen is None else int(ordered["row"].iloc[chosen])


def draw_before_and_after(
    run: Run, untrained: Predictions | None, show: CellsShow, drawn: Sequence[int]
) -> None:
    """Draw the matrices of the untrained and the trained model, with the classes ``drawn``, on the
    same texts.
    """
    if untrained is None:
        st.caption(
            translate(
                "The untrained model was not scored in this run, or its predictions are unreadable."
            )
        )
        return
    try:
        after = cache.read_predictions(run.folder, run.version, len(run.classes), "test")
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    rows_key = untrained.row_key, after.row_key
    sides_key = run.folder, run.version, rows_key, "before and after"
    both = _paired.get_or_make(
        sides_key,
        lambda: (
            untrained.select_rows(after.rows).scores,
            after.select_rows(untrained.rows).scores,
        ),
    )
    st.caption(
        translate_plural(
            "Both on the same {n:,} test text.",
            "Both on the same {n:,} test texts.",
            both[0].accuracy.n,
        )
    )
    sides = st.grid(chart_view.count_columns(run.classes), min_column_width=400, gap="large")
    for name, scores in zip(("Before", "After"), both, strict=True):
        looks = show, chart_view.is_dark(), None, tuple(drawn)

        def make(name: str = name, scores: Scores = scores, looks: Looks = looks) -> charts.Chart:
            chart = charts.draw_confusion_matrix(scores.counts, run.classes, *looks)
            title = translate(
                "Before training: {accuracy} accuracy"
                if name == "Before"
                else "After training: {accuracy} accuracy",
                accuracy=with_interval(scores.accuracy),
            )
            return replace(chart, title=title)

        with sides.cell():
            chart = chart_view.share((*sides_key, name, *looks), make)
            chart_view.draw(chart, key=f"{MATRIX_KEY}-{name.lower()}")


def draw_another_run(run: Run, split: EvaluatedSplit, predictions: Predictions) -> None:
    """Draw the difference to another run on the same data, and whether it is significant."""
    others = _comparable(run, split)
    if not others:
        st.caption(
            translate(
                "No other run has test predictions on the same data with the same classes."
                if split == "test"
                else "No other run has validation predictions on the same data with the same"
                " classes."
            )
        )
        return
    names = make_distinct_names([run.job, *(other.job for other in others)])
    st.session_state.setdefault(OTHER_KEY, st.query_params.get(OTHER_KEY))
    if st.session_state[OTHER_KEY] not in {other.id for other in others}:
        st.session_state[OTHER_KEY] = others[0].id
    chosen = st.selectbox(
        translate("Other run"),
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
        draw_matrices(pair)


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
