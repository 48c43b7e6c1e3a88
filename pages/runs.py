"""Runs: what is training, what is waiting, and how did finished runs end?"""

import streamlit as st

from core.translation import translate
from ui import navigation
from ui.app import page_frame
from ui.runs import detail, run_list, transfer
from ui.text import plain
from ui.train import launch

store = page_frame.open_page(
    "Runs", "What is training, what is waiting, and how did finished runs end?"
)
chosen = page_frame.run_in_url()
summaries = run_list.read(store, chosen)

if not summaries:
    transfer.draw_import(store)
    transfer.draw_backups(store)
    page_frame.draw_empty(
        "No runs yet.",
        "A run fine-tunes a model on your data in the background.",
        navigation.TRAIN,
        "Set up a run",
    )
run_list.draw(store, chosen)

current = run_list.find(summaries, chosen)
if current:
    detail.draw(store, current)
elif chosen:
    st.warning(
        translate("Run {run} does not exist. Choose one from the list.", run=plain(repr(chosen))),
        icon=":material/search_off:",
    )
else:
    st.caption(translate("Choose a run to see its details."))
transfer.draw_usage(store)
transfer.draw_import(store)
transfer.draw_backups(store)
launch.clear_redirect()
