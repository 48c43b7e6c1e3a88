"""Parts of the Errors page: rows by loss, slices that do worse than the rest, tags and notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core import charts
from core.errors import LoraLabError
from core.evaluation.predictions import Predictions
from core.evaluation.slices import CONFIDENT, Slice, confident_mistakes, contradicted_labels
from core.evaluation.tags import LONGEST_NOTE, TAGS, Tag, read_tags
from core.jobs.actions import tag_text
from ui.app.page_frame import OpenRun
from ui.session import error_boundary
from ui.text import count, per_cent, plain
from ui.widgets import chart_view, tables

VIEWS = ("all mistakes", "confident mistakes", "contradicted labels", "tagged", "all texts")
SHOWN = 500  # of the list; the download has all
SEARCH_KEY, SLICE_KEY, VIEW_KEY, LIST_KEY = "words", "slice", "rows", "error-list"
HOW_TO_READ = f"""
- **Loss** is the cross-entropy in nats: how little probability the true class was given. The
  list begins with the highest.
- **Confident mistakes** are wrong with a probability of {CONFIDENT * 100:.0f} % or more.
- **Contradicted labels** are texts that the model gives to another class as surely as it gives
  that class its own texts (confident learning, Northcutt et al. 2021). Some of these labels are
  wrong, others are mistakes of the model: only reading tells.
- **Slices** set the accuracy of some texts against that of all others. p is Fisher's exact test,
  corrected for all slices by Holm's method; a search counts as one slice more. A slice that is
  not told apart from the rest may still be: these texts cannot tell.
- **Tags and notes** are kept with the run and stay when the app is restarted.
"""


@dataclass(frozen=True, eq=False)
class Rows:
    """What the list may show: a line a test text, with its marks, and the tags of the run."""

    table: pd.DataFrame
    tags: dict[int, Tag]


def read_rows(run: OpenRun, predictions: Predictions) -> Rows:
    """Every test text with its classes, loss, doubts and tag. Tags that cannot be read are said and
    left out.
    """
    try:
        tags = read_tags(run.folder)
    except LoraLabError as error:
        error_boundary.show(error)
        tags = {}
    names = np.asarray(run.classes, dtype=object)
    table = predictions.table()
    shares = predictions.probabilities
    table = table.assign(
        wrong=table["true"] != table["predicted"],
        confident=confident_mistakes(predictions),
        contradicted=contradicted_labels(predictions),
        of_true=shares[np.arange(len(table)), predictions.true],
        true=names[predictions.true],
        predicted=names[predictions.predicted],
        text=predictions.frame["text"].to_numpy() if "text" in predictions.frame else "",
        tag=[tags[row].tag if row in tags else "" for row in predictions.rows],
        note=[tags[row].note if row in tags else "" for row in predictions.rows],
    )
    return Rows(table, tags)


def headline(rows: Rows, predictions: Predictions) -> None:
    """How many are wrong, how many of them confidently, and how many labels are in doubt."""
    table, accuracy = rows.table, predictions.scores.accuracy
    low, high = (100 - 100 * edge for edge in accuracy.interval[::-1])
    wrong = accuracy.n - accuracy.hits
    share = (
        f" ({per_cent(wrong / accuracy.n)}, 95 % interval {low:.1f} to {high:.1f})"
        if accuracy.n
        else ""
    )
    st.subheader(f"{wrong:,} of {accuracy.n:,} test texts are wrong{share}", anchor=False)
    st.caption(
        f"{int(table['confident'].sum()):,} with a confidence of {CONFIDENT * 100:.0f} % or more ·"
        f" {int(table['contradicted'].sum()):,} labels confidently contradicted ·"
        f" {len(rows.tags):,} tagged"
    )


def draw_slices(slices: Sequence[Slice], searched: Slice | None) -> None:
    """Accuracy of each slice against the rest, worst first, as a picture and a table."""
    st.markdown("#### Where it is worse than elsewhere")
    shown = [*([searched] if searched else []), *slices]
    if not shown:
        st.caption("There are too few texts to tell slices apart.")
        return
    worse = [one for one in slices if one.decided and one.difference < 0]
    st.markdown(
        "Worse than the rest beyond chance:"
        f" {', '.join(plain(f'{one.kind} {one.name}') for one in worse)}."
        if worse
        else "No slice is worse than the rest by more than chance."
    )
    table = pd.DataFrame(
        {
            "kind": [one.kind for one in shown],
            "slice": [one.name for one in shown],
            "texts": [one.inside.n for one in shown],
            "accuracy": [one.inside.value for one in shown],
            "low": [one.inside.interval[0] for one in shown],
            "high": [one.inside.interval[1] for one in shown],
            "rest": [one.rest.value for one in shown],
            "told": [one.decided for one in shown],
        }
    )
    chart_view.draw(charts.slices(table), key="slices-chart", twin=False)
    tables.plain(
        _slice_table(shown),
        key="slices",
        rows_in_view=8,
        alt="Accuracy of each slice against the rest",
    )


def choose(
    slices: Sequence[Slice], searched: Slice | None, words: str
) -> tuple[str, NDArray[np.bool_] | None]:
    """Which texts the list shows: the view, and the slice or search that narrows it."""
    st.markdown("#### Texts")
    names = {f"{one.kind}: {one.name}": one for one in slices}
    with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
        view = (
            st.segmented_control(
                "Show", VIEWS, required=True, default=VIEWS[0], key=VIEW_KEY, bind="query-params"
            )
            or VIEWS[0]
        )
        name = st.selectbox(
            "Slice",
            list(names),
            index=None,
            placeholder="all texts",
            key=SLICE_KEY,
            bind="query-params",
        )
    mask = names[name].mask if name in names else None
    if searched is not None:
        mask = searched.mask if mask is None else mask & searched.mask
        st.caption(f"Only texts that hold “{plain(words)}”.")
    return view, mask


def draw_list(rows: Rows, view: str, mask: NDArray[np.bool_] | None) -> int | None:
    """The texts by loss, highest first, and all of them to take away; the row that was chosen, or
    None.
    """
    found = _of_view(rows.table if mask is None else rows.table[mask], view).sort_values(
        ["loss", "row"], ascending=[False, True]
    )
    if found.empty:
        st.caption(
            "No text is to be shown here."
            if view != "tagged"
            else "No text has been tagged yet. Choose a row of another list."
        )
        return None
    shown = found.head(SHOWN)[
        ["text", "true", "predicted", "loss", "confidence", "of_true", "tag", "note"]
    ].reset_index(drop=True)
    share = partial(
        st.column_config.ProgressColumn, format="percent", min_value=0, max_value=1, width=110
    )
    columns = {
        "text": st.column_config.TextColumn("Text", width=400),
        "true": st.column_config.TextColumn("True class"),
        "predicted": st.column_config.TextColumn("Predicted"),
        "loss": st.column_config.NumberColumn(
            "Loss", format="%.2f", width=70, help="Cross-entropy in nats."
        ),
        "confidence": share("Confidence", help="Probability of the predicted class."),
        "of_true": share("True class had", help="Probability of the true class."),
        "tag": st.column_config.TextColumn("Tag"),
        "note": st.column_config.TextColumn("Note"),
    }
    place = tables.texts(shown, key=LIST_KEY, columns=columns, alt="Texts by loss, highest first")
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        first = (
            f"The {SHOWN:,} of {count(len(found), 'texts')} with the highest loss"
            if len(found) > SHOWN
            else count(len(found), "texts")
        )
        st.caption(f"{first}, highest loss first. Choose a row to read it whole and to tag it.")
        st.download_button(
            "Download list",
            data=lambda: tables.csv(found.drop(columns=["wrong", "confident", "contradicted"])),
            file_name="errors.csv",
            mime="text/csv",
            key="errors-csv",
            on_click="ignore",
            icon=":material/download:",
        )
    return int(found["row"].iloc[place]) if place is not None else None


def read_and_tag(run: OpenRun, rows: Rows, predictions: Predictions, row: int) -> None:
    """The whole text with its probabilities, and a form for its tag and note."""
    line = rows.table[rows.table["row"] == row].iloc[0]
    known = rows.tags.get(row)
    sides = st.grid(2, min_column_width=380, gap="large")
    with sides.cell(), st.container(border=True, key="whole-text"):
        st.text(str(line["text"]))
        st.caption(f"Row {row:,} of the test split")
        shares = predictions.probabilities[int(np.flatnonzero(predictions.rows == row)[0])]
        chart_view.draw(
            charts.probabilities(shares.tolist(), run.classes, "Probabilities"),
            key="row-probabilities",
            twin=False,
        )
    with sides.cell(), st.form(f"tag-{row}"):
        tag = st.selectbox(
            "Tag",
            TAGS,
            index=TAGS.index(known.tag) if known and known.tag in TAGS else 0,
            key=f"tag-of-{row}",
        )
        note = st.text_area(
            "Note",
            known.note if known else "",
            max_chars=LONGEST_NOTE,
            key=f"note-of-{row}",
            placeholder="why?",
        )
        with st.container(horizontal=True):
            keep = st.form_submit_button("Keep tag", type="primary", key=f"keep-{row}")
            drop = st.form_submit_button("Remove tag", disabled=known is None, key=f"drop-{row}")
    if keep or drop:
        try:
            tag_text(run.store, run.job, row, (tag or "") if keep else "", note or "")
        except LoraLabError as error:
            error_boundary.show(error)
            return
        st.rerun()


def _of_view(table: pd.DataFrame, view: str) -> pd.DataFrame:
    column = {
        "all mistakes": "wrong",
        "confident mistakes": "confident",
        "contradicted labels": "contradicted",
    }.get(view)
    if column:
        return table[table[column]]
    return table[table["tag"] != ""] if view == "tagged" else table


def _slice_table(shown: Sequence[Slice]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Slice": [f"{one.kind}: {one.name}" for one in shown],
            "Texts": [one.inside.n for one in shown],
            "Right": [_interval(one) for one in shown],
            "Rest": [per_cent(one.rest.value) for one in shown],
            "p": ["< 0.001" if one.p_value < 0.001 else f"{one.p_value:.3f}" for one in shown],
        }
    )


def _interval(one: Slice) -> str:
    low, high = one.inside.interval
    return f"{per_cent(one.inside.value)} ({low * 100:.1f}–{high * 100:.1f})"
