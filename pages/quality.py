"""Quality: which problems in the data would distort a result?"""

import streamlit as st

from core.translation import translate
from ui.app import page_frame
from ui.quality import cleaning_recipe, overview
from ui.session import cache
from ui.widgets import disputed_labels

dataset = page_frame.open_data("Quality", "Which problems in the data would distort a result?")
report = overview.require_report(dataset)
overview.draw_headline(dataset, report)

store = cache.open_lab()
disputed = disputed_labels.read_of_data(store, dataset.fingerprint)
finding = overview.choose_finding(report)
overview.draw_finding(dataset, finding, disputed)
disputed_labels.draw_list(store, dataset, disputed)
cleaning_recipe.draw_recipe(store, dataset)
cleaning_recipe.offer_upload(store, dataset)
overview.offer_document(dataset, report)

with st.expander(translate("How to read this"), key="how-to-read", icon=":material/help:"):
    st.markdown("\n".join(f"- {translate(line)}" for line in overview.HOW_TO_READ))
