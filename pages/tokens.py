"""Tokens: what does a model see of a text, and what is truncated?"""

from dataclasses import replace

import streamlit as st

from core.translation import translate
from ui import tokens
from ui.app import page_frame
from ui.session import cache
from ui.session.error_boundary import boundary
from ui.widgets import inspection

store = page_frame.open_page("Tokens", "What does a model see of a text, and what is truncated?")
dataset = cache.read_data_status(store.settings).dataset
models = [replace(model, title=model.name) for model in inspection.list_base_models(store)]

with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
    model = inspection.choose_subject(
        translate("Vocabulary of"),
        [m for m in models if m.model.folder] or models,
        key="vocabulary",
    )
    max_tokens = tokens.max_tokens_box()
text = inspection.choose_text(dataset)

with boundary():
    tokens.draw_tokens(model, text, max_tokens)
    tokens.draw_word(model, dataset)
if dataset:
    tokens.draw_classes(dataset, max_tokens)
else:
    st.caption(translate("Prepare data on Explore to see tokens per word and class."))
tokens.draw_models(models, text)

with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown(translate(tokens.HOW_TO_READ))
