"""The part of Classify that says why: what each token adds to a class, what happens without chosen
words, which training texts are near.
"""

import streamlit as st

from core import charts
from core.errors import LoraLabError
from core.inference.messages import Explanation
from ui.app import inference
from ui.app.inference import Answer
from ui.app.page_frame import OpenRun
from ui.classify import nearest
from ui.session import error_boundary
from ui.text import plain
from ui.widgets import chart_view

MOST_WORDS = 60  # to choose from; more are no buttons
MOST_CHARACTERS = 3000


def draw(run: OpenRun, text: str, answer: Answer) -> None:
    """Why ``run`` gave this answer: the tokens, the words, the training texts near it."""
    if not st.toggle(
        "Explain this answer", key="explain", help="A second or two: it asks the model many times."
    ):
        return
    try:
        _draw_words(run, text, answer.label)
        nearest.draw(run, answer)
    except LoraLabError as error:
        error_boundary.show(error)


def _draw_words(run: OpenRun, text: str, predicted: str) -> None:
    """For the class that the reader chooses, the predicted one at first."""
    if len(text) > MOST_CHARACTERS:
        st.info(
            f"Texts of up to {MOST_CHARACTERS:,} characters are explained. Keep a part of this"
            " one.",
            icon=":material/content_cut:",
        )
        return
    chosen = st.selectbox(
        "Class", run.classes, run.classes.index(predicted), key=f"explained|{run.id}|{hash(text)}"
    )
    with st.spinner("Asking what each token adds"):
        found = _explain(run.id, run.version, text, run.classes.index(chosen), run)
    _draw_tokens(found, chosen)
    _draw_without(run, text)


def _draw_tokens(found: Explanation, chosen: str) -> None:
    st.markdown(f"#### What speaks for {plain(chosen)}")
    pieces = [
        piece for piece, special in zip(found.pieces, found.special, strict=True) if not special
    ]
    for name, values, key in (
        ("Integrated gradients (logits)", found.gradients, "gradients"),
        ("Occlusion: by how much the logit falls without the token", found.occlusion, "occlusion"),
    ):
        shown = [value for value, special in zip(values, found.special, strict=True) if not special]
        chart_view.draw(
            charts.attributions(pieces, shown, name, chart_view.dark()), key=f"explain-{key}"
        )
    st.caption(
        f"Blue speaks for the class, orange against it. Convergence error {found.error:.3f} logits"
        f" after {found.steps} steps."
    )


def _draw_without(run: OpenRun, text: str) -> None:
    words = text.split()[:MOST_WORDS]
    left_out = st.pills(
        "Leave words out",
        range(len(words)),
        selection_mode="multi",
        format_func=lambda place: plain(words[place]),
        key=f"without|{hash(text)}",
    )
    if not left_out:
        return
    rest = " ".join(word for place, word in enumerate(text.split()) if place not in left_out)
    request = inference.request_for(run)
    host = inference.with_stages([request])
    columns = st.grid(2, min_column_width=300, gap="medium")
    for name, part in (("The whole text", text), ("Without these words", rest or " ")):
        (answer,) = host.classify([request], [part])
        with columns.cell():
            chart_view.draw(
                charts.probabilities(answer[0].tolist(), run.classes, name), key=f"without-{name}"
            )


@st.cache_data(max_entries=50, show_spinner=False)
def _explain(run_id: str, version: int, text: str, target: int, _run: OpenRun) -> Explanation:
    request = inference.request_for(_run)
    return inference.with_stages([request]).explain(request, text, target)
