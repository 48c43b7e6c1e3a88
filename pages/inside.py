"""Inside the model: what happens to a text between its words and the prediction?"""

import streamlit as st

from core.lesson.lesson_file import Spoiler
from core.models.catalog import shape_of
from core.translation import translate
from ui import inside, tokens
from ui.app import page_frame
from ui.lesson import hiding
from ui.session import cache
from ui.widgets import inspection

store = page_frame.open_page(
    "Inside the model",
    "What happens to a text between its words and the prediction, and where is LoRA applied?",
)
dataset = cache.read_data_status(store.settings).dataset

with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
    subject = inspection.choose_subject(
        translate("Model or run"),
        [*inspection.list_base_models(store), *inspection.list_runs(store)],
        key="subject",
    )
    max_tokens = tokens.max_tokens_box("inside-max-tokens")
text = inspection.choose_text(dataset)
classes = inside.find_classes(subject, dataset)

if walk := inside.ask(store, subject, dataset, text, max_tokens):
    inside.draw_finding(walk, subject, classes)
    inside.draw_ids(walk)
    inside.draw_vectors(walk)
    inside.draw_attention(walk)
    inside.draw_head(walk, classes)
    if hiding.is_hidden(store, Spoiler.PARAMETERS):
        hiding.draw_notice(Spoiler.PARAMETERS, "hidden-parameters")
    elif shape := shape_of(subject.model):
        inside.draw_adapter(walk, subject, shape, classes)

with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown(translate(inside.HOW_TO_READ))
