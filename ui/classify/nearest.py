"""Nearest training texts of a classified text, and the job that indexes them."""

from pathlib import Path

import pandas as pd
import streamlit as st

from core.access import Action, may
from core.errors import ArtifactDamaged, DataError
from core.jobs.launching import find_latest, launch
from core.jobs.tasks.nearest_texts import (
    ROWS,
    Index,
    NearestRequest,
    find_data,
    index_folder,
    is_made,
    read_index,
)
from core.runs.run import Run
from core.storage.job import Job
from ui.app.inference import Answer
from ui.session import cache
from ui.text import count, plain
from ui.widgets import job_panel, tables
from ui.widgets.job_panel import PanelWords, StartButton

COUNT = 5
WORDS = PanelWords("stop-nearest", stopped="Stopped. No index was saved.")


def draw(run: Run, answer: Answer) -> None:
    """Draw the nearest texts or, before they are indexed, the job or why it is impossible."""
    store = cache.open_lab()
    st.markdown("#### Nearest training texts")
    folder = index_folder(store, run.job)
    if is_made(folder) and (index := _try_read(folder)):
        _draw_texts(run, answer, index)
        return
    latest = find_latest(store, NearestRequest(run=run.job.id))
    if latest and not latest.state.over:
        job_panel.draw(store, latest, WORDS)
        return
    try:
        find_data(store.settings, run.job)
    except DataError as error:
        st.info(f"**{plain(error.message)}** {plain(error.fix)}", icon=":material/folder_off:")
        return
    _offer(run, latest)


def _draw_texts(run: Run, answer: Answer, index: Index) -> None:
    assert answer.state is not None
    near = index.nearest(answer.state, COUNT)
    names = [run.classes[label] for label in near["label"]]
    agreeing = sum(name == answer.label for name in names)
    verdict = (
        f"{agreeing} of the {len(near)} nearest texts {'has' if agreeing == 1 else 'have'} the"
        f" predicted label {plain(answer.label)}."
    )
    if agreeing:
        st.markdown(verdict)
    else:
        st.warning(
            f"None of the {len(near)} nearest texts has the predicted label {plain(answer.label)}.",
            icon=":material/alt_route:",
        )
    table = pd.DataFrame(
        {
            "label": [name if name == answer.label else f"{name} (differs)" for name in names],
            "similarity": near["similarity"],
            "text": near["text"],
        }
    )
    columns = {
        "label": st.column_config.TextColumn(
            "Label", help="Marked if it differs from the predicted class."
        ),
        "similarity": st.column_config.NumberColumn(
            "Similarity",
            format="%.3f",
            help="Cosine similarity of the head's inputs for both texts; 1 is the same direction.",
        ),
    }
    tables.texts(
        table,
        key="nearest-texts",
        columns=columns,
        rows_in_view=COUNT,
        alt="Training texts nearest to the classified text",
    )
    st.caption(
        "By cosine similarity after this run's last layer, among"
        f" {count(len(index.texts), 'training texts')}."
    )


def _offer(run: Run, latest: Job | None) -> None:
    store, request = cache.open_lab(), NearestRequest(run=run.job.id)
    start = StartButton(
        "Index the training texts",
        "make-nearest",
        lambda: launch(store, request, run.job.name),
        refused=""
        if may(store.visitor, Action.WORK)
        else "Visitors of this public page cannot start jobs.",
        heading="**The training texts of this run are not indexed yet.** Up to"
        f" {ROWS:,} of them go through the model once; after that, the nearest texts appear"
        " immediately.",
    )
    job_panel.draw(store, latest, WORDS, start)


def _try_read(folder: Path) -> Index | None:
    """Read the index; None if it is damaged, so that indexing is offered again."""
    try:
        return _read(str(folder), (folder / "manifest.json").stat().st_mtime_ns)
    except (ArtifactDamaged, OSError):
        return None


@st.cache_resource(max_entries=2, show_spinner=False)  # 8,000 texts take about 10 MB with MiniLM
def _read(folder: str, version: int) -> Index:
    return read_index(Path(folder))
