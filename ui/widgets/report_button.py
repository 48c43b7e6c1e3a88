"""A report to take along: one HTML file, made when its button is clicked."""

from collections.abc import Sequence

import streamlit as st

from core.errors import LoraLabError
from core.reports.html import HtmlReport, render
from core.reports.run_report import write_in_process
from core.storage.job import Job
from core.storage.store import Store

HELP = (
    "One HTML file with scores, charts and configuration. It opens without a network and without"
    " this app."
)


def button(store: Store, jobs: Sequence[Job]) -> None:
    """The download. Of several runs it is their comparison."""
    name = jobs[0].name or jobs[0].id
    stem = (
        "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60]
        if len(jobs) == 1
        else "comparison"
    )
    st.download_button(
        "Download the report",
        data=lambda: _make(store, jobs),
        file_name=f"{stem}.html",
        mime="text/html",
        key="report",
        on_click="ignore",
        icon=":material/description:",
        help=HELP,
    )


def _make(store: Store, jobs: Sequence[Job]) -> bytes:
    """The file; where it cannot be made, one that says why: the download has begun by then."""
    try:
        return write_in_process(store, jobs)
    except LoraLabError as error:
        return render(HtmlReport("No report", [error.message, error.fix], "", []))
