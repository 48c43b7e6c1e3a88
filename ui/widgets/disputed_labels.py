"""Disputed labels of test texts: scores without them, and the controls that mark and list them."""

from collections.abc import Mapping, Sequence
from functools import partial

import pandas as pd
import streamlit as st

from core.access import Action, is_allowed
from core.data.dataset import Dataset
from core.data.disputed_labels import (
    MOST_OF_A_STUDENT,
    DisputedLabel,
    can_have_disputed,
    count_left,
    count_other_versions,
    read_disputed,
    read_own_disputed,
)
from core.data.quality.findings import read_texts
from core.errors import ArtifactDamaged, LoraLabError
from core.evaluation.class_scores import UndisputedScores
from core.jobs import actions
from core.runs.run import Run
from core.storage.store import Store
from core.training.events import EvaluatedSplit
from core.translation import localize, translate, translate_plural
from ui.session import cache, error_boundary
from ui.text import capitalize, count, format_per_cent, plain
from ui.widgets import tables

Marks = Mapping[int, DisputedLabel]
TEXT_WIDTH = 340  # px


def read(store: Store, run: Run) -> Marks:
    """Read the disputed labels of a run's test texts, by row; damaged ones show an error."""
    return read_of_data(store, run.data_fingerprint)


def read_of_data(store: Store, fingerprint: str) -> Marks:
    """Read the disputed labels of a dataset, by row; damaged ones show an error."""
    try:
        return read_disputed(store, fingerprint)
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return {}


def name_mark(mark: DisputedLabel | None) -> str:
    """Return the cell of a table of texts: empty, yes, or the suggested class."""
    if mark is None:
        return ""
    yes = translate("yes")
    return f"{yes}: {mark.suggested}" if mark.suggested else yes


def score(run: Run, marks: Marks, split: EvaluatedSplit = "test") -> UndisputedScores | None:
    """Score a run without the disputed texts; None if none of them was scored."""
    if split != "test" or not marks:
        return None
    return _score(str(run.folder), run.version, len(run.classes), tuple(sorted(marks)), run)


# a confusion matrix; the bootstrap of its macro-F1 runs once
@st.cache_resource(max_entries=256, show_spinner=False)
def _score(
    folder: str, version: int, classes: int, rows: tuple[int, ...], _run: Run
) -> UndisputedScores | None:
    predictions = cache.read_predictions(_run.folder, version, classes, "test")
    return UndisputedScores.of(predictions, rows)


def draw_scores(run: Run, marks: Marks, split: EvaluatedSplit = "test") -> None:
    """Draw accuracy and macro-F1 without the disputed texts, if any of them was scored."""
    undisputed = score(run, marks, split)
    if undisputed is None:
        return
    accuracy, scores = undisputed.scores.accuracy, undisputed.scores
    without = translate_plural(
        "Without {n:,} text with a disputed label",
        "Without {n:,} texts with a disputed label",
        undisputed.disputed,
    )
    if not accuracy.n:
        st.caption(f"{without}: {translate('no test text remains.')}")
        return
    low, high = (edge * 100 for edge in accuracy.interval)
    f1_low, f1_high = undisputed.macro_f1_interval
    st.markdown(
        translate(
            "{without}: **{accuracy} accuracy** on {n:,} test texts, macro-F1 {f1} {classes}.",
            without=without,
            accuracy=localize(f"{format_per_cent(accuracy.value)} ({low:.1f}–{high:.1f})"),
            n=accuracy.n,
            f1=localize(f"{scores.macro_f1:.3f} ({f1_low:.3f}–{f1_high:.3f})"),
            classes=scores.described_classes,
        )
    )


def draw_form(store: Store, run: Run, marks: Marks, row: int, true: str, predicted: str) -> None:
    """Draw the mark of one test text with its Undo button, or the controls that set one."""
    mark = marks.get(row)
    allowed = is_allowed(store.visitor, Action.DISPUTE)
    if mark is not None:
        disputed = translate(
            "The label {label} is disputed; suggested: {suggested}."
            if mark.suggested
            else "The label {label} is disputed.",
            label=plain(mark.label),
            suggested=plain(mark.suggested),
        )
        st.markdown(f":material/flag: {disputed}")
        if allowed and row in _read_own(store, run.data_fingerprint):
            undo = partial(_undo, store, run.data_fingerprint, run.data_name, (row,))
            st.button(
                translate("Undo"), key=f"undo-dispute-{row}", icon=":material/undo:", on_click=undo
            )
        elif allowed:
            st.caption(translate("The teacher marked this label."))
        return
    if not allowed:
        return
    if not can_have_disputed(run.data_fingerprint):
        st.caption(
            translate("Labels of this run cannot be disputed: it does not identify its dataset.")
        )
        return
    choices = ["", *(name for name in run.classes if name != true)]
    key = f"suggested-{row}"
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.selectbox(
            translate("Suggested label"),
            choices,
            index=choices.index(predicted) if predicted in choices else 0,
            format_func=lambda name: name or capitalize(translate("none")),
            key=key,
            width=260,
            help=translate(
                "The class that fits better, or none. Labels and headline scores do not change."
            ),
        )
        st.button(
            translate("Dispute label"),
            key=f"dispute-{row}",
            icon=":material/flag:",
            on_click=_dispute_one,
            args=(store, run, row, true, key),
        )
    _draw_left(store)


def offer_for_chosen(store: Store, dataset: Dataset, marks: Marks, chosen: pd.DataFrame) -> None:
    """Draw the buttons that dispute the labels of the selected test texts; ``chosen`` has split,
    row, class and competing class.
    """
    test = chosen[(chosen["split"] == "test") & ~chosen["row"].isin(list(marks))]
    if test.empty or not is_allowed(store.visitor, Action.DISPUTE):
        return
    lines = test.astype({"competing class": object}).fillna({"competing class": ""})
    plain_marks, suggesting = (
        [
            DisputedLabel(row=int(row), label=str(label), suggested=suggested if suggest else "")
            for row, label, suggested in zip(
                lines["row"], lines["class"], lines["competing class"], strict=True
            )
        ]
        for suggest in (False, True)
    )
    labels = count(len(lines), "test labels")
    with st.container(horizontal=True):
        for words, disputed, key in (
            (f"Dispute {labels}", plain_marks, "dispute-chosen"),
            (f"Dispute {labels}, with suggestion", suggesting, "dispute-suggesting"),
        ):
            st.button(
                words,
                key=key,
                icon=":material/flag:",
                on_click=_change,
                args=(
                    partial(
                        actions.dispute_labels, store, dataset.fingerprint, dataset.name, disputed
                    ),
                ),
            )
    _draw_left(store)


def _draw_left(store: Store) -> None:
    """Draw how many labels the visitor may still dispute, once half of them are used."""
    try:
        left = count_left(store)
    except ArtifactDamaged:  # ``read`` has shown it
        return
    if left is not None and left <= MOST_OF_A_STUDENT // 2:
        left_over = translate(
            "You may dispute {left:,} more labels, of {most:,}.", left=left, most=MOST_OF_A_STUDENT
        )
        st.caption(left_over)


def draw_list(store: Store, dataset: Dataset, marks: Marks) -> None:
    """Draw the disputed labels of a dataset, and the button that undoes the selected ones."""
    st.markdown("#### Disputed labels")
    st.caption(
        "Test texts stay as they are. Scores are also shown without the texts whose labels are"
        " disputed."
    )
    _warn_about_other_versions(store, dataset)
    if not marks:
        st.caption("None. Select doubtful labels of the test split above, or one text on Errors.")
        return
    own = _read_own(store, dataset.fingerprint)
    rows = sorted(marks)
    named = pd.DataFrame({"split": "test", "row": rows})
    texts = read_texts(dataset, named).set_index("row")["text"]
    table = pd.DataFrame(
        {
            "text": texts.reindex(rows).to_numpy(),
            "label": [marks[row].label for row in rows],
            "suggested": [marks[row].suggested for row in rows],
            "row": rows,
        }
    )
    if any(row not in own for row in rows):
        table["by"] = ["you" if row in own else "teacher" for row in rows]
    chosen = tables.draw_several_texts(
        table,
        key="disputed-labels",
        columns={
            "text": st.column_config.TextColumn("Text", width=TEXT_WIDTH),
            "label": st.column_config.TextColumn("Label", width=130),
            "suggested": st.column_config.TextColumn("Suggested label", width=130),
            "row": st.column_config.NumberColumn("Row", width=70),
            "by": st.column_config.TextColumn("Marked by", width=90),
        },
        alt="Test texts with a disputed label",
    )
    undone = tuple(row for row in (rows[place] for place in chosen) if row in own)
    if is_allowed(store.visitor, Action.DISPUTE):
        st.button(
            f"Undo {count(len(undone), 'selected marks')}" if undone else "Undo selected marks",
            key="undo-disputed",
            icon=":material/undo:",
            disabled=not undone,
            on_click=_undo,
            args=(store, dataset.fingerprint, dataset.name, undone),
        )


def _warn_about_other_versions(store: Store, dataset: Dataset) -> None:
    try:
        others = count_other_versions(store, dataset.name, dataset.fingerprint)
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    if others:
        st.caption(
            f":material/info: {count(others, 'disputed labels')} of another version of"
            f" {plain(dataset.name)} {'is' if others == 1 else 'are'} not applied to this one."
        )


def _read_own(store: Store, fingerprint: str) -> Marks:
    """Read the marks that the visitor may undo; ``read`` has shown that they are damaged."""
    try:
        return read_own_disputed(store, fingerprint)
    except ArtifactDamaged:
        return {}


def _dispute_one(store: Store, run: Run, row: int, true: str, key: str) -> None:
    chosen = st.session_state.get(key)  # not yet compared with the options
    suggested = chosen if chosen in run.classes and chosen != true else ""
    mark = DisputedLabel(row=row, label=true, suggested=suggested)
    _change(partial(actions.dispute_labels, store, run.data_fingerprint, run.data_name, [mark]))


def _undo(store: Store, fingerprint: str, data: str, rows: Sequence[int]) -> None:
    _change(partial(actions.undo_disputes, store, fingerprint, data, rows))


def _change(change: "partial[None]") -> None:
    try:
        change()
    except (LoraLabError, OSError) as error:
        st.toast(plain(f"The mark could not be saved. {error}"), icon=":material/error:")
