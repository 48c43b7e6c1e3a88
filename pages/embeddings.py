"""Embeddings: how does a model arrange the texts, before and after fine-tuning?"""

import streamlit as st

from core.translation import translate
from ui import embeddings
from ui.app import page_frame
from ui.session import cache
from ui.widgets import inspection

dataset = page_frame.open_data(
    "Embeddings", "How does a model arrange the texts, before and after fine-tuning?"
)
store = cache.open_lab()
chosen = embeddings.choose(dataset, inspection.list_base_models(store), inspection.list_runs(store))

if chosen:
    request, shown = chosen
    maps = embeddings.find(store, dataset, request)
    if maps is None:
        embeddings.draw_job(store, request)
    else:
        embeddings.draw(dataset, request, shown, maps)
        embeddings.draw_texts(dataset, request)
        embeddings.draw_layers(shown, maps)

with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown(embeddings.explain_reading())
