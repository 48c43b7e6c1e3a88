"""Parts of the Explore page: the filter bar, balance, lengths, and the texts themselves. Filters live in the URL."""

from dataclasses import dataclass
from typing import get_args

import pandas as pd
import streamlit as st

from core import charts
from core.charts import Chart
from core.data.dataset import SPLITS, Dataset
from core.data.statistics import Length, class_balance, search
from ui import drawing, readers, tables
from ui.words import count, per_cent, plain

SHOWN_ROWS = 500  # a table longer than this is searched, not scrolled; sending it takes a few milliseconds
LENGTHS: tuple[Length, ...] = get_args(Length)[::-1]
MARK_TOKENS = 128  # where the default run cuts
HOW_TO_READ = """
- **Train** is what a run learns from, **validation** a tenth of the source's training texts held back to choose the best
  checkpoint, **test** is touched once, by the final evaluation.
- **Tokens** are the pieces that the default model reads, its two special tokens included. Longer texts are cut at the run's
  max tokens.
- **Balance** matters because accuracy flatters a model that has seen one class far more often than the others.
"""


@dataclass(frozen=True)
class View:
    """What the filter bar selects; hashable, so that what follows from it can be cached."""

    split: str
    classes: tuple[str, ...]
    column: Length
    shortest: int
    longest: int
    text: str
    matching: int
    total: int

    @property
    def finding(self) -> str:
        """How many texts are selected, as a heading."""
        if self.matching == self.total:
            return f"{count(self.total, 'texts')} in {self.split}"
        return f"{self.matching:,} of {count(self.total, 'texts')} in {self.split} match"


def draw_origin(dataset: Dataset) -> None:
    """Which data this is: source, rows of each split, fingerprint, and what was done to it."""
    rows = f"{dataset.train_rows:,} train rows, {dataset.validation_rows:,} of them for validation, {dataset.test_rows:,} test rows"
    st.caption(f"{plain(dataset.name)} · {rows} · fingerprint `{dataset.fingerprint}`")
    for note in dataset.notes:
        st.caption(plain(note))


def choose_view(dataset: Dataset) -> View:
    """The filter bar."""
    with st.container(border=True, key="filters", horizontal=True, gap="medium", vertical_alignment="bottom"):
        split = st.segmented_control("Split", SPLITS, required=True, default="train", key="split", bind="query-params")
        classes = st.multiselect("Classes", dataset.classes, placeholder="all", key="classes", bind="query-params")
        column = st.selectbox("Length in", LENGTHS, key="length-in", bind="query-params")
        shortest = st.number_input("From", 0, 1_000_000, 0, key="shortest", bind="query-params", help="Shortest length shown.")
        longest = st.number_input(
            "To", 0, 1_000_000, None, placeholder="any", key="longest", bind="query-params", help="Longest length shown."
        )
        text = st.text_input("Search", placeholder="words in the text", key="search", bind="query-params")
    frame = readers.rows(dataset, str(split))
    limit = int(longest) if longest is not None else int(frame[column].max() if len(frame) else 0)
    found = _find(dataset.fingerprint, str(split), tuple(classes), column, int(shortest), limit, text.strip(), dataset)
    return View(str(split), tuple(classes), column, int(shortest), limit, text.strip(), len(found), len(frame))


def draw_balance(dataset: Dataset, view: View) -> None:
    """Texts per class in each split, of those that the filter leaves in the chosen one."""
    drawing.draw(_balance_chart(dataset.fingerprint, view, dataset), key="balance")


def draw_lengths(dataset: Dataset, view: View) -> None:
    """How long the selected texts are, per class."""
    chart = _length_chart(dataset.fingerprint, view, dataset)
    drawing.draw(chart, key="lengths")
    if chart.note:
        st.caption(chart.note)


def draw_texts(dataset: Dataset, view: View) -> None:
    """The selected texts; a chosen one is shown in full."""
    st.markdown("#### Texts")
    if not view.matching:
        st.info("No text matches. Search for fewer letters, or widen the length.", icon=":material/search_off:")
        return
    found = _selected(dataset, view)
    shown = found.head(SHOWN_ROWS)
    names = shown["label"].map(dict(enumerate(dataset.classes)))
    table = pd.DataFrame({"text": shown["text"], "class": names, view.column: shown[view.column], "row": shown["row"]})
    columns = {"class": "Class", view.column: view.column.capitalize(), "row": "Row"}
    chosen = tables.texts(table, key="texts", columns=columns, alt="The selected texts with class and length")
    if len(found) > SHOWN_ROWS:
        st.caption(f"The first {SHOWN_ROWS:,} of {len(found):,}; search or filter to see others.")
    if chosen is not None:
        line = shown.iloc[chosen]
        share = per_cent(float((found[view.column] <= line[view.column]).mean()))
        st.caption(f"{plain(str(names.iloc[chosen]))} · {line['tokens']} tokens · as long as or longer than {share} of the selection")
        st.text(str(line["text"]))


def _selected(dataset: Dataset, view: View) -> pd.DataFrame:
    return _find(dataset.fingerprint, view.split, view.classes, view.column, view.shortest, view.longest, view.text, dataset)


@st.cache_resource(max_entries=24, show_spinner=False)  # a selection shares its texts with the split it is taken from
def _find(
    fingerprint: str, split: str, classes: tuple[str, ...], column: Length, shortest: int, longest: int, text: str, _dataset: Dataset
) -> pd.DataFrame:
    labels = [_dataset.classes.index(name) for name in classes]
    return search(readers.rows(_dataset, split), text, labels, column, shortest, longest)


@st.cache_resource(max_entries=24, show_spinner=False)
def _balance_chart(fingerprint: str, view: View, _dataset: Dataset) -> Chart:
    if view.matching == view.total:
        frames = {split: readers.rows(_dataset, split) for split in SPLITS}
    else:
        frames = {view.split: _selected(_dataset, view)}
    table = class_balance(frames, _dataset.classes).rename(columns={"rows": "texts"})
    return charts.class_balance(table, _dataset.classes)


@st.cache_resource(max_entries=24, show_spinner=False)
def _length_chart(fingerprint: str, view: View, _dataset: Dataset) -> Chart:
    found = _selected(_dataset, view)
    lengths = pd.DataFrame({"class": found["label"].map(dict(enumerate(_dataset.classes))), "length": found[view.column]})
    return charts.length_histogram(lengths, _dataset.classes, view.column, MARK_TOKENS if view.column == "tokens" else None)
