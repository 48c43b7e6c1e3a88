"""The Export page: a card per format with its export button, verification and download."""

import streamlit as st

from core.access import Action, is_allowed
from core.jobs.launching import find_latest, launch
from core.progress import Phase
from core.runs.run import Run
from core.storage.job import Job
from core.storage.store import Store
from core.transfer.export.formats import (
    MODELS,
    TITLES,
    USES,
    ExportRequest,
    Format,
    ReadyExport,
    Verification,
    is_hidden,
    read_ready,
)
from ui.session import cache
from ui.session.error_boundary import boundary
from ui.text import format_megabytes, format_per_cent
from ui.widgets import job_panel
from ui.widgets.job_panel import PanelWords, StartButton

HIDDEN = (
    "The last export is from before the final test was hidden: it can be downloaded again after the"
    " reveal, unless a new one replaces it."
)
MOST_DOWNLOAD = 400_000_000  # bytes: the server holds a download in memory
HOW_TO_READ = """
- **Verification:** the exported files are loaded again, as a user would load them, and classify
  test texts. An export is offered only if it predicts the same labels as the run, with
  probabilities that differ by less than 0.0001; an 8-bit export must match on 98 % of the labels.
  The code of the model card, `train.py` and the notebook are executed as printed.
- **Each model** is one zip with its tokenizer, class names, max tokens and a model card with
  loading instructions, plus `train.py` and a notebook that repeat the training with plain
  transformers and PEFT.
- **To import a run**, upload its adapter or bundle on the Runs page: it keeps its scores, and
  needs the same base model.
- The base model is identified by its Hub id, never by a folder of this machine.
"""


def draw_headline(run: Run) -> None:
    """Draw how many formats are ready."""
    store = cache.open_lab()
    ready = [target for target in Format if read_ready(store, run.job, target)]
    headline = (
        f"{len(ready)} of {len(Format)} formats ready to download"
        if ready
        else "Choose an export format"
    )
    st.subheader(headline, anchor=False)
    st.caption(
        "Each export runs once in the background, and is offered once its answers match the run's."
    )


def draw_format(store: Store, job: Job, target: Format) -> None:
    """Draw the card of one format in its current state."""
    with st.container(border=True, key=f"format-{target}", height="stretch"), boundary():
        st.markdown(f"#### {TITLES[target]}")
        st.caption(USES[target])
        ready = read_ready(store, job, target)
        newest = find_latest(store, ExportRequest(run=job.id, format=target))
        words = PanelWords(f"stop-{target}", notes={Phase.EXPORTING: "This takes up to a minute."})
        if ready and (newest is None or newest.state.is_finished):
            _draw_ready(store, job, target, ready)
        else:
            if is_hidden(store, job, target):
                st.caption(HIDDEN)
            job_panel.draw(store, newest, words, _start(store, job, target, "Export", True))


def _draw_verification(verification: Verification) -> None:
    low, high = verification.equal.interval
    if verification.labels_equal == verification.texts:
        verdict = f"Same label for all {verification.texts:,} test texts"
    else:
        verdict = (
            f"Same label for {format_per_cent(verification.equal.value)} of {verification.texts:,}"
            f" test texts ({format_per_cent(low)} to {format_per_cent(high)})"
        )
    executed = "; its code runs as printed" if verification.code_executed else ""
    st.markdown(f":material/verified: **{verdict}{executed}**")
    speed = (
        f"{verification.rows_per_second:.0f} texts/s here,"
        f" {verification.rows_per_second / verification.run_rows_per_second:.1f} times the run's"
    )
    difference, change = verification.max_probability_difference, verification.differs_from_base
    st.caption(
        f"Probabilities differ by at most {difference:.1g}, and by up to {change:.2f} from the"
        f" untrained base. {format_megabytes(verification.bytes / 2**20)} unpacked; {speed}."
    )


def _start(store: Store, job: Job, target: Format, label: str, primary: bool) -> StartButton:
    request = ExportRequest(run=job.id, format=target)
    return StartButton(
        label,
        f"make-{target}",
        lambda: launch(store, request, f"{TITLES[target]} of {job.name}"),
        primary=primary,
        refused=""
        if is_allowed(store.visitor, Action.WORK)
        else "You need permission to train on this server to export runs.",
    )


def _draw_ready(store: Store, job: Job, target: Format, ready: ReadyExport) -> None:
    if ready.verification and target in MODELS:
        _draw_verification(ready.verification)
    elif ready.verification:
        st.markdown(":material/verified: **Each model in it is verified**")
    if ready.bytes > MOST_DOWNLOAD:
        st.caption(
            f"The file has {format_megabytes(ready.bytes / 2**20)}, too large for a browser"
            " download. Write it on the server's command line with"
        )
        st.code(f"python -m core export {job.id} --format {target} --to FOLDER", language="bash")
        return
    _draw_download(job, target, ready)
    others = [other_export for other in MODELS if (other_export := read_ready(store, job, other))]
    if target is Format.BUNDLE and any(
        other_export.path.stat().st_mtime > ready.path.stat().st_mtime for other_export in others
    ):
        st.caption("Newer exports exist.")
        job_panel.draw_start(_start(store, job, target, "Export again with them", False))


def _draw_download(job: Job, target: Format, ready: ReadyExport) -> None:
    """Draw the download button; the file is read on click, and the server holds it once."""
    st.download_button(
        f"Download {ready.path.name}, {format_megabytes(ready.bytes / 2**20)}",
        data=ready.path.read_bytes,
        file_name=f"{job.id}-{target}.zip",
        mime="application/zip",
        key=f"download-{target}",
        on_click="ignore",
        icon=":material/download:",
    )
