"""The cleaning recipe: fix buttons beside a finding, the steps that were chosen, and the choice
beside a run's data.

A cleaning recipe from a file takes the place of the one in the making, once it is known to fit the
data.
"""

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from core.access import Action, may
from core.data.cleaning import require_fitting
from core.data.dataset import Dataset
from core.data.quality.findings import Check
from core.data.quality.fixes import drop, relabel, suggest_step
from core.data.recipe import (
    MAX_BYTES,
    Fix,
    Recipe,
    Step,
    describe_effect,
    parse_recipe,
    read_recipe,
    to_bytes,
)
from core.errors import ArtifactDamaged, LoraLabError
from core.jobs import actions
from core.runs.requests import TrainRequest
from core.storage.store import Store
from ui import navigation
from ui.session import error_boundary
from ui.session.cache import DataStatus
from ui.session.error_boundary import show
from ui.text import count, plain

CHOICE_KEY = "data-cleaning"
AS_THEY_ARE, CLEANED = "as they are", "cleaned"
ONLY_TRAINING = (
    "Only training texts change. Validation and test stay as they are, so that scores stay those of"
    " the same texts; a text that leaks is taken out of training."
)


def offer(
    store: Store, dataset: Dataset, check: Check, found: pd.DataFrame, texts: pd.DataFrame
) -> None:
    """The button that puts the fix of a finding into the recipe; ``found`` and ``texts`` are those
    of all checks and splits.
    """
    if not may(store.visitor, Action.WORK):
        return
    step = suggest_step(check, found, texts)
    if step is not None:
        _button(store, dataset, step, f"fix-{check.value}")
    elif check not in (Check.SUSPECT, Check.IMBALANCE):
        st.caption("No training text is concerned, so there is nothing to fix before a run.")


def offer_for_chosen(store: Store, dataset: Dataset, chosen: pd.DataFrame) -> None:
    """Relabel or drop the chosen label suspects."""
    if not may(store.visitor, Action.WORK):
        return
    steps = [step for step in (relabel(chosen), drop(Check.SUSPECT, chosen)) if step]
    if not steps:
        note = "" if chosen.empty else "The chosen texts are held out, and stay as they are. "
        st.caption(f"{note}Mark training texts in the first column to relabel or drop them.")
        return
    with st.container(horizontal=True):
        for step in steps:
            _button(store, dataset, step, f"chosen-{step.fix.value}")


def draw_recipe(store: Store, dataset: Dataset) -> None:
    """What has been chosen so far, each step with a button that takes it back; nothing for who may
    not choose.
    """
    if not may(store.visitor, Action.WORK):
        return
    try:
        recipe = read_recipe(store.settings, dataset.fingerprint, store.visitor.shelf)
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    st.markdown("#### Cleaning recipe")
    st.caption(ONLY_TRAINING)
    if not recipe.steps:
        st.caption("Empty: the fixes that are chosen above are collected here.")
        return
    for number, step in enumerate(recipe.steps):
        with st.container(
            horizontal=True, vertical_alignment="center", key=f"recipe-step-{number}"
        ):
            st.markdown(f"{number + 1}. {plain(_words(step))}: *{plain(step.check)}*")
            st.button(
                "Take back",
                key=f"take-back-{number}",
                icon=":material/undo:",
                on_click=_change,
                args=(store, dataset.fingerprint, partial(_without, step=step)),
            )
    st.markdown(f"**Together: {plain(describe_effect(recipe))}.**")
    with st.container(horizontal=True):
        name = f"recipe-{dataset.fingerprint}.json"
        st.download_button(
            "Download the recipe",
            to_bytes(recipe),
            name,
            "application/json",
            key="download-recipe",
            icon=":material/download:",
        )
        st.page_link(
            navigation.TRAIN,
            label="New run: choose cleaned training texts there",
            icon=":material/tune:",
        )


def choose(store: Store, status: DataStatus) -> Recipe | None:
    """Beside a run's data: as they are, or as the recipe leaves them. Nothing is drawn where there
    is no recipe.
    """
    if status.dataset is None:
        return None
    try:
        recipe = read_recipe(store.settings, status.dataset.fingerprint, store.visitor.shelf)
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return None
    if not recipe.steps:
        return None
    effect = describe_effect(recipe)
    st.session_state.setdefault(CHOICE_KEY, AS_THEY_ARE)
    chosen = st.segmented_control(
        "Training texts",
        (AS_THEY_ARE, CLEANED),
        format_func=lambda choice: f"cleaned: {effect}" if choice == CLEANED else choice,
        required=True,
        key=CHOICE_KEY,
        persist_state="session",
        help=(
            "The cleaning recipe of the Quality page. Validation and test stay as they are. The run"
            " keeps its own copy of the recipe."
        ),
    )
    return recipe if chosen == CLEANED else None


def choose_cleaned() -> None:
    """Choose the cleaned texts; comes before the choice is drawn."""
    st.session_state[CHOICE_KEY] = CLEANED


def take_from(store: Store, request: TrainRequest) -> None:
    """Choose what a cloned run had, as far as the recipe is still the same; comes before the choice
    is drawn.
    """
    st.session_state[CHOICE_KEY] = AS_THEY_ARE
    if request.recipe is None:
        return
    try:
        same = (
            read_recipe(store.settings, request.recipe.fingerprint, store.visitor.shelf).effect()
            == request.recipe.effect()
        )
    except ArtifactDamaged:
        same = False
    if same:
        choose_cleaned()
    else:
        st.toast(
            "The run's cleaning recipe is not the present one: the data are taken as they are.",
            icon=":material/info:",
        )


def _button(store: Store, dataset: Dataset, step: Step, key: str) -> None:
    try:
        taken = step in read_recipe(store.settings, dataset.fingerprint, store.visitor.shelf).steps
    except ArtifactDamaged:
        return  # the recipe below says so
    label = f"{_words(step)} (in the recipe)" if taken else _words(step)
    change = partial(_with, step=step)
    st.button(
        label,
        key=key,
        icon=":material/build:",
        disabled=taken,
        on_click=_change,
        args=(store, dataset.fingerprint, change),
    )


def _words(step: Step) -> str:
    number = len(step.rows)
    match step.fix:
        case Fix.DROP:
            return f"Drop {count(number, 'training texts')}"
        case Fix.KEEP_ONE:
            return f"Keep one of each: drop {count(number, 'training texts')}"
        case Fix.REPAIR:
            return f"Repair {count(number, 'training texts')}"
        case _:
            return f"Relabel {count(number, 'training texts')} to the competing class"


def _change(store: Store, fingerprint: str, change: Callable[[Recipe], Recipe]) -> None:
    """Read anew before it is changed: another tab may have changed it since."""
    try:
        actions.keep_recipe(
            store, change(read_recipe(store.settings, fingerprint, store.visitor.shelf))
        )
    except (LoraLabError, OSError) as error:
        st.toast(plain(f"The recipe could not be kept. {error}"), icon=":material/error:")


def _with(recipe: Recipe, step: Step) -> Recipe:
    return recipe.with_step(step)


def _without(recipe: Recipe, step: Step) -> Recipe:
    return recipe.without(recipe.steps.index(step)) if step in recipe.steps else recipe


def offer_upload(store: Store, dataset: Dataset, then: Callable[[], None] | None = None) -> None:
    """A place for the file, what it would do, and the button that takes it and does what comes
    ``then``.
    """
    if not may(store.visitor, Action.WORK):
        return
    with st.expander(
        "Use a recipe from a file", key="recipe-upload", type="compact", icon=":material/upload:"
    ):
        label = f"A recipe (JSON) that was downloaded here, up to {MAX_BYTES // 1_000_000} MB"
        file = st.file_uploader(label, key="recipe-file", max_upload_size=MAX_BYTES // 1_000_000)
        if file is None:
            return
        try:
            recipe = parse_recipe(file.name, file.getvalue())
            require_fitting(dataset, recipe)
        except LoraLabError as error:
            show(error)
            return
        _offer_use(store, recipe, then)


def _offer_use(store: Store, recipe: Recipe, then: Callable[[], None] | None) -> None:
    steps = count(len(recipe.steps), "steps")
    try:
        present = read_recipe(store.settings, recipe.fingerprint, store.visitor.shelf)
    except ArtifactDamaged:  # what is said above; the file mends it
        present = Recipe(fingerprint=recipe.fingerprint)
    if present == recipe:
        st.caption(
            f":material/check: It is the present recipe of these data: {steps},"
            f" {plain(describe_effect(recipe))}."
        )
        return
    instead = (
        f" It takes the place of the {count(len(present.steps), 'steps')} chosen so far."
        if present.steps
        else ""
    )
    st.markdown(f"It fits these data: {steps}, {plain(describe_effect(recipe))}.{instead}")
    st.button(
        "Use this recipe",
        key="use-recipe",
        type="primary",
        icon=":material/check:",
        on_click=_use,
        args=(store, recipe, then),
    )


def _use(store: Store, recipe: Recipe, then: Callable[[], None] | None) -> None:
    try:
        actions.keep_recipe(store, recipe)
    except (LoraLabError, OSError) as error:
        st.toast(plain(f"The recipe could not be kept. {error}"), icon=":material/error:")
        return
    if then:
        then()
