"""Saved datasets on the page Your data: the list, the report of one, and deletion."""

from functools import partial

import streamlit as st

from core.data.saved import SavedCard, list_saved, read_saved_card
from core.data.sources import saved_source
from core.errors import LoraLabError
from core.jobs import actions
from core.jobs.launching import launch
from core.runs.requests import PrepareRequest
from core.storage.store import Store
from core.translation import translate, translate_plural
from ui import navigation
from ui.data import columns
from ui.session import cache, data_picker
from ui.session.error_boundary import show
from ui.text import format_age, plain
from ui.widgets import job_panel

IN_URL = "dataset"
SHOWN = 20


def draw_list(store: Store) -> None:
    """Draw a line with actions for each saved dataset, newest first."""
    cards = list_saved(store.settings)
    if not cards:
        st.caption(translate("No saved datasets yet. Upload a file below to get started."))
        return
    for card in cards[:SHOWN]:
        _draw_line(store, card)
    if len(cards) > SHOWN:
        st.caption(
            translate(
                "The newest {shown} of {n:,}; the picker in the sidebar lists all.",
                shown=SHOWN,
                n=len(cards),
            )
        )


def draw_chosen(store: Store) -> bool:
    """Draw the dataset in the URL with its report and actions; False if the URL names none."""
    name = st.query_params.get(IN_URL, "")
    if not name:
        return False
    st.query_params[IN_URL] = name  # a link to the open page reaches only the server
    try:
        card = read_saved_card(store.settings, name)
    except LoraLabError as error:
        show(error)
        _draw_back()
        return True
    with st.container(border=True, key="saved-report"):
        st.subheader(plain(card.name), anchor=False)
        files = ", ".join(file.name for file in card.files)
        source = translate(
            "From {files}; texts in {texts}, labels in {labels}.",
            files=files,
            texts=", ".join(card.text),
            labels=card.label,
        )
        st.caption(plain(source))
        if card.origin:
            st.caption(plain(f"{card.origin}."))
        columns.draw_report(card.report, "saved")
        _draw_next(store, card)
    _draw_back()
    return True


def open_dataset(name: str) -> None:
    """Show the dataset on this page and use it."""
    data_picker.use(name)
    st.query_params[IN_URL] = name


def _draw_line(store: Store, card: SavedCard) -> None:
    in_use = st.session_state.get(data_picker.KEY) == card.name
    with st.container(
        border=True, horizontal=True, vertical_alignment="center", key=f"line-{card.name}"
    ):
        with st.container(gap="xxsmall", width="stretch"):
            st.markdown(
                f"**{plain(card.name)}**"
                + (f" :green-badge[:material/check: {translate('in use')}]" if in_use else "")
            )
            facts = translate(
                "{train:,} training rows, {test:,} test rows · {classes:,} classes",
                train=card.rows("train") + card.rows("validation"),
                test=card.rows("test"),
                classes=len(card.classes),
            )
            st.caption(f"{facts} · {format_age(store.clock() - card.created_at)}")
        st.button(
            translate("Use"),
            key=f"use-{card.name}",
            disabled=in_use,
            on_click=data_picker.use,
            args=(card.name,),
        )
        st.button(translate("Report"), key=f"report-{card.name}", on_click=_show, args=(card.name,))


def _draw_next(store: Store, card: SavedCard) -> None:
    in_use = st.session_state.get(data_picker.KEY) == card.name
    if not in_use:
        st.button(
            translate("Use this dataset"),
            key="use-this",
            type="primary",
            on_click=data_picker.use,
            args=(card.name,),
        )
    else:
        status = cache.read_data_status(store.settings)
        if status.dataset is None:
            job_panel.draw_preparation(store, status)
        else:
            with st.container(horizontal=True, gap="medium"):
                navigation.link(navigation.EXPLORE, translate("Explore this dataset"))
                navigation.link(navigation.TRAIN, translate("Train on this dataset"))
    source = saved_source(store.settings, card.name)
    runs = len(actions.list_runs_on(store, source)) if source else 0
    with st.popover(translate("Delete"), key="delete-dataset", icon=":material/delete:"):
        consequence = (
            translate_plural(
                "{n:,} run trained on it keeps its results.",
                "{n:,} runs trained on it keep their results.",
                runs,
            )
            if runs
            else translate("No run was trained on it.")
        )
        question = translate("Delete **{name}** from this machine?", name=plain(card.name))
        st.markdown(f"{question} {consequence}")
        st.button(
            translate("Delete permanently"),
            key="delete-for-good",
            type="primary",
            on_click=partial(_delete, store, card.name),
        )


def _draw_back() -> None:
    st.button(
        translate("All datasets"),
        key="all-datasets",
        icon=":material/arrow_back:",
        on_click=_show_all,
    )


def prepare(store: Store, name: str) -> None:
    """Start preparing the saved dataset, so that the next page is ready."""
    source = saved_source(store.settings, name)
    if source:
        launch(store, PrepareRequest(source=source), source.name)


def _show_all() -> None:
    st.query_params.pop(IN_URL, None)


def _show(name: str) -> None:
    st.query_params[IN_URL] = name


def _delete(store: Store, name: str) -> None:
    try:
        actions.delete_dataset(store, name)
    except LoraLabError as error:
        st.toast(plain(str(error)), icon=":material/error:")
        return
    st.query_params.pop(IN_URL, None)
    if st.session_state.get(data_picker.KEY) == name:
        data_picker.use("")
    st.toast(translate("{name} deleted.", name=plain(name)), icon=":material/delete:")
