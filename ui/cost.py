"""What a run costs, from the speed of the runs that finished on this machine."""

import streamlit as st

from core.config import RunConfig
from core.estimate import Estimate, estimate
from core.facts import DataFacts, ModelFacts
from core.jobs.speed import find_speed
from core.store import Store
from ui.words import duration, megabytes, plain


def draw(config: RunConfig, data: DataFacts, model: ModelFacts, store: Store, fingerprint: str) -> None:
    """Steps, time with its range, and memory."""
    expected = estimate(config, data, model, find_speed(store, config, model))
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
