"""Launch a run once, however often the button is clicked."""

import secrets

import streamlit as st

from core.config import RunConfig
from core.data.sources import Source
from core.jobs import actions
from core.states import Job
from core.store import Store
from ui import navigation


def launch_button(label: str, key: str, disabled: bool = False) -> bool:
    """The button, and behind it a key made when it is drawn. The key stays the same for a second click that was already on its way."""
    clicked = st.button(label, key=key, type="primary", icon=":material/play_arrow:", disabled=disabled)
    if not clicked:  # drawn anew, so a person looks at it: the next click is meant
        st.session_state[_name(key)] = secrets.token_hex(8)
    return clicked


def launch(store: Store, config: RunConfig, source: Source, *, button: str, preset: str = "", name: str = "") -> None:
    """Queue the run and go to it. Raises NotEnoughRoom."""
    job = actions.launch_training(store, config, source, key=_key(button), preset=preset, name=name)
    navigation.open_page(navigation.RUNS, job.id)


def retry(store: Store, job: Job, *, button: str) -> None:
    """Queue a run like this one with the change that it proposes, and go to it. Raises StateConflict and NotEnoughRoom."""
    navigation.open_page(navigation.RUNS, actions.retry(store, job, key=_key(button)).id)


def _key(button: str) -> str:
    return str(st.session_state.setdefault(_name(button), secrets.token_hex(8)))


def _name(button: str) -> str:
    return f"launch-key-{button}"
