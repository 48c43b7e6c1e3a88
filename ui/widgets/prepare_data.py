"""Preparation of the data: the button that starts it, its progress, and its failure."""

from core.jobs.launching import find_latest, launch
from core.runs.requests import PrepareRequest
from core.storage.store import Store
from ui.session.cache import DataStatus
from ui.session.error_boundary import show
from ui.text import plain
from ui.widgets import job_panel
from ui.widgets.job_panel import PanelWords, StartButton

NEEDED = "must be prepared once: read, checked and split. This takes a few seconds."


def draw(store: Store, status: DataStatus, primary: bool = True, need: str = NEEDED) -> None:
    """Draw the preparation of data that is not ready; the page is redrawn when it ends.

    ``what`` says what must be done.
    """
    if status.source is None:
        if status.problem:
            show(status.problem)
        return
    source, request = status.source, PrepareRequest(source=status.source)
    start = StartButton(
        "Prepare data",
        "prepare",
        lambda: launch(store, request, source.name),
        primary=primary,
        heading=f"**{plain(source.name)}** {need}",
        caption=plain(source.note),
    )
    job_panel.draw(store, find_latest(store, request), PanelWords("stop-prepare"), start)
