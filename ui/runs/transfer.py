"""Import of a run with its scoring, and backup and restore of all runs, on the Runs page."""

import streamlit as st

from core.access import Action, Role, is_allowed
from core.errors import LoraLabError
from core.jobs.launching import read_job_result
from core.jobs.tasks.backups import (
    FINAL_TEST_RESTORED,
    BackupResult,
    RestoreResult,
    find_backups,
    find_parts,
    find_restores,
    is_hidden,
    launch_backup,
    launch_restore,
    list_own_runs,
)
from core.jobs.tasks.classify_texts import find_scoring, launch_scoring
from core.models.catalog import MODELS
from core.runs.limits import QUOTA, list_base_models, measure_usage
from core.runs.run import read_result
from core.settings import is_hosted
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from core.transfer.imports.archive import read_upload
from core.transfer.imports.import_run import import_run
from core.translation import mark, translate, translate_plural
from ui.session import cache
from ui.session.error_boundary import boundary, show
from ui.text import format_age, format_megabytes, plain, plain_option
from ui.widgets import job_panel
from ui.widgets.job_panel import PanelWords, StartButton

MOST_READ = 100_000_000  # bytes of weights: an upload has at most 20 MB, and weights hardly shrink
IMPORTABLE = mark(
    "A zip exported here as adapter or bundle, or a zipped PEFT adapter folder for sequence"
    " classification. Only safetensors and JSON are read; pickles are rejected. Up to 20 MB."
)
RECORDED = mark("As recorded in the adapter")
MOST_UPLOAD_MB = 20  # of one file, by the server's settings
HOSTED = mark(
    "This server restarts after twelve hours without a visitor. A restart deletes all runs except"
    " the example. Back up your runs before you leave."
)


def draw_usage(store: Store) -> None:
    """Draw what a student has stored, and how much may be."""
    if store.visitor.role is not Role.STUDENT:
        return
    usage = measure_usage(store)
    st.caption(
        translate(
            "You have {runs:,} of {most_runs:,} runs, {imported:,} of {most_imported:,} imported,"
            " and {exports:,} of {most_exports:,} exports ({mb:,} of {most_mb:,} MB). Exports are"
            " removed after {days} days.",
            runs=usage.runs,
            most_runs=QUOTA.runs,
            imported=usage.imported_runs,
            most_imported=QUOTA.imported_runs,
            exports=usage.exports,
            most_exports=QUOTA.exports,
            mb=usage.export_mb,
            most_mb=QUOTA.export_mb,
            days=QUOTA.export_days,
        )
    )


def draw_import(store: Store) -> None:
    """Draw the import form below the list; nothing for visitors who may not import."""
    if not is_allowed(store.visitor, Action.IMPORT):
        return
    # a new import clears and closes the form
    imported = sum(map(_is_imported, store.list_jobs(JobKind.TRAIN)))
    with (
        st.expander(translate("Import a run"), key=f"import-{imported}", icon=":material/upload:"),
        boundary(),
    ):
        uploaded = st.file_uploader(
            translate(IMPORTABLE), type=["zip"], key=f"import-file-{imported}"
        )
        if uploaded is None:
            return
        with st.grid(2, min_column_width=260):
            name = st.text_input(
                translate("Name"),
                key=f"import-name-{imported}",
                max_chars=120,
                placeholder=translate("Name from the zip"),
            )
            names = st.text_input(
                translate("Class names"),
                key=f"import-classes-{imported}",
                max_chars=5000,
                placeholder=translate("Class names from the zip"),
                help=translate(
                    "In the order of their ids, separated by commas. Only needed if the zip does"
                    " not contain them."
                ),
            )
        known = [*MODELS, store.settings.model, *list_base_models(store)]
        base = st.selectbox(
            translate("Base model"),
            ["", *dict.fromkeys(known)],
            format_func=lambda model: plain_option(model) if model else translate(RECORDED),
            key=f"import-base-{imported}",
            help=translate(
                "The weights that the adapter was trained for. Only needed if the adapter names a"
                " folder of another machine, or a Hub model without its revision."
            ),
        )
        if st.button(
            translate("Import"), key="import-button", type="primary", icon=":material/upload:"
        ):
            classes = [name_part.strip() for name_part in names.split(",")] if names.strip() else []
            try:
                job = import_run(
                    store,
                    read_upload(uploaded.name, uploaded.getvalue(), MOST_READ),
                    name=name,
                    classes=classes,
                    base=base,
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
        translate(
            "Imported without test predictions. It can classify texts; score it to compare it with"
            " other runs."
        ),
        icon=":material/upload:",
    )
    latest = find_scoring(store, job)
    if job_panel.draw(store, latest, PanelWords("stop-scoring")):
        return
    if latest and latest.state is JobState.COMPLETED:
        st.rerun()  # the scores were written in the meantime
    if not is_allowed(store.visitor, Action.SCORE, job.owner):
        return
    status = cache.read_data_status(store.settings)
    if status.source is None:
        st.caption(translate("Choose data in the sidebar to score the run on its test texts."))
        return
    reason = _why_not(job, status)
    st.caption(
        reason
        or translate(
            "Use data that the run was not trained on; otherwise the score is meaningless. Choose"
            " another dataset in the sidebar."
        )
    )
    source = status.source
    job_panel.draw_start(
        StartButton(
            translate("Score on {data}", data=plain(source.name)),
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
    theirs, own = (", ".join(names)[:200] for names in (status.dataset.classes, classes))
    return plain(
        translate(
            "{data} has the classes {theirs}; this run has {own}. Choose data with the same classes"
            " in the sidebar.",
            data=status.dataset.name,
            theirs=theirs,
            own=own,
        )
    )


def _is_imported(job: Job) -> bool:
    try:
        return read_result(job).imported is not None
    except LoraLabError:  # its record is damaged
        return False


def draw_backups(store: Store) -> None:
    """Draw backup and restore for visitors who may work here; nothing for others."""
    if not is_allowed(store.visitor, Action.WORK):
        return
    if is_hosted():
        st.info(translate(HOSTED), icon=":material/cloud:")
    with (
        st.expander(translate("Back up all runs"), key="backups", icon=":material/archive:"),
        boundary(),
    ):
        sides = st.grid(2, min_column_width=330, gap="large")
        with sides.cell():
            _draw_backup(store)
        with sides.cell():
            _draw_restore(store)


def _draw_backup(store: Store) -> None:
    runs = list_own_runs(store)
    heading = translate("Back up all runs" if store.visitor.is_admin else "Back up your runs")
    st.markdown(f"##### {heading}")
    st.caption(
        translate(
            "Includes records, curves, adapters, predictions and tags, but no checkpoints, logs or"
            " exports. Restore it here or on another server."
        )
    )
    newest = next(iter(find_backups(store)), None)
    if newest and newest.state is JobState.COMPLETED:
        _draw_ready(store, newest)
    start = StartButton(
        translate_plural("Back up {n:,} run", "Back up {n:,} runs", len(runs)),
        "make-backup",
        lambda: launch_backup(store),
        icon=":material/archive:",
        refused="" if runs else translate("No finished runs yet."),
    )
    job_panel.draw(store, newest, PanelWords("stop-backup"), start)


def _draw_ready(store: Store, job: Job) -> None:
    if is_hidden(store, job):
        st.caption(
            translate(
                "Your last backup is from before the final test was hidden. Make another one."
            )
        )
    result, parts = read_job_result(job, BackupResult), find_parts(store, job)
    if result is None or not parts:
        return
    ended = format_age(store.clock() - (job.ended_at or 0))
    st.caption(
        translate_plural(
            "{n:,} run backed up {ended}.",
            "{n:,} runs backed up {ended}.",
            result.runs,
            ended=ended,
        )
    )
    if result.left_out:
        reasons = [f"{run}: {why}" for run, why in list(result.left_out.items())[:5]]
        text = translate("Not included: {runs}", runs=plain("; ".join(reasons)))
        st.warning(text, icon=":material/warning:")
    for number, path in enumerate(parts, start=1):
        size = path.stat().st_size
        st.download_button(
            translate(
                "Download part {number} of {parts}, {size}"
                if len(parts) > 1
                else "Download {size}",
                number=number,
                parts=len(parts),
                size=format_megabytes(size / 2**20),
            ),
            data=path.read_bytes,
            file_name=f"lora-lab-{path.name}",
            mime="application/zip",
            key=f"download-backup-{number}",
            on_click="ignore",
            icon=":material/download:",
        )
        if size > MOST_UPLOAD_MB * 2**20:
            st.caption(
                translate(
                    "Larger than the upload limit of this page. Restore it on the command line with"
                    " `python -m core restore FILE`."
                )
            )


def _draw_restore(store: Store) -> None:
    st.markdown(f"##### {translate('Restore runs')}")
    st.caption(
        translate(
            "Runs that already exist are skipped. Each run is checked first; only safetensors, JSON"
            " and Parquet are read."
        )
    )
    newest = next(iter(find_restores(store)), None)
    if job_panel.draw(store, newest, PanelWords("stop-restore", stopped=translate("Stopped."))):
        return
    if newest and newest.state is JobState.COMPLETED:
        _draw_restored(newest)
    restores = len(find_restores(store))  # a new job clears the uploader
    label = translate("Backup files, all parts (up to {mb} MB each)", mb=MOST_UPLOAD_MB)
    uploaded = st.file_uploader(
        label, type=["zip"], accept_multiple_files=True, key=f"restore-file-{restores}"
    )
    if uploaded and st.button(
        translate("Restore"), key="restore", type="primary", icon=":material/unarchive:"
    ):
        names = [file.name for file in uploaded]
        called = [
            name if names.count(name) == 1 else f"{name} ({number})"
            for number, name in enumerate(names, start=1)
        ]
        try:
            launch_restore(
                store, {name: file.getvalue() for name, file in zip(called, uploaded, strict=True)}
            )
        except LoraLabError as error:
            show(error)
            return
        st.rerun()


def _draw_restored(job: Job) -> None:
    result = read_job_result(job, RestoreResult)
    if result is None:
        return
    parts = [
        translate_plural("{n:,} run restored", "{n:,} runs restored", len(result.restored)),
        translate("{n:,} already existed", n=result.already) if result.already else "",
        translate_plural("{n:,} run rejected", "{n:,} runs rejected", len(result.left_out))
        if result.left_out
        else "",
    ]
    st.success(f"{', '.join(filter(None, parts))}.", icon=":material/unarchive:")
    if result.final_test:
        st.info(translate(FINAL_TEST_RESTORED), icon=":material/visibility_off:")
    for run, why in list(result.left_out.items())[:5]:
        st.caption(f"`{plain(run)}` {plain(why)}")
