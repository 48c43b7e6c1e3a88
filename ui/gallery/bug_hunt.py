"""The bug hunt on the page Gallery: find planted faults with the pages about data, for points."""

from collections.abc import Collection

import pandas as pd
import streamlit as st

from core.access import Action, is_allowed
from core.data.dataset import Dataset
from core.demo import bug_hunt
from core.demo.bug_hunt import NAME, POINTS, Fault, Score
from core.errors import LoraLabError
from core.storage.store import Store
from ui import navigation
from ui.session import cache, data_picker, error_boundary
from ui.text import count
from ui.widgets import job_panel, tables

KIND_KEY, SEARCH_KEY, WORD_KEY, CLASS_KEY = "hunt-kind", "hunt-search", "hunt-word", "hunt-class"
MARKED_KEY = "hunt-marked"  # what the last marks were worth
SHOWN_TEXTS = 200
HINTS = {
    Fault.WRONG_LABEL: "Training texts that have the label of another class.",
    Fault.LEAK: "Training texts that are also in the test split.",
    Fault.SHORTCUT: "A word that training texts of a single class have, and test texts do not.",
    Fault.RARE_CLASS: "A class with far fewer training texts than test texts suggest.",
}


def draw(store: Store) -> None:
    """Draw the hunt in its state: no dataset, not in use, running, or ended."""
    st.subheader("Find what is wrong with this dataset", anchor=False)
    prices = ", ".join(f"{kind} {number}" for kind, number in POINTS.items())
    st.caption(
        f"The dataset {NAME} has four kinds of planted faults in its training split. Look for them"
        f" with Explore, Quality and Errors, and mark them here. Points for each: {prices}. A wrong"
        " mark costs one."
    )
    if not bug_hunt.is_planted(store):
        _draw_start(store)
        return
    _draw_links()
    if not is_allowed(store.visitor, Action.DISPUTE):
        st.info(
            "Visitors of a public page can look for the faults; points need a place in a class or"
            " a machine of your own.",
            icon=":material/lock:",
        )
        return
    findings, score, most = bug_hunt.read_findings(store)
    _draw_score(score, most)
    if findings.ended:
        _draw_solution(store)
        return
    status = cache.read_data_status(store.settings)
    if status.source is None or status.source.name != NAME:
        st.button(
            f"Use the dataset {NAME}",
            key="hunt-use",
            type="primary",
            on_click=data_picker.use,
            args=(NAME,),
        )
        return
    if status.dataset is None:
        job_panel.draw_preparation(store, status)
        return
    _draw_marking(store, status.dataset)
    _draw_end(store)


def _draw_start(store: Store) -> None:
    if not is_allowed(store.visitor, Action.MANAGE_DATASETS):
        st.info("There is no hunt yet. A teacher can start one here.", icon=":material/flag:")
        return
    if st.button(
        "Plant the faults", key="hunt-plant", type="primary", icon=":material/bug_report:"
    ):
        try:
            bug_hunt.plant(store)
        except LoraLabError as error:
            error_boundary.show(error)
            return
        st.rerun()
    st.caption(
        f"This saves a dataset {NAME} of about 340 training texts of the demo corpus. The faults"
        " are drawn at random, so the person who starts the hunt does not know them."
    )


def _draw_links() -> None:
    with st.container(horizontal=True, gap="medium"):
        for file in (navigation.EXPLORE, navigation.QUALITY, navigation.ERRORS):
            navigation.link(file)


def _draw_score(score: Score, most: int) -> None:
    with st.container(horizontal=True, gap="large"):
        st.metric("Points", f"{score.points} of {most}", width="content")
        for kind in Fault:
            st.metric(kind.capitalize(), score.true.get(kind, 0), width="content")
        st.metric("Wrong marks", score.wrong, width="content")
    if marked := st.session_state.pop(MARKED_KEY, ""):
        st.info(marked, icon=":material/flag:")


def _draw_marking(store: Store, dataset: Dataset) -> None:
    """Draw the kind of fault, the choice of texts, word or class, and the button."""
    kind = st.segmented_control(
        "Kind of fault", list(Fault), default=Fault.WRONG_LABEL, required=True, key=KIND_KEY
    )
    st.caption(HINTS[kind])
    if kind is Fault.SHORTCUT:
        values = (
            [word] if (word := st.text_input("Word", key=WORD_KEY, max_chars=60).strip()) else []
        )
    elif kind is Fault.RARE_CLASS:
        name = st.selectbox("Class", dataset.classes, index=None, key=CLASS_KEY)
        values = [name] if name else []
    else:
        values = _choose_texts(dataset)
    st.button(
        f"Mark as {kind}",
        key="hunt-mark",
        type="primary",
        icon=":material/flag:",
        disabled=not values,
        on_click=_mark,
        args=(store, kind, values),
    )


def _choose_texts(dataset: Dataset) -> list[str]:
    search = st.text_input(
        "Search the training texts", key=SEARCH_KEY, placeholder="text contains"
    ).strip()
    train = dataset.read("train", ["text", "label"])
    candidates = bug_hunt.list_candidates(train, dataset.classes, search)
    shown = candidates.head(SHOWN_TEXTS)
    rest = f" The first {SHOWN_TEXTS} are listed." if len(candidates) > SHOWN_TEXTS else ""
    st.caption(f"{count(len(candidates), 'training texts')}.{rest}")
    chosen = tables.draw_several_texts(
        shown,
        key=f"hunt-texts-{search}",  # a selection ends when the rows change
        columns={"class": "Label"},
        rows_in_view=6,
        alt="Training texts to mark",
    )
    return [shown["text"].iloc[row] for row in chosen]


def _mark(store: Store, kind: Fault, values: Collection[str]) -> None:
    _, before, _ = bug_hunt.read_findings(store)
    try:
        after = bug_hunt.mark(store, kind, values)
    except LoraLabError as error:
        st.session_state[MARKED_KEY] = f"{error.message} {error.fix}"
        return
    true = after.true.get(kind, 0) - before.true.get(kind, 0)
    wrong = after.wrong - before.wrong
    known = len(values) - true - wrong
    again = f", {known} already marked" if known else ""
    st.session_state[MARKED_KEY] = f"{true} true, {wrong} wrong{again}."


def _draw_end(store: Store) -> None:
    with st.popover("End the hunt", icon=":material/visibility:"):
        st.markdown("The answers are shown, and no further marks count.")
        st.button("Show the answers", key="hunt-end", on_click=_end, args=(store,))


def _end(store: Store) -> None:
    bug_hunt.end_hunt(store)


def _draw_solution(store: Store) -> None:
    answers = bug_hunt.read_solution(store)
    if answers is None:
        return
    findings, _, _ = bug_hunt.read_findings(store)
    table = pd.DataFrame(
        [
            (str(kind), value, "marked" if value in findings.marks.get(kind, ()) else "missed")
            for kind, values in answers.faults.items()
            for value in values
        ],
        columns=["fault", "text", "you"],
    )
    st.markdown("#### The answers")
    tables.draw_plain(
        table,
        key="hunt-answers",
        columns={
            "fault": "Fault",
            "text": st.column_config.TextColumn("Text, word or class", width="large"),
            "you": "You",
        },
        alt="All planted faults, and whether you marked them",
    )
