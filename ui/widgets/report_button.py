"""Download button for a report: one HTML file, created on click."""

from collections.abc import Sequence

import streamlit as st

from core.errors import LoraLabError
from core.reports.html import HtmlReport, render
from core.reports.run_report import write_in_process
from core.storage.job import Job
from core.storage.store import Store

HELP = "One HTML file with scores, charts and configuration. It opens offline and without this app."


def button(store: Store, jobs: Sequence[Job]) -> None:
    """Draw the download button; the report of several runs is their comparison."""
    name = jobs[0].name or jobs[0].id
    stem = (
        "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60]
        if len(jobs) == 1
        else "comparison"
    )
    st.download_button(
        "Download report",
        data=lambda: _make(store, jobs),
        file_name=f"{stem}.html",
        mime="text/html",
        key="report",
        on_click="ignore",
        icon=":material/description:",
        help=HELP,
    )


def _make(store: Store, jobs: Sequence[Job]) -> bytes:
    """Return the report or, since the download has already begun, a page with the error."""
    try:
        return write_in_process(store, jobs)
    except LoraLabError as error:
        return render(HtmlReport("No report", [error.message, error.fix], "", []))
