"""The app's map: page setup and navigation over ``pages/``."""

import streamlit as st

from ui import frame, navigation, sidebar, visitors
from ui.boundary import boundary

st.set_page_config(page_title="LoRA Lab", page_icon=":material/neurology:", layout="wide")

with boundary(), navigation.home() as page:
    frame.style()
    visitors.admit()
    sidebar.draw()
    page.run()
