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
from core.translation import translate
from ui.app import inference
from ui.app.inference import Answer
from ui.session import cache, error_boundary
from ui.session.local_machine import read_address
from ui.text import capitalize, plain
from ui.widgets import chart_view, job_panel, tables
from ui.widgets.job_panel import PanelWords, StartButton

MOST_WORDS = 60  # more would be too many buttons
NEAREST_TEXTS = 5
INDEX_WORDS = PanelWords("stop-nearest", stopped="Stopped. No index was saved.")


def draw(run: Run, text: str, answer: Answer) -> None:
    """Draw why ``run`` made this prediction: tokens, words, nearest training texts."""
    if not st.toggle(
        translate("Explain this prediction"),
        key="explain",
        help=translate("Runs the model many times; takes a second or two."),
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
            translate(
                "Only texts of up to {most:,} characters can be explained. Shorten this text.",
                most=most,
            ),
            icon=":material/content_cut:",
        )
        return
    chosen = st.selectbox(
        capitalize(translate("class")),
        run.classes,
        run.classes.index(predicted),
        key=f"explained|{run.id}|{hash(text)}",
    )
    with st.spinner(translate("Computing token attributions")):
        explanation = _explain(run.id, run.version, text, run.classes.index(chosen), run, store)
    if limited := allowances.find_explanations(store.visitor, read_address()):
        left = allowances.read_left(store, *limited)
        if left.free_in_seconds:
            st.caption(plain(str(left)))
    _draw_tokens(explanation, chosen)
    _draw_without(run, text)


def _draw_tokens(explanation: Explanation, chosen: str) -> None:
    st.markdown(f"#### {translate('Evidence for {label}', label=plain(chosen))}")
    tokens = [
        token
        for token, special in zip(explanation.tokens, explanation.special, strict=True)
        if not special
    ]
    for name, values, key in (
        (translate("Integrated gradients (logits)"), explanation.gradients, "gradients"),
        (
            translate("Occlusion: decrease of the logit without the token"),
            explanation.occlusion,
            "occlusion",
        ),
    ):
        shown = [
            value for value, special in zip(values, explanation.special, strict=True) if not special
        ]
        chart_view.draw(
            charts.draw_attributions(tokens, shown, name, chart_view.is_dark()),
            key=f"explain-{key}",
        )
    st.caption(
        translate(
            "Blue supports the class, orange opposes it. Convergence error: {error:.3f} logits"
            " after {steps} steps.",
            error=explanation.error,
            steps=explanation.steps,
        )
    )


def _draw_without(run: Run, text: str) -> None:
    words = text.split()[:MOST_WORDS]
    left_out = st.pills(
        translate("Remove words"),
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
    for key, name, part in (
        ("Whole text", translate("Whole text"), text),
        ("Without these words", translate("Without these words"), rest or " "),
    ):
        (answer,) = host.classify([request], [part])
        with columns.cell():
            chart_view.draw(
                charts.draw_probabilities(answer[0].tolist(), run.classes, name),
                key=f"without-{key}",
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
    st.markdown(f"#### {translate('Nearest training texts')}")
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
    _draw_agreement(answer.label, agreeing, len(near))
    table = pd.DataFrame(
        {
            "label": [
                name if name == answer.label else translate("{label} (differs)", label=name)
                for name in names
            ],
            "similarity": near["similarity"],
            "text": near["text"],
        }
    )
    columns = {
        "label": st.column_config.TextColumn(
            translate("Label"), help=translate("Marked if it differs from the predicted class.")
        ),
        "similarity": st.column_config.NumberColumn(
            translate("Similarity"),
            **tables.decimals(3),
            help=translate(
                "Cosine similarity of the head's inputs for both texts; 1 is the same direction."
            ),
        ),
        "text": st.column_config.TextColumn(translate("Text")),
    }
    tables.draw_texts(
        table,
        key="nearest-texts",
        columns=columns,
        rows_in_view=NEAREST_TEXTS,
        alt=translate("Training texts nearest to the classified text"),
    )
    st.caption(
        translate(
            "By cosine similarity after this run's last layer, among {n:,} training texts.",
            n=len(index.texts),
        )
    )


def _draw_agreement(label: str, agreeing: int, texts: int) -> None:
    if agreeing:
        st.markdown(
            translate(
                "{n} of the {all} nearest texts has the predicted label {label}."
                if agreeing == 1
                else "{n} of the {all} nearest texts have the predicted label {label}.",
                n=agreeing,
                all=texts,
                label=plain(label),
            )
        )
    else:
        st.warning(
            translate(
                "None of the {all} nearest texts has the predicted label {label}.",
                all=texts,
                label=plain(label),
            ),
            icon=":material/alt_route:",
        )


def _offer_index(run: Run, latest: Job | None) -> None:
    store, request = cache.open_lab(), NearestRequest(run=run.job.id)
    start = StartButton(
        translate("Index the training texts"),
        "make-nearest",
        lambda: launch(store, request, run.job.name),
        refused=""
        if is_allowed(store.visitor, Action.WORK)
        else translate("Visitors of this public page cannot start jobs."),
        heading=translate(
            "**The training texts of this run are not indexed yet.** Up to {rows:,} of them go"
            " through the model once; after that, the nearest texts appear immediately.",
            rows=ROWS,
        ),
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
