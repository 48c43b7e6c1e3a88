"""Home: what is ready on this machine, and the way to a first result."""

import streamlit as st

from ui import frame, home_cards, navigation, readers, run_list, run_table

store = frame.open_page("LoRA Lab", "Fine-tune a text classifier with LoRA, watch it learn, and see what it gets right and wrong.")
status = readers.data_status(store.settings)
models = home_cards.find_models(store)
runs = run_list.read(store)

if all(run.shipped for run in runs):
    home_cards.draw_loop()

home_cards.draw_cards(store, status, models)
home_cards.draw_taste(store, status, models)

if runs:
    st.markdown("##### Recent runs")
    if chosen := run_table.draw_links(store, runs[:5], key="recent-runs"):
        navigation.open_page(navigation.RUNS, chosen)
    if runs[5:]:
        navigation.link(navigation.RUNS, "All runs")
