"""Parts of the Explore page: the filter bar, balance, lengths, and the texts themselves. Filters live in the URL."""

from dataclasses import dataclass, replace
from typing import get_args

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from core import charts
from core.charts import Chart
from core.data.dataset import SPLITS, Dataset
from core.data.sampling import mix_positions
from core.data.statistics import Length, class_balance, find_rows
from core.errors import ArtifactDamaged
from core.settings import Settings
from ui import boundary, drawing, preparation, readers, tables
from ui.words import count, per_cent, plain

SHOWN_ROWS = 500  # a table longer than this is searched, not scrolled; sending it takes a few milliseconds
LENGTHS: tuple[Length, ...] = get_args(Length)[::-1]
MARK_TOKENS = 128  # where the default run cuts
LONGEST_TEXT = 1_000_000
TEXT_WIDTH = 340  # px beside 90 of the class: both fit a page 900 wide; where there is room, all columns grow
SPLIT_KEY, CLASSES_KEY, LENGTH_KEY, SHORTEST_KEY, LONGEST_KEY, SEARCH_KEY = "split", "classes", "length-in", "shortest", "longest", "search"
BALANCE_KEY, LAST_BAR_KEY = "balance", "last-bar"
HOW_TO_READ = """
- **Train** is what a run learns from, **validation** a tenth of the source's training texts held back to choose the best
  checkpoint, **test** is touched once, by the final evaluation.
- **Tokens** are the pieces that the default model reads, its two special tokens included. Longer texts are cut at the run's
  max tokens.
- **Balance** matters because accuracy flatters a model that has seen one class far more often than the others. The bars count
  the texts that length and search leave, in each split; a click on one chooses its class.
"""


@dataclass(frozen=True)
class View:
    """What the filter bar selects; hashable, so that what follows from it can be cached. None is without a limit."""

    split: str
    classes: tuple[str, ...]
    column: Length
    shortest: int | None
    longest: int | None
    text: str

    @property
    def narrow(self) -> bool:
        """Whether anything but the split is chosen."""
        return bool(self.classes or self.text) or self.shortest is not None or self.longest is not None


def require_rows(dataset: Dataset) -> None:
    """Read the texts. Where a file of theirs is damaged the page ends here, with the button that mends it."""
    try:
        for split in SPLITS:
            readers.rows(dataset, split)
    except ArtifactDamaged as error:
        boundary.show(error)
        store = readers.open_lab()
        preparation.draw(store, readers.data_status(store.settings))
        st.stop()


def draw_origin(dataset: Dataset) -> None:
    """Which data this is: source, rows of each split, fingerprint, why this one, and what was done to it."""
    rows = f"{dataset.train_rows:,} train rows, {dataset.validation_rows:,} of them for validation, {dataset.test_rows:,} test rows"
    st.caption(f"{plain(dataset.name)} · {rows} · fingerprint `{dataset.fingerprint}`")
    source = readers.data_status(Settings()).source
    for note in [*([source.note] if source else []), *dataset.notes]:
        st.caption(plain(note))


def choose_view(dataset: Dataset) -> View:
    """The filter bar."""
    _take_click(dataset)
    with st.container(border=True, key="filters", gap="small"):
        with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
            split = st.segmented_control("Split", SPLITS, required=True, default="train", key=SPLIT_KEY, bind="query-params")
            classes = st.multiselect("Classes", dataset.classes, placeholder="all", key=CLASSES_KEY, bind="query-params")
            text = st.text_input("Search", placeholder="words in the text", key=SEARCH_KEY, bind="query-params")
        with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
            column = st.selectbox("Length in", LENGTHS, key=LENGTH_KEY, bind="query-params", width=140)
            shortest = st.number_input("From", 0, LONGEST_TEXT, None, placeholder="any", key=SHORTEST_KEY, bind="query-params", width=120)
            longest = st.number_input("To", 0, LONGEST_TEXT, None, placeholder="any", key=LONGEST_KEY, bind="query-params", width=120)
            # an empty value in the URL gives no split
            view = View(split or "train", tuple(classes), column, _whole(shortest), _whole(longest), text.strip())
            st.button("Show all", key="show-all", icon=":material/filter_alt_off:", disabled=not view.narrow, on_click=_clear)
    return view


def draw_finding(dataset: Dataset, view: View) -> None:
    """How many texts are selected, as a heading. Where there is none the page ends here with what to do."""
    matching, total = len(_positions(dataset, view)), len(readers.rows(dataset, view.split))
    found = f"{matching:,} of {count(total, 'texts')} in {view.split} match" if view.narrow else f"{count(total, 'texts')} in {view.split}"
    st.subheader(found, anchor=False)
    if not matching:
        st.info("No text matches. Search for fewer letters, widen the length, or show all.", icon=":material/search_off:")
        st.stop()


def draw_balance(dataset: Dataset, view: View) -> None:
    """Texts per class in each split. A click on a bar chooses its class."""
    drawing.draw(_balance_chart(dataset.fingerprint, view, dataset), key=BALANCE_KEY, select="chosen")


def draw_lengths(dataset: Dataset, view: View) -> None:
    """How long the selected texts are, per class."""
    chart = _length_chart(dataset.fingerprint, view, dataset)
    drawing.draw(chart, key="lengths")
    if chart.note:
        st.caption(chart.note)


def draw_texts(dataset: Dataset, view: View) -> None:
    """The selected texts; a chosen one is shown in full."""
    st.markdown("#### Texts")
    positions = _positions(dataset, view)
    found = readers.rows(dataset, view.split).iloc[positions[:SHOWN_ROWS]]
    names = found["label"].map(dict(enumerate(dataset.classes)))
    table = pd.DataFrame({"class": names, "text": found["text"], view.column: found[view.column], "row": found["row"]})
    number = st.column_config.NumberColumn
    columns = {
        "text": st.column_config.TextColumn("Text", width=TEXT_WIDTH),
        "class": st.column_config.TextColumn("Class", width=90),
        view.column: number(view.column.capitalize(), width=80, format="localized"),
        "row": number("Row", width=70, help="The text's number in its split of the source."),
    }
    chosen = tables.texts(table, key="texts", columns=columns, alt="The selected texts with class and length")
    if len(positions) > SHOWN_ROWS:
        st.caption(f"The first {SHOWN_ROWS:,} of {len(positions):,}; search or filter to see others.")
    if chosen is None:
        st.caption("Choose a row to read its whole text.")
        return
    line = found.iloc[chosen]
    with st.container(border=True, key="whole-text"):
        st.caption(f"{plain(str(names.iloc[chosen]))} · row {line['row']:,} · {_lengths_of(line)} · {_rank(dataset, view, line)}")
        st.text(str(line["text"]))


def _lengths_of(line: "pd.Series[object]") -> str:
    return ", ".join(f"{line[column]:,} {column}" for column in LENGTHS)


def _rank(dataset: Dataset, view: View, line: "pd.Series[object]") -> str:
    lengths = readers.rows(dataset, view.split)[view.column].to_numpy()[_positions(dataset, view)]
    return f"as long as or longer than {per_cent(float((lengths <= line[view.column]).mean()))} of the selection"


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _clear() -> None:
    st.session_state.update({CLASSES_KEY: [], SHORTEST_KEY: None, LONGEST_KEY: None, SEARCH_KEY: ""})


def _take_click(dataset: Dataset) -> None:
    """A new click on a bar chooses its class; the box can then be changed without the old click undoing it."""
    event = st.session_state.get(BALANCE_KEY)
    points = event["selection"].get("chosen") if event else None
    clicked = [point["class"] for point in points or [] if point.get("class") in dataset.classes]
    if clicked != st.session_state.get(LAST_BAR_KEY, []):
        st.session_state[LAST_BAR_KEY] = clicked
        st.session_state[CLASSES_KEY] = clicked


def _positions(dataset: Dataset, view: View) -> NDArray[np.int64]:
    return _find(dataset.fingerprint, view, dataset)


@st.cache_resource(max_entries=24, show_spinner=False)  # a number per text that matches
def _find(fingerprint: str, view: View, _dataset: Dataset) -> NDArray[np.int64]:
    labels = [_dataset.classes.index(name) for name in view.classes]
    rows = readers.rows(_dataset, view.split)
    found = find_rows(rows, view.text, labels, view.column, view.shortest, view.longest)
    return mix_positions(found, len(rows))  # a source sorted by class would otherwise show one class only


@st.cache_resource(max_entries=24, show_spinner=False)
def _balance_chart(fingerprint: str, view: View, _dataset: Dataset) -> Chart:
    frames = {}
    for split in SPLITS:
        every = replace(view, split=split, classes=())  # a chart is not narrowed by what is chosen in it
        frames[split] = readers.rows(_dataset, split)[["label"]].iloc[_positions(_dataset, every)]
    table = class_balance(frames, _dataset.classes).rename(columns={"rows": "texts"})
    kept = table["class"].isin(view.classes) if view.classes else True
    return charts.class_balance(table.assign(kept=kept), _dataset.classes)


@st.cache_resource(max_entries=24, show_spinner=False)
def _length_chart(fingerprint: str, view: View, _dataset: Dataset) -> Chart:
    found = readers.rows(_dataset, view.split)[["label", view.column]].iloc[_positions(_dataset, view)]
    lengths = pd.DataFrame({"class": found["label"].map(dict(enumerate(_dataset.classes))), "length": found[view.column]})
    return charts.length_histogram(lengths, _dataset.classes, view.column, MARK_TOKENS if view.column == "tokens" else None)
