"""The form of Classify for many texts: a file or pasted lines, how they are read, and the start."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.access import Action, is_allowed
from core.data.tables.read_report import ReadOptions
from core.data.tables.table import check_size
from core.data.tables.whole_table import WholeTable, read_whole_for_server
from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.tasks.classify_texts import LONG_FILE
from core.jobs.tasks.text_batch import Batch, build_batch, propose, read_labels, to_plain_frame
from core.runs.run import Run
from core.storage.job import Job
from core.translation import mark, translate, translate_plural, translate_recorded
from ui.app import inference
from ui.session import cache, error_boundary
from ui.text import plain
from ui.widgets import tables
from ui.widgets.reading_options import draw_options, read_options

ONE, LINES, FILE = WAYS = (mark("One text"), mark("Several texts"), mark("A file"))
WAY_KEY, JOB_KEY, NONE = "way", "batch", mark("(none)")
MOST_AT_ONCE = 200  # texts: a few seconds with MiniLM; more wait in the queue as a job
SHOWN_ROWS, SHOWN_LETTERS, SAMPLE_ROWS = 5, 300, 2000
PASTED = "Pasted texts.txt"
REFUSED = mark("Visitors of this public page can classify single texts only.")
HINT = mark(
    "Each row gets a predicted class and the probability of every class, next to its own columns."
    " With a column of true labels, you also get scores."
)

EXACT_HELP = mark(
    "Without it, bf16 is used where it is faster and gives at least 99.5 % of the run's validation"
    " texts the same label. Probabilities then differ by about 0.01 at most."
)


def draw_upload(run: Run) -> None:
    """Draw the form for a file."""
    if not _is_allowed():
        return
    uploaded = st.file_uploader(
        translate("CSV, TSV, JSON, JSON lines, Parquet or a text per line, up to 20 MB"),
        key="batch-file",
    )
    if uploaded is None:
        st.caption(translate(HINT))
        return
    try:
        check_size(uploaded.name, uploaded.size)
        data = uploaded.getvalue()
        with st.spinner(translate("Reading the file"), show_time=False):
            table = _read(uploaded.name, uploaded.file_id, read_options(uploaded.file_id), data)
    except LoraLabError as error:
        error_boundary.show(error)
        draw_options(uploaded.file_id, expanded=True)
        return
    _draw_table(run, table, uploaded.file_id)


def draw_pasted(run: Run) -> None:
    """Draw the form for pasted texts."""
    if not _is_allowed():
        return
    pasted = st.text_area(
        translate("Texts, one per line"),
        key="pasted-texts",
        height=200,
        placeholder=translate("Paste one text per line"),
    )
    if not st.button(
        translate("Classify texts"),
        key="start-pasted",
        type="primary",
        icon=":material/play_arrow:",
    ):
        st.caption(translate(HINT))
        return
    try:
        table = read_whole_for_server(PASTED, pasted.encode(), ReadOptions(header=False))
        with st.spinner(translate("Classifying"), show_time=False):
            _start(run, table, build_batch(table, propose(table).text))
    except LoraLabError as error:
        error_boundary.show(error)


def _is_allowed() -> bool:
    allowed = is_allowed(cache.open_lab().visitor, Action.WORK)
    if not allowed:
        st.caption(translate(REFUSED))
    return allowed


def _draw_table(run: Run, table: WholeTable, key: str) -> None:
    """Draw how the file was read, the choice of columns, its first rows and the button."""
    names = table.columns
    rows = translate_plural("{n:,} row", "{n:,} rows", len(table.frame))
    columns = translate_plural("{n:,} column", "{n:,} columns", len(names))
    st.markdown(f"**{plain(table.name)}** · {rows}, {columns}")
    with st.container(gap="xxsmall"):
        for icon, note in _describe(table):
            st.caption(f":material/{icon}: {plain(translate_recorded(note))}")
    if table.format in ("delimited", "lines"):
        draw_options(key)
    proposal = propose(table)
    with st.grid(2, min_column_width=220):
        text = st.selectbox(
            translate("Texts"), names, names.index(proposal.text), key=f"batch-text|{key}"
        )
        labels = [NONE, *(name for name in names if name != text)]
        guess = proposal.label if _fits(run, table, proposal.label) else NONE
        label = st.selectbox(
            translate("True labels"),
            labels,
            labels.index(guess) if guess in labels else 0,
            format_func=lambda name: translate(NONE) if name == NONE else name,
            key=f"batch-label|{key}",
            help=translate(
                "Only used for scores. Labels are compared as they are written: US is not us."
            ),
        )
    batch = build_batch(table, text, "" if label == NONE else label)
    _draw_preview(table, batch)
    texts = len(batch.filled)
    if texts < len(batch.texts):
        skipped = translate_plural(
            "{n:,} row without a readable text keeps its place and gets no answer.",
            "{n:,} rows without a readable text keep their place and get no answer.",
            len(batch.texts) - texts,
        )
        st.caption(f":material/info: {skipped}")
    exact = texts >= LONG_FILE and st.checkbox(
        translate("Exact (fp32)"), key=f"batch-exact|{key}", help=translate(EXACT_HELP)
    )
    if st.button(
        translate("Classify file"),
        key="start-batch",
        type="primary",
        icon=":material/play_arrow:",
    ):
        try:
            with st.spinner(translate("Classifying"), show_time=False):
                _start(run, table, batch, exact)
        except LoraLabError as error:
            error_boundary.show(error)


def _start(run: Run, table: WholeTable, batch: Batch, exact: bool = False) -> None:
    """Classify at once, or queue a file of many texts; then show its page."""
    name = table.name.removesuffix(".txt") if table.name == PASTED else table.name
    guess = table.header is not None and not table.header.certain
    notes = [*([_describe_header(table)] if guess else []), *table.notes]
    if len(batch.filled) > MOST_AT_ONCE:
        job = actions.launch_batch(cache.open_lab(), run.job, name, batch, notes, exact)
    else:
        job = _classify_at_once(run, name, batch, notes)
    st.query_params[JOB_KEY] = job.id
    st.rerun()


def _classify_at_once(run: Run, name: str, batch: Batch, notes: Sequence[str]) -> Job:
    def classify(texts: list[str]) -> NDArray[np.float32]:
        request = inference.build_request(run)
        (probabilities,) = inference.with_stages([request]).classify([request], texts)
        return probabilities

    return actions.classify_at_once(cache.open_lab(), run.job, name, batch, classify, notes)


def _describe(table: WholeTable) -> list[tuple[str, str]]:
    """Return an icon and a sentence for each decision and problem of reading."""
    notes = [("info", note) for note in table.notes]
    if table.header:
        icon = "info" if table.header.certain else "warning"
        notes.insert(0, (icon, _describe_header(table)))
    if table.problems:
        position, problem = next(iter(table.problems.items()))
        note = mark("Rows that cannot be read: {rows:,}, first row {first:,}: {problem}.")
        unread = note.format(rows=len(table.problems), first=position + 1, problem=problem)
        notes.append(("warning", unread))
    return notes


def _describe_header(table: WholeTable) -> str:
    assert table.header is not None
    note = (
        mark("The first line is read as names of the columns: {reason}.")
        if table.header.present
        else mark("The first line is read as a row: {reason}.")
    )
    return note.format(reason=table.header.reason)


def _draw_preview(table: WholeTable, batch: Batch) -> None:
    head = table.frame.head(SHOWN_ROWS)
    shown = to_plain_frame(head, len(head.columns) if table.is_json else 0)
    problems = batch.problems[:SHOWN_ROWS]
    if any(problems):
        shown = shown.assign(**{"problem ": problems})
    tables.draw_plain(
        shown.map(lambda cell: cell[:SHOWN_LETTERS] if isinstance(cell, str) else cell),
        key="batch-preview",
        alt=translate("The first rows of the file"),
    )


def _fits(run: Run, table: WholeTable, label: str) -> bool:
    """Whether a column holds classes of the run."""
    head = replace(table, frame=table.frame.head(SAMPLE_ROWS))
    return bool(label) and not set(run.classes).isdisjoint(read_labels(head, label))


@st.cache_resource(max_entries=2, show_spinner=False)
def _read(name: str, key: str, chosen: ReadOptions, _data: bytes) -> WholeTable:
    return read_whole_for_server(name, _data, chosen if chosen != ReadOptions() else None)
