"""The import form of the Runs page, and the scoring of an imported run on local test texts."""

import streamlit as st

from core.access import Action, may
from core.errors import LoraLabError
from core.jobs.tasks.score_import import find_scoring, launch_scoring
from core.runs.run import read_result
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from core.transfer.imports.archive import read_upload
from core.transfer.imports.import_run import import_run
from ui.session import cache
from ui.session.error_boundary import boundary, show
from ui.text import plain
from ui.widgets import job_panel
from ui.widgets.job_panel import PanelWords, StartButton

MOST_READ = 100_000_000  # bytes of weights: an upload has at most 20 MB, and weights hardly shrink
WHAT = (
    "A zip exported here as adapter or bundle, or a zipped PEFT adapter folder for sequence"
    " classification. Only safetensors and JSON are read; pickles are rejected."
)


def draw(store: Store) -> None:
    """Draw the import form below the list; nothing for visitors who may not import."""
    if not may(store.visitor, Action.IMPORT):
        return
    imported = sum(
        map(_is_imported, store.jobs(JobKind.TRAIN))
    )  # a new import clears and closes the form
    with (
        st.expander("Import a run", key=f"import-{imported}", icon=":material/upload:"),
        boundary(),
    ):
        uploaded = st.file_uploader(
            f"{WHAT} Up to 20 MB.", type=["zip"], key=f"import-file-{imported}"
        )
        if uploaded is None:
            return
        with st.grid(2, min_column_width=260):
            name = st.text_input(
                "Name",
                key=f"import-name-{imported}",
                max_chars=120,
                placeholder="Name from the zip",
            )
            names = st.text_input(
                "Class names",
                key=f"import-classes-{imported}",
                max_chars=5000,
                placeholder="Class names from the zip",
                help=(
                    "In the order of their ids, separated by commas. Only needed if the zip does"
                    " not contain them."
                ),
            )
        if st.button("Import", key="import-button", type="primary", icon=":material/upload:"):
            classes = [name_part.strip() for name_part in names.split(",")] if names.strip() else []
            try:
                job = import_run(
                    store,
                    read_upload(uploaded.name, uploaded.getvalue(), MOST_READ),
                    name=name,
                    classes=classes,
                )
            except LoraLabError as error:
                show(error)
                return
            st.query_params["run"] = job.id
            st.rerun()


def draw_scoring(store: Store, job: Job) -> None:
    """Draw the scoring of an imported run without scores: its progress, or the button to start
    it.
    """
    st.info(
        "Imported without test predictions. It can classify texts; score it to compare it with"
        " other runs.",
        icon=":material/upload:",
    )
    latest = find_scoring(store, job)
    if job_panel.draw(store, latest, PanelWords("stop-scoring")):
        return
    if latest and latest.state is JobState.COMPLETED:
        st.rerun()  # the scores were written in the meantime
    if not may(store.visitor, Action.SCORE, job.owner):
        return
    status = cache.data_status(store.settings)
    if status.source is None:
        st.caption("Choose data in the sidebar to score the run on its test texts.")
        return
    reason = _why_not(job, status)
    st.caption(
        reason
        or (
            "Use data that the run was not trained on; otherwise the score is meaningless. Choose"
            " another dataset in the sidebar."
        )
    )
    source = status.source
    job_panel.draw_start(
        StartButton(
            f"Score on {plain(source.name)}",
            "score",
            lambda: launch_scoring(store, job, source),
            icon=":material/rule:",
            primary=True,
            disabled=bool(reason),
        )
    )


def _why_not(job: Job, status: cache.DataStatus) -> str:
    classes = read_result(job).classes or ()
    if status.dataset is None or set(status.dataset.classes) == set(classes):
        return ""
    theirs, mine = (", ".join(names)[:200] for names in (status.dataset.classes, classes))
    return plain(
        f"{status.dataset.name} has the classes {theirs}; this run has {mine}. Choose data with"
        " the same classes in the sidebar."
    )


def _is_imported(job: Job) -> bool:
    try:
        return read_result(job).imported is not None
    except LoraLabError:  # its record is damaged
        return False
