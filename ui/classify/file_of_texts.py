"""Classification of a file: upload, choice of columns, progress, scores and download."""

import pandas as pd
import streamlit as st

from core import charts
from core.data.files.columns import propose_columns
from core.data.files.read import read_table
from core.data.files.table import Table, check_size
from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.tasks.classify_texts import Classified, choose_columns, find_batch, read_classified
from core.runs.run import Run
from core.storage.job import Job, JobState
from ui.session import cache, error_boundary
from ui.text import count, format_accuracy, format_duration, plain
from ui.widgets import chart_view, job_panel, tables
from ui.widgets.job_panel import PanelWords

JOB_KEY, NONE = "batch", "(none)"
WORDS = PanelWords(
    "stop-batch",
    failed="The file was not classified.",
    stopped="Stopped. No predictions were saved.",
)
SHOWN_ROWS = 500  # longer tables are for download
SHOWN_LETTERS = 300


def draw(run: Run) -> None:
    """Draw the file in the URL with its progress or result, or else the form for a new file."""
    store = cache.open_lab()
    job = find_batch(store, run.job, st.query_params.get(JOB_KEY, ""))
    if job is None:
        _draw_form(run)
    elif not job.state.over:
        job_panel.draw(store, job, WORDS)
    else:
        st.button(
            "Another file", key="another-file", icon=":material/upload_file:", on_click=_forget
        )
        if job.state is JobState.COMPLETED:
            _draw_result(run, job)
        else:
            job_panel.draw(store, job, WORDS)


def _draw_form(run: Run) -> None:
    uploaded = st.file_uploader("CSV, TSV, JSON lines or Parquet, up to 20 MB", key="batch-file")
    if uploaded is None:
        st.caption(
            "Each row gets a predicted class and the probability of every class. With a column of"
            " true labels, you also get scores."
        )
        return
    try:
        check_size(uploaded.name, uploaded.size)
        table = _read(uploaded.name, uploaded.file_id, uploaded.getvalue())
        _draw_columns(run, table)
    except LoraLabError as error:
        error_boundary.show(error)


def _draw_columns(run: Run, table: Table) -> None:
    store = cache.open_lab()
    proposal, names = propose_columns(table), table.columns
    st.markdown(
        f"**{plain(table.file.name)}** · {count(table.rows, 'rows')},"
        f" {count(len(names), 'columns')}"
    )
    for item in table.skipped:
        st.caption(f":material/warning: {count(item.rows, 'lines')} skipped: {plain(item.reason)}.")
    with st.grid(2, min_column_width=220):
        text = st.selectbox(
            "Texts",
            names,
            names.index(proposal.text) if proposal.text else 0,
            key=f"batch-text|{table.file.name}",
        )
        labels = [NONE, *(name for name in names if name != text)]
        guess = (
            labels.index(proposal.label)
            if proposal.label in labels and _fits(run, table, proposal.label)
            else 0
        )
        label = st.selectbox(
            "True labels",
            labels,
            guess,
            key=f"batch-label|{table.file.name}",
            help="Only used for scores.",
        )
    frame = choose_columns(table, text, "" if label == NONE else label)
    shown = frame.head(5).assign(text=lambda rows: rows["text"].str[:SHOWN_LETTERS])
    tables.draw_plain(shown, key="batch-preview", alt="The first rows of the file")
    if st.button("Classify file", key="start-batch", type="primary", icon=":material/play_arrow:"):
        st.query_params[JOB_KEY] = actions.launch_batch(store, run.job, table.file.name, frame).id
        st.rerun()


def _fits(run: Run, table: Table, label: str) -> bool:
    known = {name.casefold() for name in run.classes}
    return any(str(value).strip().casefold() in known for value in table.frame[label].head(200))


@st.cache_resource(max_entries=2, show_spinner="Reading the file")
def _read(name: str, key: str, _data: bytes) -> Table:
    return read_table(name, _data)


def _draw_result(run: Run, job: Job) -> None:
    store = cache.open_lab()
    classified = read_classified(store.find_folder(job), job)
    answered = len(classified.frame) - classified.blank
    seconds = job.elapsed_seconds(store.clock())
    scores = classified.scores
    headline = (
        f"{format_accuracy(scores.accuracy)} accuracy on {scores.accuracy.n:,} labeled texts"
        if scores
        else f"{count(answered, 'texts')} classified"
    )
    st.subheader(headline, anchor=False)
    rate = f" in {format_duration(seconds)}"
    st.caption(
        f"{plain(job.name.removeprefix('Classify '))} · {count(answered, 'texts')} by"
        f" {plain(run.job.name)}{rate}"
    )
    if classified.blank:
        st.caption(f":material/warning: Rows without text, not classified: {classified.blank:,}.")
    for name, rows in list(classified.unknown.items())[:5]:
        st.caption(
            f":material/warning: The label {plain(name or '(empty)')} of {count(rows, 'rows')} is"
            " not a class of this run."
        )
    _draw_table(classified)
    name = job.name.removeprefix("Classify ").rpartition(".")[0] or "texts"
    st.download_button(
        "Download CSV",
        data=lambda: tables.write_csv(classified.frame),
        file_name=f"{name}-classified.csv",
        mime="text/csv",
        key="batch-csv",
        on_click="ignore",
        icon=":material/download:",
    )
    if scores is not None and classified.counts is not None:
        chart_view.draw(
            charts.draw_confusion_matrix(
                classified.counts, run.classes, "counts", chart_view.is_dark()
            ),
            key="batch-matrix",
        )
        chart_view.draw_per_class(scores, run.classes, key="batch-scores")


def _draw_table(classified: Classified) -> None:
    shown = classified.frame.head(SHOWN_ROWS)
    shown = shown[[name for name in ("text", "label", "class", "probability") if name in shown]]
    shown = shown.assign(text=shown["text"].str[:SHOWN_LETTERS])
    columns: tables.Columns = {
        "text": st.column_config.TextColumn("Text", width="large"),
        "label": "True label",
        "class": "Class",
        "probability": st.column_config.ProgressColumn(
            "Probability", format="percent", min_value=0, max_value=1
        ),
    }
    tables.draw_plain(
        pd.DataFrame(shown),
        key="batch-rows",
        columns=columns,
        rows_in_view=8,
        alt="Rows of the file with their classes",
    )
    if len(classified.frame) > SHOWN_ROWS:
        st.caption(
            f"The first {SHOWN_ROWS:,} of {count(len(classified.frame), 'rows')}; the download"
            " contains all."
        )


def _forget() -> None:
    st.query_params.pop(JOB_KEY, None)
