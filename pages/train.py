"""New run: choose the settings, see the estimated cost, and start."""

import streamlit as st

from ui.app import page_frame
from ui.quality import cleaning_recipe
from ui.session import cache
from ui.train import form, launch_summary

store = page_frame.open_page("New run", "What is trained, on which texts, and at what cost?")
status = cache.read_data_status(store.settings)
size = cache.read_size(store, status)
allowed = form.fill_on_open(store, status, size)
launch_summary.launch_clicked(store, status)

sides = st.grid(2, min_column_width=400, gap="large")
with sides.cell():
    preset = form.draw_preset(store, allowed, size, then=form.release_budget)
    recipe = cleaning_recipe.choose(store, status)
    if status.dataset is not None:
        cleaning_recipe.offer_upload(store, status.dataset, then=cleaning_recipe.choose_cleaned)
    form.draw_budget(store, status, recipe)
    values = form.draw(form.preset_values(preset, size), store)
with sides.cell(), st.container(border=True, key="contract"):
    launch_summary.draw(store, status, values, preset, recipe)
