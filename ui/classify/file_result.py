"""A classified file: progress, then answers with charts, scores and download; and the list of the
files that a visitor classified with a run.
"""

from pathlib import PurePath

import streamlit as st

from core import charts
from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.launching import read_job_result, read_request
from core.jobs.tasks.classify_texts import (
    CLASS,
    PROBABILITY,
    PROBLEM,
    WRITTEN,
    BatchRequest,
    Classified,
    ClassifyResult,
    FileSuffix,
    list_batches,
    read_classified,
    write_answers,
)
from core.jobs.tasks.text_batch import list_values, to_plain_frame
from core.runs.run import Run
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.translation import (
    localize,
    mark,
    translate,
    translate_plural,
    translate_recorded,
)
from ui.classify import file_form
from ui.session import cache
from ui.text import capitalize, format_accuracy, format_age, format_duration, plain
from ui.widgets import chart_view, job_panel, job_state, tables
from ui.widgets.job_panel import PanelWords

WORDS = PanelWords(
    "stop-batch",
    failed=mark("The file was not classified."),
    stopped=mark("Stopped. No predictions were saved."),
)
SHOWN_FILES = 10  # files; older ones appear on request
SHOWN_ROWS = 500  # longer tables are for download
SHOWN_LETTERS = 300
FORMATS: dict[FileSuffix, str] = {".csv": "CSV", ".jsonl": "JSON lines", ".parquet": "Parquet"}


def draw(run: Run, job: Job) -> None:
    """Draw the progress, the end or the answers of a file."""
    store = cache.open_lab()
    if job.state is not JobState.COMPLETED:
        job_panel.draw(store, job, WORDS)
        return
    classified = read_classified(store.get_folder(job), job)
    request = read_request(job, BatchRequest)
    _draw_headline(run, job, classified, store)
    _draw_notes(classified, request)
    sides = st.grid(2, min_column_width=420, gap="large")
    with sides.cell():
        _draw_table(classified, request)
        draw_downloads(job, request.name)
    answers = classified.answers
    if len(answers):
        with sides.cell():
            chart_view.draw(
                charts.draw_predicted_classes(dict(answers[CLASS].value_counts()), run.classes),
                key="batch-classes",
            )
            chart_view.draw(
                charts.draw_confidence_histogram(answers[PROBABILITY].tolist()),
                key="batch-confidence",
            )
    scores = classified.scores
    if scores is not None and classified.counts is not None:
        chart_view.draw(
            charts.draw_confusion_matrix(
                classified.counts, run.classes, "counts", chart_view.is_dark()
            ),
            key="batch-matrix",
        )
        chart_view.draw_per_class(scores, run.classes, key="batch-scores")


def _draw_headline(run: Run, job: Job, classified: Classified, store: Store) -> None:
    scores = classified.scores
    st.subheader(
        translate_plural(
            "{accuracy} accuracy on {n:,} labeled text",
            "{accuracy} accuracy on {n:,} labeled texts",
            scores.accuracy.n,
            accuracy=localize(format_accuracy(scores.accuracy)),
        )
        if scores
        else translate_plural(
            "{n:,} text classified", "{n:,} texts classified", classified.answered
        ),
        anchor=False,
    )
    done = translate(
        "{rows}, {texts} by {run} in {time}",
        rows=translate_plural("{n:,} row", "{n:,} rows", len(classified.frame)),
        texts=translate_plural("{n:,} text", "{n:,} texts", classified.answered),
        run=plain(run.job.name),
        time=format_duration(job.elapsed_seconds(store.clock())),
    )
    st.caption(f"{plain(find_name(job))} · {done}")


def _draw_notes(classified: Classified, request: BatchRequest) -> None:
    warnings = [
        translate("The file has a column {name}; the new one is {new}.", name=name, new=new)
        for name, new in classified.renamed.items()
    ]
    if classified.blank:
        warnings.append(
            translate("Rows without text, not classified: {rows:,}.", rows=classified.blank)
        )
    if classified.unreadable:
        warnings.append(
            translate(
                "Rows that cannot be read or are hidden, not classified: {rows:,}.",
                rows=classified.unreadable,
            )
        )
    warnings += [
        translate_plural(
            "The label {label} of {n:,} row is not a class of this run.",
            "The label {label} of {n:,} rows is not a class of this run.",
            rows,
            label=name or translate("(empty)"),
        )
        for name, rows in list(classified.unknown.items())[:5]
    ]
    with st.container(gap="xxsmall"):
        for note in (*request.notes, classified.precision_note):
            st.caption(f":material/info: {plain(translate_recorded(note))}")
        for warning in warnings:
            st.caption(f":material/warning: {plain(warning)}")


def _draw_table(classified: Classified, request: BatchRequest) -> None:
    frame, new = classified.frame.head(SHOWN_ROWS), classified.columns
    inputs = frame[[name for name in (request.text, request.label) if name in frame.columns]]
    shown = to_plain_frame(inputs, len(inputs.columns) if request.is_json else 0)
    shown = shown.set_axis(["text", "label"][: len(shown.columns)], axis=1)
    shown["text"] = shown["text"].str[:SHOWN_LETTERS]
    for position, name in ((0, CLASS), (1, PROBABILITY), (3, PROBLEM)):
        if (column := new.get(name, name)) in frame.columns and (name in new or not new):
            values = list_values(frame[column])
            if name == PROBLEM:
                values = [translate(str(value or "")) for value in values]
            shown.insert(position, name, values)
    columns: tables.Columns = {
        "text": st.column_config.TextColumn(translate("Text"), width="medium"),
        "label": translate("True label"),
        CLASS: capitalize(translate("class")),
        PROBABILITY: st.column_config.ProgressColumn(
            translate("Probability"), format="percent", min_value=0, max_value=1
        ),
        PROBLEM: translate("Problem"),
    }
    tables.draw_plain(
        shown,
        key="batch-rows",
        columns=columns,
        rows_in_view=12,
        alt=translate("Rows of the file with their classes"),
    )
    if len(classified.frame) > SHOWN_ROWS:
        st.caption(
            translate(
                "The first {shown:,} of {n:,} rows; the download contains all.",
                shown=SHOWN_ROWS,
                n=len(classified.frame),
            )
        )


def draw_downloads(job: Job, name: str) -> None:
    """Draw a button per format; the file is written when its button is clicked."""
    with st.container(horizontal=True, gap="small"):
        for suffix in WRITTEN:
            draw_download(job, name, suffix, f"batch{suffix}", FORMATS[suffix])


def draw_download(job: Job, name: str, suffix: FileSuffix, key: str, label: str) -> None:
    """Draw the button that downloads a classified file."""
    folder = cache.open_lab().get_folder(job)
    st.download_button(
        label,
        data=lambda: write_answers(read_classified(folder, job), suffix),
        file_name=f"{PurePath(name).stem or 'texts'}-classified{suffix}",
        mime="text/csv" if suffix == ".csv" else "application/octet-stream",
        key=key,
        on_click="ignore",
        icon=":material/download:",
        help=translate("All rows and columns as {format}", format=FORMATS[suffix]),
    )


def find_name(job: Job) -> str:
    """Return the name of the file."""
    return job.name.removeprefix("Classify ")


def draw_list(run: Run, shown_id: str = "") -> None:
    """Draw the files classified with the run, newest first; ``shown_id`` is on the page already."""
    store = cache.open_lab()
    jobs = list_batches(store, run.job)
    if not jobs:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"#### {translate('Files classified with this run')}", width="content")
        if shown_id:
            st.button(
                translate("Classify another"),
                key="another-file",
                icon=":material/upload_file:",
                on_click=_forget,
            )
    every = len(jobs) <= SHOWN_FILES or st.toggle(
        translate("Show all {n:,}", n=len(jobs)), key="all-batches"
    )
    for job in jobs if every else jobs[:SHOWN_FILES]:
        _draw_file(job, job.id == shown_id)


def _draw_file(job: Job, is_shown: bool) -> None:
    store = cache.open_lab()
    result = read_job_result(job, ClassifyResult)
    rows = ""
    if result:
        rows = translate_plural("{n:,} row", "{n:,} rows", result.rows)
    elif job.total:
        rows = translate_plural("{n:,} text", "{n:,} texts", job.total)
    age = format_age(store.clock() - job.created_at)
    state = translate(job_state.LOOKS[job.state].word)
    precision = translate("in {precision}", precision=result.precision) if result else ""
    parts = (rows, precision, age, state, translate("shown above") * is_shown)
    details = " · ".join(part for part in parts if part)
    name = find_name(job)
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", key=f"file-{job.id}"
    ):
        with st.container(gap=None, width="stretch"):
            st.markdown(f"**{plain(name)}**")
            st.caption(details)
        if not is_shown:
            st.button(translate("Open"), key=f"open-{job.id}", on_click=_open, args=(job.id,))
        if job.state is JobState.COMPLETED:
            draw_download(job, name, ".csv", f"csv-{job.id}", "CSV")
        if job.state.is_finished:
            with st.popover(translate("Delete"), key=f"remove-{job.id}", icon=":material/delete:"):
                st.markdown(translate("Delete the answers for {name}?", name=f"**{plain(name)}**"))
                st.button(
                    translate("Delete permanently"),
                    key=f"delete-{job.id}",
                    type="primary",
                    on_click=_delete,
                    args=(job, is_shown),
                )


def _open(job_id: str) -> None:
    st.query_params[file_form.WAY_KEY] = file_form.FILE
    st.query_params[file_form.JOB_KEY] = job_id


def _delete(job: Job, is_shown: bool) -> None:
    try:
        actions.delete(cache.open_lab(), job)
    except LoraLabError as error:  # it has been deleted or resumed in the meantime
        st.toast(f"{plain(error.message)} {plain(error.fix)}")
    if is_shown:
        _forget()


def _forget() -> None:
    st.query_params.pop(file_form.JOB_KEY, None)
