"""Parts of the Export page: a card for each format, from the button that makes it to the proof and the download."""

import streamlit as st

from core.exporting.formats import TITLES, USES, Format, Proof
from core.jobs import actions
from core.jobs.export import exports_folder, find_export_jobs, read_proof
from core.states import Job, JobState
from core.store import Store
from core.training.events import Phase
from ui.boundary import boundary
from ui.frame import OpenRun
from ui.watching import watch
from ui.words import count, megabytes, per_cent, plain

HOW_TO_READ = """
- **Read back** means: the files are opened again as a stranger would open them, and answer test texts beside the run. Only a copy that
  gives the same labels, with probabilities that differ by less than 0.0001, is offered; one of 8 bits must keep 98 % of the labels.
- **Each download** is one zip with the model, its tokenizer, class names, max tokens and a model card that says how to load it; and
  with `train.py` and a notebook that train the run again with plain transformers and PEFT.
- The base is named by its identity on the Hub, never by a folder of this machine.
"""


def draw_headline(run: OpenRun) -> None:
    """What can be taken away, in a sentence."""
    ready = [target for target in Format if read_proof(run.store, run.job, target)]
    said = f"{count(len(ready), 'formats')} of {len(Format)} ready to take away" if ready else "Choose a form to take this run away"
    st.subheader(said, anchor=False)
    st.caption("Each is made once, in the background, and offered when it has answered test texts as the run does.")


def draw_format(store: Store, job: Job, target: Format) -> None:
    """One format: made, being made, failed, or ready."""
    with st.container(border=True, key=f"format-{target}", height="stretch"), boundary():
        st.markdown(f"#### {TITLES[target]}")
        st.caption(USES[target])
        proof = read_proof(store, job, target)
        newest = next(iter(find_export_jobs(store, job, target)), None)
        if proof:
            _draw_proof(proof)
            _draw_download(store, job, target)
        elif newest and not newest.state.over:
            watch(store, newest, f"stop-{target}", {Phase.EXPORTING: "It takes a minute or less."})
        else:
            if newest and newest.state in (JobState.FAILED, JobState.INTERRUPTED):
                st.error(f"{plain(newest.message)} {plain(newest.fix)}", icon=":material/error:")
            if st.button("Make it", key=f"make-{target}", type="primary", icon=":material/play_arrow:"):
                actions.launch_export(store, job, target)
                st.rerun()


def _draw_proof(proof: Proof) -> None:
    low, high = proof.equal.interval
    if proof.labels_equal == proof.texts:
        said = f"Same label for all {proof.texts:,} test texts"
    else:
        said = f"Same label for {per_cent(proof.equal.value)} of {proof.texts:,} test texts ({per_cent(low)} to {per_cent(high)})"
    st.markdown(f":material/verified: **{said}**")
    speed = f"{proof.rows_per_second:.0f} texts/s here, {proof.rows_per_second / proof.run_rows_per_second:.1f} times the run's"
    st.caption(
        f"Probabilities differ by at most {proof.max_probability_difference:.1g}, and by up to {proof.differs_from_base:.2f} from the"
        f" untrained base. {megabytes(proof.bytes / 2**20)} unpacked; {speed}."
    )


def _draw_download(store: Store, job: Job, target: Format) -> None:
    path = exports_folder(store, job) / f"{target}.zip"
    st.download_button(
        f"Download {path.name}",
        data=path.read_bytes if path.is_file() else b"",
        file_name=f"{job.id}-{target}.zip",
        mime="application/zip",
        key=f"download-{target}",
        on_click="ignore",
        icon=":material/download:",
    )
