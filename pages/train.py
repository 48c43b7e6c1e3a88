"""New run: choose, read what it will cost, launch."""

import streamlit as st

from ui import budget, cleaning, contract, form, form_start, frame, readers, recipe_upload

store = frame.open_page("New run", "What is trained, on which texts, and what will it cost?")
status = readers.data_status(store.settings)
form_start.fill(store)

sides = st.grid(2, min_column_width=400, gap="large")
with sides.cell():
    preset = form.draw_preset(then=budget.release)
    recipe = cleaning.choose(store, status)
    if status.dataset is not None:
        recipe_upload.offer(store, status.dataset, then=cleaning.choose_cleaned)
    budget.draw(store, status, recipe)
    values = form.draw(form.preset_values(preset), store)
with sides.cell(), st.container(border=True, key="contract"):
    contract.draw(store, status, values, preset, recipe)
