"""The one inference host of the server."""

import streamlit as st

from core.inference.host import InferenceHost
from core.settings import Settings
from ui import readers


@st.cache_resource(show_spinner=False)
def host() -> InferenceHost:
    """Started by its first question; shared by all sessions."""
    settings = Settings()
    return InferenceHost(settings, readers.hub(settings))
