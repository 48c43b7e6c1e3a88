"""Home: what is ready on this machine, and how to get a first result."""

import streamlit as st

from core.translation import translate
from ui import home, navigation
from ui.app import page_frame
from ui.runs import run_list
from ui.session import cache

store = page_frame.open_page(
    "LoRA Lab",
    "Fine-tune a text classifier with LoRA, watch it learn, and inspect its predictions and"
    " errors.",
)
status = cache.read_data_status(store.settings)
models = home.find_models(store)
runs = run_list.read(store, page_frame.run_in_url())

if all(run.bundled for run in runs):
    home.draw_loop()

home.draw_cards(store, status, models)
home.draw_taste(store, status, models)
home.draw_tour(store)

if runs:
    st.markdown(f"##### {translate('Recent runs')}")
    if chosen := run_list.draw_links(store, runs[:5], key="recent-runs"):
        navigation.open_page(navigation.RUNS, chosen)
    if runs[5:]:
        navigation.link(navigation.RUNS, translate("All runs"))
