"""The Errors page: texts by loss, slices with low accuracy, tags and notes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core import charts
from core.errors import LoraLabError
from core.evaluation.error_analysis import (
    CONFIDENT,
    LONGEST_NOTE,
    TAGS,
    Slice,
    Tag,
    find_confident_mistakes,
    find_contradicted_labels,
    read_tags,
)
from core.evaluation.predictions import Predictions
from core.jobs.actions import tag_text
from core.runs.run import Run
from core.translation import localize, mark, translate, translate_plural, translate_recorded
from ui import navigation
from ui.glossary import explain
from ui.session import cache, drafts, error_boundary
from ui.text import capitalize, format_per_cent, plain
from ui.widgets import chart_view, disputed_labels, tables
from ui.widgets.disputed_labels import Marks

VIEWS = (
    mark("all mistakes"),
    mark("confident mistakes"),
    mark("contradicted labels"),
    mark("disputed"),
    mark("tagged"),
    mark("all texts"),
)
EMPTY = {
    "tagged": mark("No tagged texts yet. Select a row of another list to tag it."),
    "disputed": mark("No disputed labels yet. Select a row of another list to dispute its label."),
}
SLICE_WIDTH = 170  # px: next to the number of texts and the accuracy on a phone
TEXT_WIDTH = 300  # px: next to the classes on a page of 900 px
LISTED = (
    "text",
    "true",
    "predicted",
    "loss",
    "confidence",
    "of_true",
    "disputed",
    "tag",
    "note",
)
SHOWN = 500  # rows of the list; the download contains all
SEARCH_KEY, SLICE_KEY, VIEW_KEY, LIST_KEY = "words", "slice", "rows", "error-list"
HOW_TO_READ = mark("""\
- **Loss** is the cross-entropy in nats: the lower the probability of the true class, the higher
  the loss. The list starts with the highest.
- **Confident mistakes** are wrong predictions with a probability of {confident:.0f} % or
  more.
- **Contradicted labels** are texts that the model assigns to another class as confidently as
  that class's own texts (confident learning, Northcutt et al. 2021). Some of these labels are
  wrong, others are errors of the model: read the texts to decide.
- **Slices** compare the accuracy on some texts with that on all others. p is from Fisher's exact
  test with Holm correction over all slices; a search counts as one more slice. No significant
  difference does not mean that there is none: there may be too few texts.
- **Disputed labels** are stored with the dataset. All scores here count all texts; Evaluate also
  shows them without the disputed ones.
- **Tags and notes** are stored with the run.
""")


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of the list, one per test text, the run's tags, and the disputed labels."""

    table: pd.DataFrame
    tags: dict[int, Tag]
    disputed: Marks
    key: int  # of the texts


def read_rows(run: Run, predictions: Predictions, disputed: Marks) -> Rows:
    """Read every test text with classes, loss, flags, tag and mark; unreadable tags show an
    error.
    """
    try:
        tags = read_tags(run.folder)
    except LoraLabError as error:
        error_boundary.show(error)
        tags = {}
    rows = predictions.rows
    table = _tabulate(
        run.folder, run.version, run.classes, predictions.row_key, predictions
    ).assign(
        tag=[tags[row].tag if row in tags else "" for row in rows] if tags else "",
        note=[tags[row].note if row in tags else "" for row in rows] if tags else "",
        disputed=(
            [disputed_labels.name_mark(disputed.get(row)) for row in rows] if disputed else ""
        ),
    )
    return Rows(table, tags, disputed, predictions.row_key)


# 7,600 rows take 1 MB without their texts, which the predictions hold
@st.cache_resource(max_entries=8, show_spinner=False)
def _tabulate(
    folder: Path, version: int, classes: tuple[str, ...], row_key: int, _predictions: Predictions
) -> pd.DataFrame:
    """Return every test text with classes, loss and flags. Shared: never change it."""
    predictions, names = _predictions, np.asarray(classes, dtype=object)
    table = predictions.tabulate()
    shares = predictions.probabilities
    return table.assign(
        wrong=table["true"] != table["predicted"],
        confident=find_confident_mistakes(predictions),
        contradicted=find_contradicted_labels(predictions),
        of_true=shares[np.arange(len(table)), predictions.true],
        true=names[predictions.true],
        predicted=names[predictions.predicted],
        text=predictions.frame["text"].to_numpy() if "text" in predictions.frame else "",
    )


def explain_reading() -> str:
    """Return how to read the page."""
    return translate(HOW_TO_READ, confident=CONFIDENT * 100)


def draw_headline(rows: Rows, predictions: Predictions) -> None:
    """Draw the numbers of errors, confident errors and contradicted labels."""
    table, accuracy = rows.table, predictions.scores.accuracy
    low, high = (100 - 100 * edge for edge in accuracy.interval[::-1])
    wrong = accuracy.n - accuracy.hits
    st.subheader(
        translate(
            "{wrong:,} of {n:,} test texts misclassified ({share}, 95 % interval {low:.1f} to"
            " {high:.1f})"
            if accuracy.n
            else "{wrong:,} of {n:,} test texts misclassified",
            wrong=wrong,
            n=accuracy.n,
            share=localize(format_per_cent(wrong / accuracy.n)) if accuracy.n else "",
            low=low,
            high=high,
        ),
        anchor=False,
        help=explain("correct", "95 % interval"),
    )
    st.caption(
        translate(
            "{confident:,} with a confidence of {threshold:.0f} % or more · {contradicted:,} labels"
            " contradicted · {disputed:,} disputed · {tagged:,} tagged",
            confident=int(table["confident"].sum()),
            threshold=CONFIDENT * 100,
            contradicted=int(table["contradicted"].sum()),
            disputed=int((table["disputed"] != "").sum()),
            tagged=len(rows.tags),
        )
    )


def draw_slices(run: Run, slices: Sequence[Slice], searched: Slice | None) -> None:
    """Draw the accuracy of each slice against the rest, lowest first, as a chart and a table."""
    st.markdown(f"#### {translate('Weak spots')}")
    shown = [*([searched] if searched else []), *slices]
    if not shown:
        st.caption(translate("There are too few texts to compare slices."))
        return
    worse = [part for part in slices if part.decided and part.difference < 0]
    st.markdown(
        translate(
            "Significantly worse than the rest: {slices}.",
            slices=", ".join(plain(_name_slice(part, " ")) for part in worse),
        )
        if worse
        else translate("No slice is significantly worse than the rest.")
    )
    texts = shown[0].inside.n + shown[0].rest.n
    key = run.folder, run.version, texts, "slices", searched.name if searched else None
    chart = chart_view.share(key, lambda: charts.draw_slices(_tabulate_slices(shown)))
    chart_view.draw(chart, key="slices-chart", twin=False)
    tables.draw_plain(
        tables.share(key, lambda: _slice_table(shown)),
        key="slices",
        columns={translate("Slice"): st.column_config.TextColumn(width=SLICE_WIDTH)},
        rows_in_view=8,
        alt=translate("Accuracy of each slice against the rest"),
    )


def _tabulate_slices(shown: Sequence[Slice]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "kind": [translate(part.kind) for part in shown],
            "slice": [_translate_name(part) for part in shown],
            "texts": [part.inside.n for part in shown],
            "accuracy": [part.inside.value for part in shown],
            "low": [part.inside.interval[0] for part in shown],
            "high": [part.inside.interval[1] for part in shown],
            "rest": [part.rest.value for part in shown],
            "significant": [part.decided for part in shown],
        }
    )


def choose(
    slices: Sequence[Slice], searched: Slice | None, words: str
) -> tuple[str, NDArray[np.bool_] | None]:
    """Draw the choice of the listed texts: the view, and the slice that narrows it."""
    st.markdown(f"#### {translate('Texts')}")
    names = {f"{part.kind}: {part.name}": part for part in slices}
    with st.container(horizontal=True, gap="large", vertical_alignment="bottom"):
        view = navigation.choose(translate("Show"), VIEWS, key=VIEW_KEY, default=VIEWS[0])
        name = navigation.choose_or_none(
            translate("Slice"),
            list(names),
            key=SLICE_KEY,
            placeholder=translate("all texts"),
            names=lambda name: _name_slice(names[name], ": "),
        )
    mask = names[name].mask if name in names else None
    if searched is not None:
        mask = searched.mask if mask is None else mask & searched.mask
        st.caption(translate("Only texts that contain “{words}”.", words=plain(words)))
    return view, mask


def draw_list(run: Run, rows: Rows, view: str, mask: NDArray[np.bool_] | None) -> int | None:
    """Draw the texts by loss, highest first, with a download; return the selected row or None."""
    listed = _of_view(rows.table if mask is None else rows.table[mask], view)
    if listed.empty:
        st.caption(translate(EMPTY.get(view, mark("No texts to show."))))
        return None
    narrowed = None if mask is None else mask.tobytes()
    marks = repr((rows.tags, rows.disputed))  # which this visitor may see
    shown = tables.share(
        (run.folder, run.version, rows.key, LIST_KEY, view, narrowed, marks),
        lambda: _sort(listed).head(SHOWN)[list(LISTED)].assign(tag=_name_tags),
    )
    position = tables.draw_texts(
        shown, key=LIST_KEY, columns=_columns(), alt=translate("Texts by loss, highest first")
    )
    with st.container(horizontal=True, gap="medium", vertical_alignment="center"):
        first = (
            translate(
                "The {shown:,} of {n:,} texts with the highest loss, highest loss first.",
                shown=SHOWN,
                n=len(listed),
            )
            if len(listed) > SHOWN
            else translate_plural(
                "{n:,} text, highest loss first.", "{n:,} texts, highest loss first.", len(listed)
            )
        )
        select = translate(
            "Select a row to read the whole text, to tag it and to dispute its label."
        )
        st.caption(f"{first} {select}")
        st.download_button(
            translate("Download list"),
            data=lambda: tables.write_csv(
                _sort(listed).drop(columns=["wrong", "confident", "contradicted"])
            ),
            file_name="errors.csv",
            mime="text/csv",
            key="errors-csv",
            on_click="ignore",
            icon=":material/download:",
        )
    return int(_sort(listed)["row"].iloc[position]) if position is not None else None


def _columns() -> tables.Columns:
    share = partial(
        st.column_config.ProgressColumn, format="percent", min_value=0, max_value=1, width=110
    )
    return {
        "text": st.column_config.TextColumn(translate("Text"), width=TEXT_WIDTH),
        "true": st.column_config.TextColumn(translate("True class")),
        "predicted": st.column_config.TextColumn(translate("Predicted")),
        "loss": st.column_config.NumberColumn(
            capitalize(translate("loss")),
            **tables.decimals(2),
            width=70,
            help=translate("Cross-entropy in nats."),
        ),
        "confidence": share(
            translate("Confidence"), help=translate("Probability of the predicted class.")
        ),
        "of_true": share(translate("Probability of true class"), width=190),
        "disputed": st.column_config.TextColumn(translate("Disputed"), width=110),
        "tag": st.column_config.TextColumn(translate("Tag")),
        "note": st.column_config.TextColumn(translate("Note")),
    }


def _sort(table: pd.DataFrame) -> pd.DataFrame:
    return table.sort_values(["loss", "row"], ascending=[False, True])


def read_and_tag(run: Run, rows: Rows, predictions: Predictions, row: int) -> None:
    """Draw the whole text with its probabilities, and a form for its tag and note."""
    line = rows.table[rows.table["row"] == row].iloc[0]
    known = rows.tags.get(row)
    sides = st.grid(2, min_column_width=380, gap="large")
    with sides.cell(), st.container(border=True, key="whole-text"):
        st.text(str(line["text"]))
        st.caption(translate("Row {row:,} of the test split", row=row))
        shares = predictions.probabilities[int(np.flatnonzero(predictions.rows == row)[0])]
        chart_view.draw(
            charts.draw_probabilities(shares.tolist(), run.classes, translate("Probabilities")),
            key="row-probabilities",
            twin=False,
        )
        disputed_labels.draw_form(
            cache.open_lab(), run, rows.disputed, row, str(line["true"]), str(line["predicted"])
        )
    store, about = cache.open_lab(), f"{run.job.id} "
    untouched = {
        f"tag-of-{row}": known.tag if known and known.tag in TAGS else TAGS[0],
        f"note-of-{row}": known.note if known else "",
    }
    drafts.follow(store, untouched, _is_tag_or_note, about)
    for key, value in untouched.items():
        st.session_state.setdefault(key, value)
    with sides.cell(), st.container(border=True, key=f"tag-{row}"):
        tag = st.selectbox(translate("Tag"), TAGS, format_func=translate, key=f"tag-of-{row}")
        note = st.text_area(
            translate("Note"),
            max_chars=LONGEST_NOTE,
            key=f"note-of-{row}",
            placeholder=translate("Reason (optional)"),
        )
        with st.container(horizontal=True):
            keep = st.button(translate("Save tag"), type="primary", key=f"keep-{row}")
            drop = st.button(translate("Remove tag"), disabled=known is None, key=f"drop-{row}")
    if keep or drop:
        try:
            tag_text(store, run.job, row, (tag or "") if keep else "", note or "")
        except LoraLabError as error:
            error_boundary.show(error)
            return
        drafts.forget(store, untouched, about)
        st.rerun()


def _is_tag_or_note(key: str, value: object) -> bool:
    return isinstance(value, str) and (key.startswith("note-") or value in TAGS)


def _name_tags(table: pd.DataFrame) -> "pd.Series[str]":
    return table["tag"].map(translate)


def _of_view(table: pd.DataFrame, view: str) -> pd.DataFrame:
    column = {
        "all mistakes": "wrong",
        "confident mistakes": "confident",
        "contradicted labels": "contradicted",
    }.get(view)
    if column:
        return table[table[column]]
    marked = {"tagged": "tag", "disputed": "disputed"}.get(view)
    return table[table[marked] != ""] if marked else table


def _slice_table(shown: Sequence[Slice]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            translate("Slice"): [_name_slice(part, ": ") for part in shown],
            translate("Texts"): [part.inside.n for part in shown],
            translate("Accuracy"): [_interval(part) for part in shown],
            translate("Rest"): [localize(format_per_cent(part.rest.value)) for part in shown],
            "p": [
                localize("< 0.001" if part.p_value < 0.001 else f"{part.p_value:.3f}")
                for part in shown
            ],
        }
    )


def _interval(part: Slice) -> str:
    low, high = part.inside.interval
    share = format_per_cent(part.inside.value)
    return localize(f"{share} ({low * 100:.1f}–{high * 100:.1f})")


def _name_slice(part: Slice, between: str) -> str:
    return f"{translate(part.kind)}{between}{_translate_name(part)}"


def _translate_name(part: Slice) -> str:
    return translate_recorded(part.name) if part.described else part.name
