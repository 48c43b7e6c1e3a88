"""Facts that a browser reports about its visitor."""

import pytest
from streamlit.runtime.context import ContextProxy


def report(monkeypatch: pytest.MonkeyPatch, **facts: object) -> None:
    """Set attributes of ``st.context``, such as ``ip_address`` and ``timezone_offset``.

    A name of Streamlit is patched because AppTest has no connection and cannot set them.
    """
    for name, value in facts.items():
        monkeypatch.setattr(ContextProxy, name, value)
