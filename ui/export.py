"""Parts of the Export page: a card for each format, from the button that makes it to the proof and
the download.
"""

from typing import Literal

import streamlit as st

from core.access import Action, may
from core.jobs import actions
from core.jobs.tasks.export_run import find_export_jobs
from core.progress import Phase
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.transfer.export.formats import MODELS, TITLES, USES, Format, Verification
from core.transfer.export.ready_exports import Ready, read_ready
from ui.app.page_frame import OpenRun
from ui.session.error_boundary import boundary
from ui.text import count, megabytes, per_cent, plain
from ui.widgets.job_progress import watch

MOST_DOWNLOAD = 400_000_000  # bytes that the server holds in memory while they are downloaded
HOW_TO_READ = """
- **Read back** means: the files are opened again as a stranger would open them, and answer test
  texts beside the run. Only a copy that gives the same labels, with probabilities that differ by
  less than 0.0001, is offered; one of 8 bits must keep 98 % of the labels.
- **Each model** is one zip with its tokenizer, class names, max tokens and a model card that
  says how to load it; and with `train.py` and a notebook that train the run again with plain
  transformers and PEFT.
- **To bring a run back**, import its adapter or the zip of everything on the page Runs: it keeps
  its scores, and needs the same base.
- The base is named by its identity on the Hub, never by a folder of this machine.
"""


def draw_headline(run: OpenRun) -> None:
    """What can be taken away, in a sentence."""
    ready = [target for target in Format if read_ready(run.store, run.job, target)]
    said = (
        f"{count(len(ready), 'formats')} of {len(Format)} ready to take away"
        if ready
        else "Choose a form to take this run away"
    )
    st.subheader(said, anchor=False)
    st.caption(
        "Each is made once, in the background, and offered when it has answered test texts as the"
        " run does."
    )


def draw_format(store: Store, job: Job, target: Format) -> None:
    """One format: made, being made, failed, or ready."""
    with st.container(border=True, key=f"format-{target}", height="stretch"), boundary():
        st.markdown(f"#### {TITLES[target]}")
        st.caption(USES[target])
        ready = read_ready(store, job, target)
        newest = next(iter(find_export_jobs(store, job, target)), None)
        under_way = newest is not None and not newest.state.over
        if ready and not under_way:
            _draw_ready(store, job, target, ready)
        elif newest and under_way:
            watch(store, newest, f"stop-{target}", {Phase.EXPORTING: "It takes a minute or less."})
        else:
            if newest and newest.state in (JobState.FAILED, JobState.INTERRUPTED):
                st.error(f"{plain(newest.message)} {plain(newest.fix)}", icon=":material/error:")
            _draw_make(store, job, target, "Make it")


def _draw_proof(proof: Verification) -> None:
    low, high = proof.equal.interval
    if proof.labels_equal == proof.texts:
        said = f"Same label for all {proof.texts:,} test texts"
    else:
        said = (
            f"Same label for {per_cent(proof.equal.value)} of {proof.texts:,} test texts"
            f" ({per_cent(low)} to {per_cent(high)})"
        )
    st.markdown(f":material/verified: **{said}**")
    speed = (
        f"{proof.rows_per_second:.0f} texts/s here,"
        f" {proof.rows_per_second / proof.run_rows_per_second:.1f} times the run's"
    )
    st.caption(
        f"Probabilities differ by at most {proof.max_probability_difference:.1g}, and by up to"
        f" {proof.differs_from_base:.2f} from the untrained base. {megabytes(proof.bytes / 2**20)}"
        f" unpacked; {speed}."
    )


def _draw_make(store: Store, job: Job, target: Format, label: str, main: bool = True) -> None:
    kind: Literal["primary", "secondary"] = "primary" if main else "secondary"
    if not may(store.visitor, Action.WORK):
        st.caption("Only those who may train on this server make exports.")
    elif st.button(label, key=f"make-{target}", type=kind, icon=":material/play_arrow:"):
        actions.launch_export(store, job, target)
        st.rerun()


def _draw_ready(store: Store, job: Job, target: Format, ready: Ready) -> None:
    if ready.proof and target in MODELS:
        _draw_proof(ready.proof)
    elif ready.proof:
        st.markdown(":material/verified: **Each model in it has been proved**")
    if ready.bytes > MOST_DOWNLOAD:
        st.caption(
            f"It has {megabytes(ready.bytes / 2**20)}, too much for a browser page. On the server's"
            " command line it is written by"
        )
        st.code(f"python -m core export {job.id} --format {target} --to FOLDER", language="bash")
        return
    _draw_download(job, target, ready)
    others = [one for other in MODELS if (one := read_ready(store, job, other))]
    if target is Format.BUNDLE and any(
        one.path.stat().st_mtime > ready.path.stat().st_mtime for one in others
    ):
        st.caption("Other forms have been made since.")
        _draw_make(store, job, target, "Make it again with them", main=False)


def _draw_download(job: Job, target: Format, ready: Ready) -> None:
    """The file is read when somebody clicks; however many do, the server then holds it once."""
    st.download_button(
        f"Download {ready.path.name}, {megabytes(ready.bytes / 2**20)}",
        data=ready.path.read_bytes,
        file_name=f"{job.id}-{target}.zip",
        mime="application/zip",
        key=f"download-{target}",
        on_click="ignore",
        icon=":material/download:",
    )
