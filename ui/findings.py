"""What speaks against a configuration, each finding with the button that mends it."""

from collections.abc import Sequence

import streamlit as st

from core.findings import Finding, Level
from ui import form
from ui.words import plain

LOOKS = {Level.ERROR: (":material/error:", "red"), Level.WARNING: (":material/warning:", "orange"), Level.INFO: (":material/info:", "blue")}


def draw(findings: Sequence[Finding]) -> None:
    """One line a finding; its button puts the fix into the form."""
    for number, finding in enumerate(findings):
        icon, colour = LOOKS[finding.level]
        with st.container(key=f"finding-{number}", gap="xxsmall"):
            st.markdown(f":{colour}[{icon} **{finding.level.capitalize()}**] {plain(finding.message)}")
            if finding.fix:
                st.button(
                    plain(finding.fix_label),
                    key=f"fix-{finding.field}-{number}",
                    on_click=form.fill,
                    args=(finding.fix,),
                    icon=":material/build:",
                )
