"""Launch a run once, however often the button is clicked."""

import secrets
from typing import TypedDict, Unpack

import streamlit as st

from core.config import RunConfig
from core.data.recipe import Recipe
from core.data.sources import Source
from core.jobs import actions
from core.storage.job import Job
from core.storage.store import Store
from ui import navigation

LAUNCHED = "launched-run"


def launch_button(label: str, key: str, disabled: bool = False) -> bool:
    """The button, and behind it a key made when it is drawn. The key stays the same for a second
    click that was already on its way.
    """
    clicked = st.button(
        label, key=key, type="primary", icon=":material/play_arrow:", disabled=disabled
    )
    if not clicked:
        _follow()
        st.session_state[_name(key)] = secrets.token_hex(
            8
        )  # drawn anew, so a person looks at it: the next click is meant
    return clicked


class LaunchOptions(TypedDict, total=False):
    """What belongs to a run beside its configuration, as ``launch_training`` takes it."""

    preset: str
    name: str
    recipe: Recipe | None
    guess: float | None


def launch(
    store: Store, config: RunConfig, source: Source, *, button: str, **wish: Unpack[LaunchOptions]
) -> None:
    """Queue the run and go to it. Raises NotEnoughRoom."""
    _go(actions.launch_training(store, config, source, key=_key(button), **wish))


def retry(store: Store, job: Job, *, button: str) -> None:
    """Queue a run like this one with the change that it proposes, and go to it. Raises
    StateConflict and NotEnoughRoom.
    """
    _go(actions.retry(store, job, key=_key(button)))


def arrived() -> None:
    """The list of runs has been drawn, so nobody needs to be led there any more."""
    st.session_state.pop(LAUNCHED, None)


def _go(job: Job) -> None:
    st.session_state[LAUNCHED] = job.id
    navigation.open_page(navigation.RUNS, job.id)


def _follow() -> None:
    """Go where a launch was leading: a second click can stop the script that was on its way there,
    and be forgotten itself.
    """
    if launched := st.session_state.pop(LAUNCHED, None):
        navigation.open_page(navigation.RUNS, launched)


def _key(button: str) -> str:
    return str(st.session_state.setdefault(_name(button), secrets.token_hex(8)))


def _name(button: str) -> str:
    return f"launch-key-{button}"
