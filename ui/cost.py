"""What a run costs: from this machine's own speed, or a typical one and the way to measure it."""

import streamlit as st

from core.config import RunConfig
from core.errors import NotEnoughRoom
from core.estimate import Estimate
from core.facts import DataFacts, ModelFacts
from core.jobs.expect import estimate_here
from core.jobs.room import MIN_FREE_MB, MIN_MEMORY_MB, require_room
from core.store import Store
from ui import measuring
from ui.words import duration, megabytes, plain


def draw(config: RunConfig, data: DataFacts, model: ModelFacts, store: Store, fingerprint: str) -> Estimate:
    """Steps, time with its range, and memory: the estimate that is shown."""
    expected = estimate_here(store, config, data, model, fingerprint)
    with st.grid(3, min_column_width=90, key="cost"):
        _figure("Steps", f"{expected.steps:,}")
        _figure("Time", f"about {duration(expected.likely_seconds)}")
        _figure("Memory", megabytes(expected.memory_mb))
    st.caption(f"{_range(expected)}; speed {plain(expected.source)}. On disk {megabytes(expected.disk_mb)}.")
    try:
        require_room(store.settings, max(MIN_FREE_MB, expected.disk_mb), max(MIN_MEMORY_MB, expected.memory_mb))
    except NotEnoughRoom as error:  # a warning: another program may end before the run begins, which looks again
        st.warning(f"{plain(error.message)} {plain(error.fix)}", icon=":material/memory:")
    if model.available and not expected.measured:
        measuring.draw(store, config.model, config.precision)
    return expected


def _figure(label: str, value: str) -> None:
    with st.container(gap=None):
        st.caption(label)
        st.markdown(f"**{value}**")


def _range(expected: Estimate) -> str:
    return f"Between {duration(expected.low_seconds)} and {duration(expected.high_seconds)} from launch to end"
