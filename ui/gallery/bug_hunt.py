"""The bug hunt on the page Gallery: find planted faults with the pages about data, for points."""

from collections.abc import Collection

import pandas as pd
import streamlit as st

from core.access import Action, is_allowed
from core.data.dataset import Dataset
from core.demo import bug_hunt
from core.demo.bug_hunt import NAME, POINTS, Fault, Score
from core.errors import LoraLabError
from core.lesson.lesson_file import Spoiler
from core.storage.store import Store
from core.translation import mark, translate, translate_plural
from ui import navigation
from ui.lesson import hiding
from ui.session import cache, data_picker, error_boundary
from ui.text import capitalize
from ui.widgets import job_panel, tables

KIND_KEY, SEARCH_KEY, WORD_KEY, CLASS_KEY = "hunt-kind", "hunt-search", "hunt-word", "hunt-class"
MARKED_KEY = "hunt-marked"  # what the last marks were worth
SHOWN_TEXTS = 200
HINTS = {
    Fault.WRONG_LABEL: mark("Training texts that have the label of another class."),
    Fault.LEAK: mark("Training texts that are also in the test split."),
    Fault.SHORTCUT: mark(
        "A word that training texts of a single class have, and test texts do not."
    ),
    Fault.RARE_CLASS: mark("A class with far fewer training texts than test texts suggest."),
}


def draw(store: Store) -> None:
    """Draw the hunt in its state: no dataset, not in use, running, or ended."""
    st.subheader(translate("Find what is wrong with this dataset"), anchor=False)
    prices = ", ".join(f"{translate(kind)} {number}" for kind, number in POINTS.items())
    st.caption(
        translate(
            "The dataset {dataset} has four kinds of planted faults in its training split. Look for"
            " them with Explore, Quality and Errors, and mark them here. Points for each: {prices}."
            " A wrong mark costs one.",
            dataset=NAME,
            prices=prices,
        )
    )
    if not bug_hunt.is_planted(store):
        _draw_start(store)
        return
    _draw_links()
    if not is_allowed(store.visitor, Action.DISPUTE):
        st.info(
            translate(
                "Visitors of a public page can look for the faults; points need a place in a class"
                " or a machine of your own."
            ),
            icon=":material/lock:",
        )
        return
    findings, score, most = bug_hunt.read_findings(store)
    _draw_score(score, most)
    hidden = hiding.is_hidden(store, Spoiler.GALLERY)
    if hidden:
        hiding.draw_notice(Spoiler.GALLERY, "hidden-hunt")
    if findings.ended:
        if not hidden:
            _draw_solution(store)
        return
    status = cache.read_data_status(store.settings)
    if status.source is None or status.source.name != NAME:
        st.button(
            translate("Use the dataset {dataset}", dataset=NAME),
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
    if not hidden:
        _draw_end(store)


def _draw_start(store: Store) -> None:
    if not is_allowed(store.visitor, Action.MANAGE_DATASETS):
        st.info(
            translate("There is no hunt yet. A teacher can start one here."), icon=":material/flag:"
        )
        return
    if st.button(
        translate("Plant the faults"),
        key="hunt-plant",
        type="primary",
        icon=":material/bug_report:",
    ):
        try:
            bug_hunt.plant(store)
        except LoraLabError as error:
            error_boundary.show(error)
            return
        st.rerun()
    st.caption(
        translate(
            "This saves a dataset {dataset} of about 340 training texts of the demo corpus. The"
            " faults are drawn at random, so the person who starts the hunt does not know them.",
            dataset=NAME,
        )
    )


def _draw_links() -> None:
    with st.container(horizontal=True, gap="medium"):
        for file in (navigation.EXPLORE, navigation.QUALITY, navigation.ERRORS):
            navigation.link(file)


def _draw_score(score: Score, most: int) -> None:
    with st.container(horizontal=True, gap="large"):
        points = translate("{points} of {most}", points=score.points, most=most)
        st.metric(translate("Points"), points, width="content")
        for kind in Fault:
            st.metric(capitalize(translate(kind)), score.true.get(kind, 0), width="content")
        st.metric(translate("Wrong marks"), score.wrong, width="content")
    if marked := st.session_state.pop(MARKED_KEY, ""):
        st.info(marked, icon=":material/flag:")


def _draw_marking(store: Store, dataset: Dataset) -> None:
    """Draw the kind of fault, the choice of texts, word or class, and the button."""
    kind = st.segmented_control(
        translate("Kind of fault"),
        list(Fault),
        default=Fault.WRONG_LABEL,
        required=True,
        key=KIND_KEY,
        format_func=translate,
    )
    st.caption(translate(HINTS[kind]))
    if kind is Fault.SHORTCUT:
        values = (
            [word]
            if (word := st.text_input(translate("Word"), key=WORD_KEY, max_chars=60).strip())
            else []
        )
    elif kind is Fault.RARE_CLASS:
        name = st.selectbox(
            translate("Class of the text"),
            dataset.classes,
            index=None,
            placeholder=translate("Choose"),
            key=CLASS_KEY,
        )
        values = [name] if name else []
    else:
        values = _choose_texts(dataset)
    st.button(
        translate("Mark as {kind}", kind=kind),
        key="hunt-mark",
        type="primary",
        icon=":material/flag:",
        disabled=not values,
        on_click=_mark,
        args=(store, kind, values),
    )


def _choose_texts(dataset: Dataset) -> list[str]:
    search = st.text_input(
        translate("Search the training texts"),
        key=SEARCH_KEY,
        placeholder=translate("text contains"),
    ).strip()
    train = dataset.read("train", ["text", "label"])
    candidates = bug_hunt.list_candidates(train, dataset.classes, search)
    shown = candidates.head(SHOWN_TEXTS)
    total = translate_plural("{n:,} training text.", "{n:,} training texts.", len(candidates))
    rest = translate("The first {shown} are listed.", shown=SHOWN_TEXTS)
    st.caption(f"{total} {rest}" if len(candidates) > SHOWN_TEXTS else total)
    chosen = tables.draw_several_texts(
        shown,
        key=f"hunt-texts-{search}",  # a selection ends when the rows change
        columns={"class": translate("Label")},
        rows_in_view=6,
        alt=translate("Training texts to mark"),
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
    st.session_state[MARKED_KEY] = translate(
        "{true} true, {wrong} wrong, {known} already marked."
        if known
        else "{true} true, {wrong} wrong.",
        true=true,
        wrong=wrong,
        known=known,
    )


def _draw_end(store: Store) -> None:
    with st.popover(translate("End the hunt"), icon=":material/visibility:"):
        st.markdown(translate("The answers are shown, and no further marks count."))
        st.button(translate("Show the answers"), key="hunt-end", on_click=_end, args=(store,))


def _end(store: Store) -> None:
    bug_hunt.end_hunt(store)


def _draw_solution(store: Store) -> None:
    answers = bug_hunt.read_solution(store)
    if answers is None:
        return
    findings, _, _ = bug_hunt.read_findings(store)
    table = pd.DataFrame(
        [
            (
                translate(kind),
                value,
                translate("marked" if value in findings.marks.get(kind, ()) else "missed"),
            )
            for kind, values in answers.faults.items()
            for value in values
        ],
        columns=["fault", "text", "you"],
    )
    st.markdown(f"#### {translate('The answers')}")
    tables.draw_plain(
        table,
        key="hunt-answers",
        columns={
            "fault": translate("Fault"),
            "text": st.column_config.TextColumn(translate("Text, word or class"), width="large"),
            "you": translate("You"),
        },
        alt=translate("All planted faults, and whether you marked them"),
    )
