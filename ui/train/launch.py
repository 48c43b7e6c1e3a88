"""Start of a run, exactly once however often the button is clicked."""

import secrets

import streamlit as st

from core.jobs import actions
from core.runs.requests import TrainRequest
from core.storage.job import Job
from core.storage.store import Store
from ui import navigation
from ui.session import drafts

LAUNCHED = "launched-run"


def draw_button(label: str, key: str, disabled: bool = False) -> bool:
    """Draw the button with a launch key, which stays the same for a second click in flight."""
    clicked = st.button(
        label, key=key, type="primary", icon=":material/play_arrow:", disabled=disabled
    )
    if not clicked:
        _follow()
        # redrawn and visible: the next click is intended
        st.session_state[_name(key)] = secrets.token_hex(8)
    return clicked


def launch(store: Store, request: TrainRequest, *, button: str, name: str = "") -> None:
    """Queue the run and open it. Raises NotEnoughRoom."""
    job = actions.launch_training(store, request, name=name, key=_key(button))
    drafts.forget(store, ("guess", "run-name"))
    _go(job)


def retry(store: Store, job: Job, *, button: str) -> None:
    """Queue the proposed retry of ``job`` and open it. Raises StateConflict and NotEnoughRoom."""
    _go(actions.retry(store, job, key=_key(button)))


def clear_redirect() -> None:
    """Clear the pending redirect once the list of runs has been drawn."""
    st.session_state.pop(LAUNCHED, None)


def _go(job: Job) -> None:
    st.session_state[LAUNCHED] = job.id
    navigation.open_page(navigation.RUNS, job.id)


def _follow() -> None:
    """Follow the redirect of an earlier click, which a second click may have interrupted."""
    if launched := st.session_state.pop(LAUNCHED, None):
        navigation.open_page(navigation.RUNS, launched)


def _key(button: str) -> str:
    return str(st.session_state.setdefault(_name(button), secrets.token_hex(8)))


def _name(button: str) -> str:
    return f"launch-key-{button}"
