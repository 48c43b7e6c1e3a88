"""The contract beside the form: what a run with these choices trains and costs, what speaks against it, and Launch."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from core import charts
from core.catalog import Availability, shape_of
from core.config import RunConfig
from core.errors import ConfigError, LoraLabError
from core.model_shape import ModelShape, count_trainable
from core.presets import Preset, make_config
from core.store import Store
from ui import drawing, form, launching, model_choice
from ui.boundary import show
from ui.readers import DataStatus
from ui.words import count, plain

BUTTON = "launch"


def draw(store: Store, status: DataStatus, values: Mapping[str, object], preset: Preset) -> None:
    """Everything that follows from the chosen values."""
    st.markdown("##### What this run will do")
    found = model_choice.find(str(values["model"]), store.settings)
    try:
        config = make_config(None, {**values, "model": values["model"] or "unnamed"})
    except ConfigError as error:
        show(error)
        _draw_launch(store, status, None, preset)
        return
    blocked = not found.available
    blocked = _draw_trainable(config, found, status) or blocked
    if changed := form.changes(values, form.preset_values(preset)):
        st.caption(f"{count(len(changed), 'fields')} differ from the preset {preset.capitalize()}.")
    _draw_launch(store, status, None if blocked else config, preset)


def _draw_trainable(config: RunConfig, found: Availability, status: DataStatus) -> bool:
    """Draw what is trained and what stays frozen; whether that is impossible."""
    try:
        shape = _shape(found)
        if shape is None:
            st.caption("How many parameters are trained is known once the model is on this machine.")
            return False
        classes = len(status.dataset.classes) if status.dataset else 4
        modules = count_trainable(shape, config, classes)
    except LoraLabError as error:
        show(error)
        return True
    table = pd.DataFrame([{"module": module.name, "shape": module.shape, "parameters": module.parameters} for module in modules])
    trained = int(table["parameters"].sum())
    drawing.draw(charts.trainable_bar(trained, shape.parameters + trained), key="trainable", twin=False)
    with st.expander("By module", key="by-module", type="compact", icon=":material/table:"):
        st.dataframe(table, hide_index=True, height="content", key="by-module-table")
    return False


def _shape(found: Availability) -> ModelShape | None:
    return shape_of(found) if found.available else None


def _draw_launch(store: Store, status: DataStatus, config: RunConfig | None, preset: Preset) -> None:
    name = st.text_input("Name", placeholder="given by itself when empty", max_chars=120, key="run-name")
    ready = config is not None and status.source is not None
    if status.source is None:
        st.caption("There is no data to train on. Home says why.")
    elif status.dataset is None:
        st.caption(f"{plain(status.source.name)} is not prepared yet; the run does it first.")
    if launching.launch_button("Launch", BUTTON, disabled=not ready) and config and status.source:
        launching.launch(store, config, status.source, button=BUTTON, preset=preset, name=name)
