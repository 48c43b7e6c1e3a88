"""Explanation of a prediction: token attributions, the effect of removing words, nearest texts."""

import streamlit as st

from core import charts
from core.errors import LoraLabError
from core.inference.messages import Explanation
from core.runs.run import Run
from ui.app import inference
from ui.app.inference import Answer
from ui.classify import nearest
from ui.session import error_boundary
from ui.text import plain
from ui.widgets import chart_view

MOST_WORDS = 60  # more would be too many buttons
MOST_CHARACTERS = 3000


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
        nearest.draw(run, answer)
    except LoraLabError as error:
        error_boundary.show(error)


def _draw_words(run: Run, text: str, predicted: str) -> None:
    """Draw the attributions for a chosen class, initially the predicted one."""
    if len(text) > MOST_CHARACTERS:
        st.info(
            f"Only texts of up to {MOST_CHARACTERS:,} characters can be explained. Shorten this"
            " text.",
            icon=":material/content_cut:",
        )
        return
    chosen = st.selectbox(
        "Class", run.classes, run.classes.index(predicted), key=f"explained|{run.id}|{hash(text)}"
    )
    with st.spinner("Computing token attributions"):
        explanation = _explain(run.id, run.version, text, run.classes.index(chosen), run)
    _draw_tokens(explanation, chosen)
    _draw_without(run, text)


def _draw_tokens(explanation: Explanation, chosen: str) -> None:
    st.markdown(f"#### Evidence for {plain(chosen)}")
    tokens = [
        token
        for token, special in zip(explanation.pieces, explanation.special, strict=True)
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
            charts.attributions(tokens, shown, name, chart_view.dark()), key=f"explain-{key}"
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
    request = inference.request_for(run)
    host = inference.with_stages([request])
    columns = st.grid(2, min_column_width=300, gap="medium")
    for name, part in (("Whole text", text), ("Without these words", rest or " ")):
        (answer,) = host.classify([request], [part])
        with columns.cell():
            chart_view.draw(
                charts.probabilities(answer[0].tolist(), run.classes, name), key=f"without-{name}"
            )


@st.cache_data(max_entries=50, show_spinner=False)
def _explain(run_id: str, version: int, text: str, target: int, _run: Run) -> Explanation:
    request = inference.request_for(_run)
    return inference.with_stages([request]).explain(request, text, target)
