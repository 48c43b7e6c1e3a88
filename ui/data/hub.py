"""Datasets of the Hugging Face Hub on the page Your data: look up, show the size, download."""

import os

import streamlit as st

from core.data.hub_download import HubFiles, HubListing, find_fetched, look_up, split_id
from core.jobs.launching import find_latest, launch
from core.jobs.tasks.prepare_data import FetchRequest
from core.settings import Settings
from core.storage.store import Store
from ui.text import count, format_megabytes, plain
from ui.widgets import job_panel
from ui.widgets.job_panel import PanelWords, StartButton

CONFIGURATION_KEY = "hub-configuration"
TRUST_SECONDS = 600  # the Hub's content may change; downloads are pinned to a revision


def fetch(store: Store) -> HubFiles | None:
    """Let the reader choose a dataset and return its files once downloaded; None before."""
    with (
        st.form("hub-form", border=False),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        hub_id = st.text_input("Dataset id", key="hub-id", placeholder="owner/name", max_chars=200)
        st.form_submit_button("Look up", key="hub-look-up", icon=":material/search:")
    st.caption(
        "Parquet, CSV or JSON lines files of public datasets. Dataset code is never executed."
    )
    if not hub_id.strip():
        return None
    pick, license = _choose(hub_id)
    terms = f"license {license}" if license else "no license stated"
    parts = [
        format_megabytes(pick.size / 2**20),
        count(len(pick.files), "files"),
        f"revision {pick.revision[:12]}",
        terms,
    ]
    st.markdown(f"**{plain(pick.name)}** · {plain(' · '.join(parts))}")
    if find_fetched(store.settings, pick):
        return pick
    _draw_download(store, pick)
    return None


def _choose(hub_id: str) -> tuple[HubFiles, str]:
    """Return the files of the chosen configuration and the license. Raises DataError."""
    name, configuration = split_id(hub_id)
    offer = _offer(name, os.environ.get("HF_ENDPOINT", ""))
    names = sorted(offer.configurations)
    if not configuration and len(names) > 1:
        start = names.index("default") if "default" in names else 0
        configuration = st.selectbox(
            "Configuration", names, start, key=f"{CONFIGURATION_KEY}-{name}", width=420
        )
    return offer.pick(configuration), offer.license


@st.cache_data(max_entries=16, ttl=TRUST_SECONDS, show_spinner="Contacting the Hub")
def _offer(name: str, endpoint: str) -> HubListing:
    return look_up(Settings(), name)


def _draw_download(store: Store, pick: HubFiles) -> None:
    request = FetchRequest(pick=pick)
    words = PanelWords(
        "stop-download",
        failed="The download failed.",
        stopped="The download was stopped; its files were deleted.",
        waiting="Waiting for other jobs to finish.",
    )
    start = StartButton(
        f"Download {format_megabytes(pick.size / 2**20)}",
        "hub-download",
        lambda: launch(store, request, pick.name),
        icon=":material/cloud_download:",
        primary=True,
    )
    job_panel.draw(store, find_latest(store, request), words, start)
