"""The app's map: page setup and navigation over ``pages/``."""

import streamlit as st

from ui import frame, navigation, sidebar
from ui.boundary import boundary

st.set_page_config(page_title="LoRA Lab", page_icon=":material/neurology:", layout="wide")

with boundary(), navigation.home() as page:
    frame.style()
    sidebar.draw()
    page.run()
