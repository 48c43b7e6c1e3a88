"""Entry point of the app: page setup and navigation over ``pages/``."""

import streamlit as st

from ui import navigation
from ui.app import page_frame, sidebar
from ui.session import visitors
from ui.session.error_boundary import boundary

st.set_page_config(page_title="LoRA Lab", page_icon=":material/neurology:", layout="wide")

with boundary(), navigation.home() as page:
    page_frame.add_style()
    visitors.admit()
    sidebar.draw()
    page.run()
