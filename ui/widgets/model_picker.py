"""Choice of a base model: one from the catalog, a folder or a Hub id, with its availability."""

import streamlit as st

from core.config import RunConfig
from core.models.catalog import MODELS, ModelLocation
from core.runs.limits import find_allowed_model
from core.settings import Settings
from core.storage.store import Store
from core.translation import translate
from ui.text import plain

KEY, OTHER_KEY = "field-model", "field-model-other"
OTHER = "another"


def fill(model: str) -> None:
    """Set the widgets to ``model``, before they are drawn."""
    offered = model in _offered()
    st.session_state[KEY] = model if offered else OTHER
    if not offered:
        st.session_state[OTHER_KEY] = model


def read() -> str:
    """Return the model in the widgets; empty if "Other…" is chosen and no name is entered yet."""
    chosen = str(st.session_state[KEY])
    return str(st.session_state.get(OTHER_KEY, "")).strip() if chosen == OTHER else chosen


def is_valid(key: str, value: object) -> bool:
    """Return whether the widget ``key`` takes the value."""
    return isinstance(value, str) and (key == OTHER_KEY or value in [*_offered(), OTHER])


def draw(store: Store) -> str:
    """Draw the choice with the model's availability, and return its id as ``read`` does."""
    model = _choose()
    location = find(model, store)
    if location.available:
        st.caption(f":material/check: {plain(location.reason)}")
    elif model:
        missing = translate("This model is not available on this machine.")
        st.caption(f":material/block: {missing}")
    return model


def _choose() -> str:
    field = RunConfig.model_fields["model"]
    chosen = st.segmented_control(
        translate(str(field.title)),
        [*_offered(), OTHER],
        required=True,
        help=translate(field.description or ""),
        format_func=_title,
        key=KEY,
        persist_state="session",
    )
    if chosen != OTHER:
        return str(chosen)
    return st.text_input(
        translate("Folder or Hub id with revision"),
        placeholder=translate("/path/to/model or org/name@commit"),
        help=translate(
            "A folder with config.json, tokenizer.json and model.safetensors, or a Hub id followed"
            " by @ and the 40 hex digits of a commit."
        ),
        key=OTHER_KEY,
        persist_state="session",
    ).strip()


def find(model: str, store: Store) -> ModelLocation:
    """Look up whether the model is available on this machine."""
    if not model:
        return ModelLocation(
            "Another model", False, "Enter a folder or a Hub id with its revision."
        )
    return find_allowed_model(store, model)


def _offered() -> list[str]:
    """Return the models of the catalog and the configured one, which need no typing."""
    return list(dict.fromkeys([*MODELS, Settings().model]))


def _title(model: str) -> str:
    if model == OTHER:
        return translate("Other…")
    return (
        translate(MODELS[model].title)
        if model in MODELS
        else plain(model.rstrip("/").rsplit("/", 1)[-1])
    )
