"""Runs: what is training, what is waiting, and how did the others end?"""

import streamlit as st

from ui import backups, frame, importing, launching, navigation, run_detail, run_list
from ui.words import plain

store = frame.open_page("Runs", "What is training, what is waiting, and how did the others end?")
chosen = frame.run_in_url()
summaries = run_list.read(store)

if not summaries:
    importing.draw(store)
    backups.draw(store)
    frame.empty("There are no runs yet.", "A run fine-tunes a model on your data in the background.", navigation.TRAIN, "Set up a run")
run_list.draw(store, chosen)

current = run_list.find(summaries, chosen)
if current:
    run_detail.draw(store, current)
elif chosen:
    st.warning(f"There is no run {plain(repr(chosen))}. Choose one from the list.", icon=":material/search_off:")
else:
    st.caption("Choose a run to see how it went.")
importing.draw(store)
backups.draw(store)
launching.arrived()
