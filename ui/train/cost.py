"""Estimated cost of a run, and the measurement of this machine's speed."""

import streamlit as st

from core.config import Precision, RunConfig
from core.errors import NotEnoughRoom
from core.estimate.estimate import Estimate
from core.estimate.inputs import DataFacts, ModelFacts
from core.jobs.launching import find_latest, launch
from core.runs.expected import estimate_here
from core.runs.requests import CalibrateRequest
from core.storage.job import ACTIVE, JobState
from core.storage.resources import MIN_FREE_MB, MIN_MEMORY_MB, require_resources
from core.storage.store import Store
from ui.text import duration, megabytes, plain
from ui.widgets import job_panel
from ui.widgets.job_panel import PanelWords, StartButton


def draw(
    config: RunConfig, data: DataFacts, model: ModelFacts, store: Store, fingerprint: str
) -> Estimate:
    """Draw steps, time with its range, and memory; return the estimate."""
    expected = estimate_here(store, config, data, model, fingerprint)
    with st.grid(3, min_column_width=90, key="cost"):
        _figure("Steps", f"{expected.steps:,}")
        _figure("Time", f"about {duration(expected.likely_seconds)}")
        _figure("Memory", megabytes(expected.memory_mb))
    st.caption(
        f"{_range(expected)}; {plain(expected.source)}. Precision: {expected.precision}."
        f" Disk space: {megabytes(expected.disk_mb)}."
    )
    try:
        require_resources(
            store.settings,
            max(MIN_FREE_MB, expected.disk_mb),
            max(MIN_MEMORY_MB, expected.memory_mb),
        )
    except (
        NotEnoughRoom
    ) as error:  # only a warning: memory may be free again when the run starts and checks
        st.warning(f"{plain(error.message)} {plain(error.fix)}", icon=":material/memory:")
    if model.available and not expected.measured:
        draw_measurement(store, config.model, config.precision)
    return expected


def _figure(label: str, value: str) -> None:
    with st.container(gap=None):
        st.caption(label)
        st.markdown(f"**{value}**")


def _range(expected: Estimate) -> str:
    return (
        f"Between {duration(expected.low_seconds)} and {duration(expected.high_seconds)} in total"
    )


BUTTON = "Measure this machine"


def draw_measurement(store: Store, model_id: str, precision: Precision) -> None:
    """Draw the measurement of a model that has not been measured here in this precision."""
    request = CalibrateRequest(model=model_id, precision=precision)
    job = find_latest(store, request)
    if job is not None and not job.state.over:
        job_panel.draw(store, job, PanelWords("stop-measure"))
        return
    if job is not None and job.state is not JobState.COMPLETED:
        why = (
            job.message or "It made way for a run."
            if job.state is not JobState.CANCELLED
            else "It was stopped, or made way for a run."
        )
        st.caption(f"The last measurement did not finish. {plain(why)}")
    busy = bool(store.jobs(None, JobState.QUEUED, *ACTIVE))
    help_text = (
        "Times a few real steps of this model, which takes about ten seconds. Estimates then use"
        " this machine's speed."
    )
    job_panel.draw_start(
        StartButton(
            BUTTON,
            "measure",
            lambda: launch(store, request, request.model),
            icon=":material/speed:",
            help="Another job is running, which would distort the measurement."
            if busy
            else help_text,
            disabled=busy,
        )
    )
