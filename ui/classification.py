"""Parts of the Classify page: examples, the question to the inference host, the answer, and the visit's history."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd
import streamlit as st
from tokenizers import Tokenizer

from core import charts
from core.catalog import find_model
from core.data.sources import AG_NEWS_CLASSES
from core.errors import LoraLabError
from core.inference.host import ClassifyRequest, InferenceHost
from core.jobs import artifacts
from core.jobs.requests import read_train_request
from core.states import Kind
from ui import boundary, drawing, hosting, readers, tables
from ui.frame import OpenRun
from ui.words import per_cent, plain

TEXT_KEY, ANSWER_KEY, HISTORY_KEY, AGAIN_KEY = "text", "answer", "history", "ask-again"
UNTRAINED = "Untrained"
MOST_OTHERS, KEPT = 3, 10
COLUMNS = {2: 2, 3: 3, 4: 2, 5: 3}  # of that many answers
EXAMPLES = {
    "Peace talks": "Negotiators from both sides met in Geneva to discuss a ceasefire after a week of shelling near the border.",
    "A late goal": "A header in the ninety-third minute sent the visitors through to the semi-final on away goals.",
    "A profit warning": "Shares in the retailer fell 12 percent after it warned that Christmas sales would miss forecasts.",
    "A new chip": "Engineers presented a processor that runs speech recognition on a phone without a network connection.",
}


@dataclass(frozen=True)
class Answer:
    """What one model said: whose answer it is, classes and their probabilities, and how much of the text it read."""

    run_id: str
    name: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    tokens: int
    max_tokens: int

    @property
    def ranked(self) -> list[tuple[float, str]]:
        """Probabilities and classes, the most probable first."""
        return sorted(zip(self.probabilities, self.classes, strict=True), reverse=True)

    @property
    def label(self) -> str:
        """The most probable class."""
        return self.ranked[0][1]

    @property
    def verdict(self) -> str:
        """The lead of the most probable class over the next one, as a sentence."""
        (first, label), (second, next_label) = self.ranked[:2]
        return f"{plain(self.name)} puts {plain(label)} {(first - second) * 100:.1f} points ahead of {plain(next_label)}."


def draw_examples(run: OpenRun) -> None:
    """Texts that a click puts into the box; they are news, so only for a run that tells news apart."""
    if set(run.classes) != set(AG_NEWS_CLASSES):
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption("Try", width="content")
        for name, text in EXAMPLES.items():
            st.button(name, key=f"example-{name}", type="tertiary", on_click=_fill, args=(text,))


def choose_others(run: OpenRun) -> list[OpenRun]:
    """Further runs with the same classes to ask beside the chosen one."""
    usable = {other.id: other for other in _others(run)}
    if not usable:
        return []
    chosen = st.multiselect(
        "Compare with", list(usable), format_func=lambda run_id: usable[run_id].job.name, max_selections=MOST_OTHERS, key="others"
    )
    return [usable[run_id] for run_id in chosen]


def ask(runs: Sequence[OpenRun], text: str) -> None:
    """Ask every run and the untrained base; the answer is kept for this visit. A failure is shown with what to do."""
    if not text.strip():
        st.warning("Type a sentence first, or choose one of the examples.", icon=":material/edit:")
        return
    try:
        with st.spinner("Classifying. The first text takes some seconds, because the model is loaded."):
            answers = _ask(runs, text)
    except LoraLabError as error:
        boundary.show(error)
        st.button("Try again", key="try-again", icon=":material/refresh:", on_click=_ask_again)
        return
    st.session_state[ANSWER_KEY] = (text, answers)
    st.session_state[HISTORY_KEY] = [(text, answers), *st.session_state.get(HISTORY_KEY, [])][:KEPT]


def wanted() -> bool:
    """Whether the answer is to be asked for: Classify was clicked, or Try again after a failure."""
    return st.button("Classify", key="classify", type="primary", icon=":material/play_arrow:") | bool(
        st.session_state.pop(AGAIN_KEY, False)
    )


def draw_answer(runs: Sequence[OpenRun]) -> None:
    """The sentence first, then bars: a column a run, and the untrained base."""
    kept = st.session_state.get(ANSWER_KEY)
    if kept is None or [answer.run_id for answer in kept[1][:-1]] != [run.id for run in runs]:
        st.caption("Probabilities of each class appear here, beside those of the model before training.")
        return
    text, answers = kept
    first = answers[0]
    st.subheader(f"{plain(first.label)}, {per_cent(max(first.probabilities))} sure", anchor=False)
    st.caption(" ".join(answer.verdict for answer in answers[:-1]) + _disagreement(answers))
    with st.container(border=True, key="asked-text"):
        st.text(text)
    _draw_cuts(answers)
    columns = st.grid(COLUMNS[len(answers)], min_column_width=280, gap="medium")
    for number, answer in enumerate(answers):
        with columns.cell():
            drawing.draw(charts.probabilities(answer.probabilities, answer.classes, answer.name), key=f"probabilities-{number}")


def draw_history() -> None:
    """What was asked in this visit."""
    history: list[tuple[str, list[Answer]]] = st.session_state.get(HISTORY_KEY, [])
    if len(history) < 2:
        return
    st.markdown("#### This visit")
    lines = [
        {"text": text, "model": answer.name, "class": answer.label, "probability": max(answer.probabilities)}
        for text, answers in history
        for answer in answers
    ]
    columns = {
        "text": st.column_config.TextColumn("Text", width="large"),
        "model": "Model",
        "class": "Class",
        "probability": st.column_config.ProgressColumn("Probability", format="percent", min_value=0, max_value=1),
    }
    tables.plain(pd.DataFrame(lines), key="history-table", columns=columns, alt="Texts classified in this visit, newest first")


def _ask(runs: Sequence[OpenRun], text: str) -> list[Answer]:
    requests = [_request(run) for run in runs]
    base = requests[0]
    requests.append(ClassifyRequest(None, base.model, None, base.classes, base.max_tokens, base.seed))
    results = _host().classify(requests, [text])
    names = [*(run.job.name for run in runs), UNTRAINED]
    return [
        Answer(
            request.run_id or "",
            name,
            request.classes,
            tuple(map(float, result[0])),
            _count_tokens(request.model.folder, text),
            request.max_tokens,
        )
        for name, request, result in zip(names, requests, results, strict=True)
    ]


def _request(run: OpenRun) -> ClassifyRequest:
    config = run.request.config
    model = find_model(config.model, run.store.settings, readers.hub(run.store.settings))
    return ClassifyRequest(run.id, model, artifacts.adapter_folder(run.folder), run.classes, config.max_tokens, config.seed)


def _others(run: OpenRun) -> list[OpenRun]:
    found = []
    for job in run.store.jobs(Kind.TRAIN):
        folder = run.store.folder(job)
        if job.id == run.id or job.state.active or not (folder / "adapter" / "adapter_model.safetensors").is_file():
            continue
        try:
            other = OpenRun(job, read_train_request(job), folder, run.store)
            same = other.classes == run.classes
        except LoraLabError:  # a damaged run is not offered here; the list of runs says what is wrong with it
            continue
        if same:
            found.append(other)
    return found


def _fill(text: str) -> None:
    st.session_state[TEXT_KEY] = text


def _ask_again() -> None:
    st.session_state[AGAIN_KEY] = True


def _draw_cuts(answers: Sequence[Answer]) -> None:
    for answer in answers[:-1]:
        if answer.tokens > answer.max_tokens:
            st.warning(
                f"The text has {answer.tokens:,} tokens; {plain(answer.name)} reads the first {answer.max_tokens:,}.",
                icon=":material/content_cut:",
            )


def _disagreement(answers: Sequence[Answer]) -> str:
    labels = {answer.label for answer in answers[:-1]}
    return " The runs disagree." if len(labels) > 1 else ""


def _count_tokens(folder: Path | None, text: str) -> int:
    path = folder / "tokenizer.json" if folder else None
    return len(_tokenizer(path).encode(text).ids) if path and path.is_file() else 0


@lru_cache(maxsize=2)  # a page compares runs on one base, seldom on two; each takes a few MB
def _tokenizer(path: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _host() -> InferenceHost:
    return hosting.host()
