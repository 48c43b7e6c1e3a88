"""Visitors: what their browser reports, and how they join a class."""

import pytest
from streamlit.runtime.context import ContextProxy
from streamlit.testing.v1 import AppTest


def report(monkeypatch: pytest.MonkeyPatch, **facts: object) -> None:
    """Set attributes of ``st.context``, such as ``ip_address`` and ``timezone_offset``.

    A name of Streamlit is patched because AppTest has no connection and cannot set them.
    """
    for name, value in facts.items():
        monkeypatch.setattr(ContextProxy, name, value)


def join(app: AppTest, name: str = "Ada", code: str = "whale") -> AppTest:
    """Join a class with the codes of the fixture ``classroom``."""
    form = "teach" if code == "oak" else "join"
    app.text_input(key=f"{form}-name").set_value(name)
    app.text_input(key=f"{form}-code").set_value(code)
    return app.button(key=f"{form}-submit").click().run()
