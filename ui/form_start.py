"""What the form holds when it is opened: a preset, or another run's configuration."""

import streamlit as st

from core.access import Role
from core.errors import LoraLabError
from core.jobs.requests import read_train_request
from core.presets import Preset, make_config, parse_assignments
from core.store import Store
from ui import cleaning, form
from ui.boundary import show
from ui.words import plain


def fill(store: Store) -> None:
    """Fill the widgets once: from the run that ``?clone=`` names with the fields of ``?set=`` on top, otherwise from the preset."""
    if clone := st.query_params.get("clone", ""):
        _fill_from_run(store, clone, st.query_params.get_all("set"))
        for name in ("clone", "set"):
            st.query_params.pop(name, None)  # filled once: a reload must not undo what was typed since
    st.session_state.setdefault("preset", Preset.TASTE if store.visitor.role is Role.TASTER else Preset.QUICK)
    form.fill_missing({"model": store.settings.model, **form.preset_values(Preset(st.session_state["preset"]))})


def _fill_from_run(store: Store, run_id: str, assignments: list[str]) -> None:
    try:
        job = store.job(run_id)
        request = read_train_request(job)
        config = make_config(None, {**request.config.model_dump(), **parse_assignments(assignments)})
    except LoraLabError as error:
        show(error)
        return
    st.session_state["preset"] = Preset(request.preset) if request.preset in set(Preset) else Preset.QUICK
    form.fill(config.model_dump())
    cleaning.take_from(store, request)
    st.toast(f"Filled from {plain(job.name)}.", icon=":material/content_copy:")
