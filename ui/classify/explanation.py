"""Explanation of a prediction: token attributions, the effect of removing words, nearest texts."""

from pathlib import Path

import pandas as pd
import streamlit as st

from core import charts
from core.access import Action, is_allowed
from core.errors import ArtifactDamaged, DataError, LoraLabError
from core.inference.messages import Explanation
from core.jobs.launching import find_latest, launch
from core.jobs.tasks.embed_texts import (
    ROWS,
    Index,
    NearestRequest,
    find_data,
    find_index_folder,
    has_index,
    read_index,
)
from core.people import allowances
from core.runs.run import Run
from core.storage.job import Job
from core.storage.store import Store
from ui.app import inference
from ui.app.inference import Answer
from ui.session import cache, error_boundary
from ui.session.local_machine import read_address
from ui.text import count, plain
from ui.widgets import chart_view, job_panel, tables
from ui.widgets.job_panel import PanelWords, StartButton

MOST_WORDS = 60  # more would be too many buttons
NEAREST_TEXTS = 5
INDEX_WORDS = PanelWords("stop-nearest", stopped="Stopped. No index was saved.")


def draw(run: Run, text: str, answer: Answer) -> None:
    """Draw why ``run`` made this prediction: tokens, words, nearest training texts."""
    if not st.toggle(
        "Explain this prediction",
        key="explain",
        help="Runs the model many times; takes a second or two.",
    ):
        return
    try:
        _draw_words(run, text, answer.label)
        _draw_nearest(run, answer)
    except LoraLabError as error:
        error_boundary.show(error)


def _draw_words(run: Run, text: str, predicted: str) -> None:
    """Draw the attributions for a chosen class, initially the predicted one."""
    store = cache.open_lab()
    most = allowances.find_text_limits(store.visitor).explained
    if len(text) > most:
        st.info(
            f"Only texts of up to {most:,} characters can be explained. Shorten this text.",
            icon=":material/content_cut:",
        )
        return
    chosen = st.selectbox(
        "Class", run.classes, run.classes.index(predicted), key=f"explained|{run.id}|{hash(text)}"
    )
    with st.spinner("Computing token attributions"):
        explanation = _explain(run.id, run.version, text, run.classes.index(chosen), run, store)
    if limited := allowances.find_explanations(store.visitor, read_address()):
        left = allowances.read_left(store, *limited)
        if left.free_in_seconds:
            st.caption(plain(str(left)))
    _draw_tokens(explanation, chosen)
    _draw_without(run, text)


def _draw_tokens(explanation: Explanation, chosen: str) -> None:
    st.markdown(f"#### Evidence for {plain(chosen)}")
    tokens = [
        token
        for token, special in zip(explanation.tokens, explanation.special, strict=True)
        if not special
    ]
    for name, values, key in (
        ("Integrated gradients (logits)", explanation.gradients, "gradients"),
        ("Occlusion: decrease of the logit without the token", explanation.occlusion, "occlusion"),
    ):
        shown = [
            value for value, special in zip(values, explanation.special, strict=True) if not special
        ]
        chart_view.draw(
            charts.draw_attributions(tokens, shown, name, chart_view.is_dark()),
            key=f"explain-{key}",
        )
    st.caption(
        f"Blue supports the class, orange opposes it. Convergence error: {explanation.error:.3f}"
        f" logits after {explanation.steps} steps."
    )


def _draw_without(run: Run, text: str) -> None:
    words = text.split()[:MOST_WORDS]
    left_out = st.pills(
        "Remove words",
        range(len(words)),
        selection_mode="multi",
        format_func=lambda position: plain(words[position]),
        key=f"without|{hash(text)}",
    )
    if not left_out:
        return
    rest = " ".join(word for position, word in enumerate(text.split()) if position not in left_out)
    request = inference.build_request(run)
    host = inference.with_stages([request])
    columns = st.grid(2, min_column_width=300, gap="medium")
    for name, part in (("Whole text", text), ("Without these words", rest or " ")):
        (answer,) = host.classify([request], [part])
        with columns.cell():
            chart_view.draw(
                charts.draw_probabilities(answer[0].tolist(), run.classes, name),
                key=f"without-{name}",
            )


@st.cache_data(max_entries=50, show_spinner=False)
def _explain(
    run_id: str, version: int, text: str, target: int, _run: Run, _store: Store
) -> Explanation:
    """Compute an explanation; one that others or the visitor have computed before costs nothing."""
    if limited := allowances.find_explanations(_store.visitor, read_address()):
        allowances.spend(_store, limited)
    request = inference.build_request(_run)
    return inference.with_stages([request]).explain(request, text, target)


def _draw_nearest(run: Run, answer: Answer) -> None:
    """Draw the nearest texts or, before they are indexed, the job or why it is impossible."""
    store = cache.open_lab()
    st.markdown("#### Nearest training texts")
    folder = find_index_folder(store, run.job)
    if has_index(folder) and (index := _try_read_index(folder)):
        _draw_nearest_texts(run, answer, index)
        return
    latest = find_latest(store, NearestRequest(run=run.job.id))
    if latest and not latest.state.is_finished:
        job_panel.draw(store, latest, INDEX_WORDS)
        return
    try:
        find_data(store.settings, run.job)
    except DataError as error:
        st.info(f"**{plain(error.message)}** {plain(error.fix)}", icon=":material/folder_off:")
        return
    _offer_index(run, latest)


def _draw_nearest_texts(run: Run, answer: Answer, index: Index) -> None:
    assert answer.state is not None
    near = index.find_nearest(answer.state, NEAREST_TEXTS)
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
    tables.draw_texts(
        table,
        key="nearest-texts",
        columns=columns,
        rows_in_view=NEAREST_TEXTS,
        alt="Training texts nearest to the classified text",
    )
    st.caption(
        "By cosine similarity after this run's last layer, among"
        f" {count(len(index.texts), 'training texts')}."
    )


def _offer_index(run: Run, latest: Job | None) -> None:
    store, request = cache.open_lab(), NearestRequest(run=run.job.id)
    start = StartButton(
        "Index the training texts",
        "make-nearest",
        lambda: launch(store, request, run.job.name),
        refused=""
        if is_allowed(store.visitor, Action.WORK)
        else "Visitors of this public page cannot start jobs.",
        heading="**The training texts of this run are not indexed yet.** Up to"
        f" {ROWS:,} of them go through the model once; after that, the nearest texts appear"
        " immediately.",
    )
    job_panel.draw(store, latest, INDEX_WORDS, start)


def _try_read_index(folder: Path) -> Index | None:
    """Read the index; None if it is damaged, so that indexing is offered again."""
    try:
        return _read_index(str(folder), (folder / "manifest.json").stat().st_mtime_ns)
    except (ArtifactDamaged, OSError):
        return None


@st.cache_resource(max_entries=2, show_spinner=False)  # 8,000 texts take about 10 MB with MiniLM
def _read_index(folder: str, version: int) -> Index:
    return read_index(Path(folder))
