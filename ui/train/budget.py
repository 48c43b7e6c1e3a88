"""Time budget: fill the form with a run that fits into the chosen number of minutes."""

import streamlit as st

from core.data.recipe import Recipe
from core.errors import LoraLabError
from core.estimate.budget import BudgetProposal, propose
from core.estimate.inputs import model_facts
from core.presets import make_config
from core.runs.local_estimate import find_speed, list_outcomes
from core.storage.store import Store
from ui.session import cache
from ui.session.cache import DataStatus, read_facts
from ui.text import plain
from ui.train import form
from ui.widgets import model_picker

KEY = "budget"
MINUTES = (5, 15, 45)
FREE = 0
FILLED = (
    "train_rows",
    "epochs",
    "batch_size",
    "evaluation_interval",
    "validation_rows",
    "test_rows",
)


def draw(store: Store, status: DataStatus, recipe: Recipe | None = None) -> None:
    """Draw the choice of minutes, which fills the form; disabled without prepared data."""
    st.session_state.setdefault(KEY, FREE)
    st.segmented_control(
        "Time budget",
        (FREE, *MINUTES),
        format_func=lambda minutes: f"{minutes} minutes" if minutes else "no limit",
        required=True,
        key=KEY,
        disabled=status.dataset is None,
        on_change=_fill,
        args=(store, status, recipe),
        persist_state="session",
        help=(
            "Proposes rows, epochs, batch size and evaluation that fit, including the final"
            " evaluation. No limit restores the preset."
        ),
    )
    if st.session_state[KEY] and status.dataset is not None:
        st.caption(_words(store, status, recipe))


def release() -> None:
    """Reset the budget after another preset has filled the form."""
    st.session_state[KEY] = FREE


def _fill(store: Store, status: DataStatus, recipe: Recipe | None) -> None:
    minutes = st.session_state[KEY]
    form.fill_from_preset(
        cache.read_size(status)
    )  # values of the previous budget must not limit this one
    if not minutes or status.dataset is None:
        return
    try:
        proposal = _propose(minutes, store, status, recipe)
    except LoraLabError as error:
        release()
        st.toast(plain(str(error)), icon=":material/timer_off:")
        return
    chosen = proposal.config.model_dump()
    form.fill({name: chosen[name] for name in FILLED})


def _words(store: Store, status: DataStatus, recipe: Recipe | None) -> str:
    try:
        return plain(_propose(st.session_state[KEY], store, status, recipe).note)
    except LoraLabError as error:
        return plain(str(error))


def _propose(
    minutes: int, store: Store, status: DataStatus, recipe: Recipe | None
) -> BudgetProposal:
    assert status.dataset is not None
    values = form.read()
    config = make_config(None, values)
    model = model_facts(model_picker.find(config.model, store))
    data, speed = read_facts(status.dataset, recipe), find_speed(store, config, model)
    return propose(
        minutes,
        config,
        data,
        model,
        speed,
        list_outcomes(store, status.dataset.fingerprint, model),
    )
