"""What a run costs, from the speed of the runs that finished on this machine."""

import streamlit as st

from core.config import RunConfig
from core.errors import LoraLabError
from core.estimate import Estimate, Speed, Timing, estimate, measured_speed, row_work
from core.facts import DataFacts, ModelFacts, model_facts
from core.jobs.rebuild import SHIPPED_OWNER
from core.jobs.requests import read_train_request
from core.states import Job, JobState, Kind
from core.store import Store
from ui import model_choice
from ui.words import duration, megabytes, plain

NEWEST = 5  # as many as the measured speed rests on


def draw(config: RunConfig, data: DataFacts, model: ModelFacts, store: Store, fingerprint: str) -> None:
    """Steps, time with its range, and memory."""
    expected = estimate(config, data, model, _speed(store, data, fingerprint))
    with st.grid(3, min_column_width=90, key="cost"):
        _figure("Steps", f"{expected.steps:,}")
        _figure("Time", f"about {duration(expected.likely_seconds)}")
        _figure("Memory", megabytes(expected.memory_mb))
    st.caption(f"{_range(expected)}; speed {plain(expected.speed.source)}.")


def _figure(label: str, value: str) -> None:
    with st.container(gap=None):
        st.caption(label)
        st.markdown(f"**{value}**")


def _range(expected: Estimate) -> str:
    return f"Between {duration(expected.low_seconds)} and {duration(expected.high_seconds)} from launch to end"


def _speed(store: Store, data: DataFacts, fingerprint: str) -> Speed:
    jobs = [job for job in store.jobs(Kind.TRAIN, JobState.COMPLETED) if job.owner != SHIPPED_OWNER and job.fingerprint == fingerprint]
    timings = (_timing(store, job, data) for job in jobs[:NEWEST])
    return measured_speed([timing for timing in timings if timing])


def _timing(store: Store, job: Job, data: DataFacts) -> Timing | None:
    try:
        config, speed = read_train_request(job).config, job.result.get("rows_per_second")
        model = model_facts(model_choice.find(config.model, store.settings))
    except LoraLabError:  # a damaged run has no say in this
        return None
    return Timing(speed, row_work(config, data, model), job.ended_at or 0) if isinstance(speed, int | float) else None
