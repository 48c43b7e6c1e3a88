"""Choose a base model: one on offer, or a folder or Hub id; whether it can be had is said before
anything is launched.
"""

import streamlit as st

from core.config import RunConfig
from core.models.catalog import MODELS, ModelLocation
from core.runs.model_access import look_up
from core.settings import Settings
from core.storage.store import Store
from ui.text import plain

KEY, OTHER_KEY = "field-model", "field-model-other"
OTHER = "another"


def fill(model: str) -> None:
    """Put a model into the widgets, before they are drawn."""
    offered = model in _offered()
    st.session_state[KEY] = model if offered else OTHER
    if not offered:
        st.session_state[OTHER_KEY] = model


def read() -> str:
    """The model in the widgets, empty where another one is wanted and not named yet."""
    chosen = str(st.session_state[KEY])
    return str(st.session_state.get(OTHER_KEY, "")).strip() if chosen == OTHER else chosen


def draw(store: Store) -> str:
    """The chosen model's id, empty where another one is wanted and not named yet; below it whether
    it can be had.
    """
    model = _choose()
    found = find(model, store)
    if found.available:
        st.caption(f":material/check: {plain(found.reason)}")
    elif model:
        st.caption(":material/block: This model cannot be had on this machine.")
    return model


def _choose() -> str:
    field = RunConfig.model_fields["model"]
    chosen = st.segmented_control(
        str(field.title),
        [*_offered(), OTHER],
        required=True,
        help=field.description,
        format_func=_title,
        key=KEY,
        persist_state="session",
    )
    if chosen != OTHER:
        return str(chosen)
    return st.text_input(
        "Folder or Hub id with revision",
        placeholder="/path/to/model or org/name@commit",
        help=(
            "A folder with config.json, tokenizer.json and model.safetensors, or a Hub id, @ and"
            " the 40 hex digits of a commit."
        ),
        key=OTHER_KEY,
        persist_state="session",
    ).strip()


def find(model: str, store: Store) -> ModelLocation:
    """Whether the model can be had on this machine."""
    if not model:
        return ModelLocation("Another model", False, "Name a folder or a Hub id with its revision.")
    return look_up(store, model)


def _offered() -> list[str]:
    """Those of the catalogue and the one that the settings name, which nobody needs to type."""
    return list(dict.fromkeys([*MODELS, Settings().model]))


def _title(model: str) -> str:
    if model == OTHER:
        return "Another one"
    return MODELS[model].title if model in MODELS else plain(model.rstrip("/").rsplit("/", 1)[-1])
