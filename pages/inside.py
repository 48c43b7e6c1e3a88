"""Inside the model: what happens to a text between its words and the answer?"""

import streamlit as st

from core.catalog import shape_of
from ui import frame, inside, own_text, readers, subjects, tokens

store = frame.open_page("Inside the model", "What happens to a text between its words and the answer, and where does LoRA sit?")
dataset = readers.data_status(store.settings).dataset

with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
    subject = subjects.choose("Model or run", [*subjects.bases(store), *subjects.runs(store)], key="subject")
    max_tokens = tokens.max_tokens_box("inside-max-tokens")
text = own_text.choose(dataset)
classes = inside.classes_of(subject, dataset)

if walk := inside.ask(store, subject, dataset, text, max_tokens):
    inside.draw_finding(walk, subject, classes)
    inside.draw_ids(walk)
    inside.draw_vectors(walk)
    inside.draw_attention(walk)
    inside.draw_head(walk, classes)
    if shape := shape_of(subject.model):
        inside.draw_adapter(walk, subject, shape, classes)

with st.expander("How to read this", key="how-to-read", icon=":material/help:"):
    st.markdown(inside.HOW_TO_READ)
