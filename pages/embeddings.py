"""Embeddings: how does a model arrange the texts, before and after fine-tuning?"""

import streamlit as st

from ui import embedding, frame, mapping, readers, subjects

dataset = frame.open_data("Embeddings", "How does a model arrange the texts, before and after fine-tuning?")
store = readers.open_lab()
asked = embedding.choose(dataset, subjects.bases(store), subjects.runs(store))

if asked:
    request, shown = asked
    maps = embedding.find(store, dataset, request)
    if maps is None:
        mapping.draw(store, request)
    else:
        embedding.draw(dataset, request, shown, maps)
        embedding.draw_texts(dataset, request)
        embedding.draw_layers(shown, maps)

with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(embedding.HOW_TO_READ)
