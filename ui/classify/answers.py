"""The Classify page: example texts, the predictions of each run, and the visit's history."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from core import charts
from core.data.sources import AG_NEWS_CLASSES
from core.errors import DataError, LoraLabError
from core.runs.run import Run
from core.translation import localize, mark, translate
from ui.app import inference
from ui.app.inference import Answer
from ui.session import cache, error_boundary
from ui.text import capitalize, format_per_cent, plain
from ui.widgets import chart_view, tables

TEXT_KEY, ANSWER_KEY, HISTORY_KEY, AGAIN_KEY = "text", "answer", "history", "ask-again"
MOST_OTHERS, KEPT = 9, 10
EXAMPLES = {
    mark("Peace talks"): (
        "Negotiators from both sides met in Geneva to discuss a ceasefire after a week of shelling"
        " near the border."
    ),
    mark("A late goal"): (
        "A header in the ninety-third minute sent the visitors through to the semi-final on away"
        " goals."
    ),
    mark("A profit warning"): (
        "Shares in the retailer fell 12 percent after it warned that Christmas sales would miss"
        " forecasts."
    ),
    mark("A new chip"): (
        "Engineers presented a processor that runs speech recognition on a phone without a network"
        " connection."
    ),
}


def draw_examples(run: Run) -> None:
    """Draw buttons that fill in example texts; they are news, so only for runs on AG News
    classes.
    """
    if set(run.classes) != set(AG_NEWS_CLASSES):
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.caption(translate("Examples"), width="content")
        for name, text in EXAMPLES.items():
            st.button(
                translate(name),
                key=f"example-{name}",
                type="tertiary",
                on_click=_fill,
                args=(text,),
            )


def choose_others(run: Run) -> list[Run]:
    """Let the reader choose further runs with the same classes."""
    usable = {other.id: other for other in inference.list_comparable_runs(run)}
    if not usable:
        return []
    names = [other.job.name for other in usable.values()]

    def label(run_id: str) -> str:
        name = usable[run_id].job.name
        return name if names.count(name) == 1 else f"{name} ({run_id})"

    chosen = st.multiselect(
        translate("Compare with"),
        list(usable),
        format_func=label,
        max_selections=MOST_OTHERS,
        placeholder=translate("Choose"),
        key="others",
    )
    return [usable[run_id] for run_id in chosen]


def ask(runs: Sequence[Run], text: str) -> None:
    """Classify with all runs and the untrained base model, and store the answers for this visit."""
    crashes, entered = cache.get_host().crashes, text
    try:
        text = inference.check_text(text)
        with st.spinner(translate("Classifying"), show_time=False):
            answers = inference.ask_all(runs, text)
    except DataError as error:
        st.warning(f"{plain(error.message)} {plain(error.fix)}", icon=":material/edit:")
        return
    except LoraLabError as error:
        error_boundary.show(error)
        st.button(
            translate("Try again"), key="try-again", icon=":material/refresh:", on_click=_ask_again
        )
        return
    if cache.get_host().crashes > crashes:
        st.info(translate(inference.CRASHED), icon=":material/restart_alt:")
    if text != entered:
        st.info(translate(inference.REPLACED), icon=":material/find_replace:")
    st.session_state[ANSWER_KEY] = (text, answers)
    st.session_state[HISTORY_KEY] = [(text, answers), *st.session_state.get(HISTORY_KEY, [])][:KEPT]


def draw_button() -> bool:
    """Draw the Classify button; return whether it, or Try again after a failure, was clicked."""
    return st.button(
        translate("Classify"), key="classify", type="primary", icon=":material/play_arrow:"
    ) | bool(st.session_state.pop(AGAIN_KEY, False))


def read_answers(runs: Sequence[Run]) -> tuple[str, list[Answer]] | None:
    """Return the text and the answers of ``runs``; None if they have not been asked."""
    stored: tuple[str, list[Answer]] | None = st.session_state.get(ANSWER_KEY)
    return (
        stored
        if stored and [answer.run_id for answer in stored[1][:-1]] == [run.id for run in runs]
        else None
    )


def draw_answer(runs: Sequence[Run]) -> None:
    """Draw the prediction, then one chart per run and one for the untrained base model."""
    stored = read_answers(runs)
    if stored is None:
        st.caption(
            translate("The class probabilities appear here, next to those of the untrained model.")
        )
        return
    text, answers = stored
    first = answers[0]
    sure = localize(format_per_cent(max(first.probabilities)))
    st.subheader(f"{plain(first.label)} ({sure})", anchor=False)
    if len(answers) == 2:
        st.caption(first.verdict)
    with st.container(border=True, key="asked-text", height=200 if len(text) > 1500 else "content"):
        st.text(text)
    _draw_cuts(answers)
    if len(answers) > 2:
        _draw_agreement(answers)
    columns = st.grid(min(len(answers), 3), min_column_width=280, gap="medium")
    for number, answer in enumerate(answers):
        with columns.cell():
            chart_view.draw(
                charts.draw_probabilities(answer.probabilities, answer.classes, _name(answer)),
                key=f"probabilities-{number}",
            )


def draw_history() -> None:
    """Draw the texts classified in this visit."""
    history: list[tuple[str, list[Answer]]] = st.session_state.get(HISTORY_KEY, [])
    if len(history) < 2:
        return
    st.markdown(f"#### {translate('History of this visit')}")
    lines = [
        {
            "text": text[:500],
            "model": _name(answer),
            "class": answer.label,
            "probability": max(answer.probabilities),
        }
        for text, answers in history
        for answer in answers
    ]
    columns: tables.Columns = {
        "text": st.column_config.TextColumn(translate("Text"), width="large"),
        "model": translate("Model"),
        "class": capitalize(translate("class")),
        "probability": st.column_config.ProgressColumn(
            translate("Probability"), format="percent", min_value=0, max_value=1
        ),
    }
    tables.draw_plain(
        pd.DataFrame(lines),
        key="history-table",
        columns=columns,
        alt=translate("Texts classified in this visit, newest first"),
    )


def _draw_agreement(answers: Sequence[Answer]) -> None:
    """Draw one line per model; predictions that differ from the first run's are marked."""
    trained = answers[:-1]
    differing = [answer for answer in trained if answer.label != trained[0].label]
    if differing:
        names = ", ".join(plain(answer.name) for answer in differing)
        st.warning(
            translate(
                "The runs disagree: {runs} differs from {first}."
                if len(differing) == 1
                else "The runs disagree: {runs} differ from {first}.",
                runs=names,
                first=plain(trained[0].name),
            ),
            icon=":material/alt_route:",
        )
    else:
        agreed = translate(
            "Both runs predict {label}." if len(trained) == 2 else "All {n} runs predict {label}.",
            n=len(trained),
            label=plain(trained[0].label),
        )
        st.caption(f":material/check: {agreed}")
    lines = [
        {
            "model": _name(answer),
            "class": answer.label
            if answer.label == trained[0].label
            else translate("{label} (differs)", label=answer.label),
            "probability": max(answer.probabilities),
            "margin": answer.margin * 100,
        }
        for answer in answers
    ]
    columns: tables.Columns = {
        "model": st.column_config.TextColumn(translate("Model")),
        "class": st.column_config.TextColumn(
            capitalize(translate("class")),
            help=translate("Marked if it differs from the first run's prediction."),
        ),
        "probability": st.column_config.ProgressColumn(
            translate("Probability"), format="percent", min_value=0, max_value=1
        ),
        "margin": st.column_config.NumberColumn(
            translate("Margin (points)"),
            **tables.decimals(1),
            help=translate("Probability of the predicted class minus that of the next one."),
        ),
    }
    tables.draw_plain(
        pd.DataFrame(lines),
        key="agreement",
        columns=columns,
        alt=translate("Predictions of each run and of the untrained base model"),
    )


def _name(answer: Answer) -> str:
    return answer.name if answer.run_id else translate(inference.UNTRAINED)


def _fill(text: str) -> None:
    st.session_state[TEXT_KEY] = text


def _ask_again() -> None:
    st.session_state[AGAIN_KEY] = True


def _draw_cuts(answers: Sequence[Answer]) -> None:
    """Draw warnings about unknown text and about truncation, grouped by max tokens."""
    if not answers[0].known:
        warning = translate(
            "The model's vocabulary does not cover this text, so the prediction does not depend on"
            " it."
        )
        st.warning(warning, icon=":material/unknown_document:")
    cut: dict[tuple[int, int], list[str]] = {}
    for answer in answers[:-1]:
        if answer.tokens > answer.max_tokens:
            cut.setdefault((answer.tokens, answer.max_tokens), []).append(plain(answer.name))
    for (tokens, read), names in cut.items():
        st.warning(
            translate(
                "The text has {tokens:,} tokens; {runs} reads only the first {read:,}."
                if len(names) == 1
                else "The text has {tokens:,} tokens; {runs} read only the first {read:,}.",
                tokens=tokens,
                runs=", ".join(names),
                read=read,
            ),
            icon=":material/content_cut:",
        )
