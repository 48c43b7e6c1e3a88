"""The cleaning recipe: fix buttons, its steps, its upload from a file, and its choice for a run."""

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from core.access import Action, is_allowed
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
from core.translation import translate
from ui import navigation
from ui.session import error_boundary
from ui.session.cache import DataStatus
from ui.session.error_boundary import show
from ui.text import count, plain

CHOICE_KEY = "data-cleaning"
CHOICE_PARAMETER = "texts"  # in the URL of New run
AS_THEY_ARE, CLEANED = "original", "cleaned"
ONLY_TRAINING = (
    "Only training texts change. Validation and test texts stay the same, so that scores remain"
    " comparable; leaked texts are removed from training."
)


def offer(
    store: Store, dataset: Dataset, check: Check, findings: pd.DataFrame, texts: pd.DataFrame
) -> None:
    """Draw the button that adds the fix of a finding to the recipe.

    ``findings`` and ``texts`` cover all checks and splits.
    """
    if not is_allowed(store.visitor, Action.WORK):
        return
    step = suggest_step(check, findings, texts)
    if step is not None:
        _button(store, dataset, step, f"fix-{check.value}")
    elif check not in (Check.SUSPECT, Check.IMBALANCE):
        st.caption("No training texts are affected, so there is nothing to fix before a run.")


def offer_for_chosen(store: Store, dataset: Dataset, chosen: pd.DataFrame) -> None:
    """Draw the buttons that relabel or drop the selected label errors."""
    if not is_allowed(store.visitor, Action.WORK):
        return
    steps = [step for step in (relabel(chosen), drop(Check.SUSPECT, chosen)) if step]
    if not steps:
        note = "" if chosen.empty else "The selected texts are held out and stay unchanged. "
        st.caption(
            f"{note}Select training texts in the first column to relabel or drop them, test texts"
            " to dispute their labels."
        )
        return
    with st.container(horizontal=True):
        for step in steps:
            _button(store, dataset, step, f"chosen-{step.fix.value}")


def draw_recipe(store: Store, dataset: Dataset) -> None:
    """Draw the steps of the recipe with their Undo buttons; nothing for visitors who may not
    work.
    """
    if not is_allowed(store.visitor, Action.WORK):
        return
    try:
        recipe = read_recipe(store.settings, dataset.fingerprint, store.visitor.folder)
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return
    st.markdown("#### Cleaning recipe")
    st.caption(ONLY_TRAINING)
    if not recipe.steps:
        st.caption("Empty. Fixes that you choose above are collected here.")
        return
    for number, step in enumerate(recipe.steps):
        with st.container(
            horizontal=True, vertical_alignment="center", key=f"recipe-step-{number}"
        ):
            st.markdown(f"{number + 1}. {plain(_words(step))}: *{plain(step.check)}*")
            st.button(
                "Undo",
                key=f"take-back-{number}",
                icon=":material/undo:",
                on_click=_change,
                args=(store, dataset.fingerprint, partial(_without, step=step)),
            )
    st.markdown(f"**Total: {plain(describe_effect(recipe))}.**")
    with st.container(horizontal=True):
        name = f"recipe-{dataset.fingerprint}.json"
        st.download_button(
            "Download recipe",
            to_bytes(recipe),
            name,
            "application/json",
            key="download-recipe",
            icon=":material/download:",
        )
        navigation.link(
            navigation.TRAIN,
            "Train on the cleaned data",
            icon=":material/tune:",
            **{CHOICE_PARAMETER: CLEANED},
        )


def choose(store: Store, status: DataStatus) -> Recipe | None:
    """Draw the choice between original and cleaned training texts, if there is a recipe."""
    if status.dataset is None:
        return None
    try:
        recipe = read_recipe(store.settings, status.dataset.fingerprint, store.visitor.folder)
    except ArtifactDamaged as error:
        error_boundary.show(error)
        return None
    if not recipe.steps:
        return None
    effect = describe_effect(recipe)
    st.session_state.setdefault(CHOICE_KEY, AS_THEY_ARE)
    if st.query_params.pop(CHOICE_PARAMETER, "") == CLEANED:
        choose_cleaned()
    chosen = st.segmented_control(
        "Training texts",
        (AS_THEY_ARE, CLEANED),
        format_func=lambda choice: f"cleaned: {effect}" if choice == CLEANED else choice,
        required=True,
        key=CHOICE_KEY,
        persist_state="session",
        help=(
            "The cleaning recipe of the Quality page. Validation and test texts stay unchanged."
            " The run stores its own copy of the recipe."
        ),
    )
    if chosen == CLEANED:
        return recipe
    st.caption(
        f":material/info: The cleaning recipe of this dataset ({plain(effect)}) is not used. Choose"
        " cleaned to train on the cleaned texts."
    )
    return None


def choose_cleaned() -> None:
    """Select the cleaned texts, before the choice is drawn."""
    st.session_state[CHOICE_KEY] = CLEANED


def take_from(store: Store, request: TrainRequest) -> None:
    """Select what a cloned run used if the recipe is unchanged, before the choice is drawn."""
    st.session_state[CHOICE_KEY] = AS_THEY_ARE
    if request.recipe is None:
        return
    try:
        same = (
            read_recipe(store.settings, request.recipe.fingerprint, store.visitor.folder).effect()
            == request.recipe.effect()
        )
    except ArtifactDamaged:
        same = False
    if same:
        choose_cleaned()
    else:
        st.toast(
            "The run used another cleaning recipe; the original texts are selected.",
            icon=":material/info:",
        )


def _button(store: Store, dataset: Dataset, step: Step, key: str) -> None:
    try:
        included = (
            step in read_recipe(store.settings, dataset.fingerprint, store.visitor.folder).steps
        )
    except ArtifactDamaged:
        return  # the recipe section shows the error
    label = f"{_words(step)} (in the recipe)" if included else _words(step)
    change = partial(_with, step=step)
    st.button(
        label,
        key=key,
        icon=":material/build:",
        disabled=included,
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
            return f"Relabel {count(number, 'training texts')} with the suggested label"


def _change(store: Store, fingerprint: str, change: Callable[[Recipe], Recipe]) -> None:
    """Read the recipe again before changing it, as another tab may have changed it."""
    try:
        actions.store_recipe(
            store, change(read_recipe(store.settings, fingerprint, store.visitor.folder))
        )
    except (LoraLabError, OSError) as error:
        st.toast(plain(f"The recipe could not be saved. {error}"), icon=":material/error:")


def _with(recipe: Recipe, step: Step) -> Recipe:
    return recipe.with_step(step)


def _without(recipe: Recipe, step: Step) -> Recipe:
    return recipe.without(recipe.steps.index(step)) if step in recipe.steps else recipe


def offer_upload(store: Store, dataset: Dataset, then: Callable[[], None] | None = None) -> None:
    """Draw the upload of a recipe with its effect, and the button that uses it and calls
    ``then``.
    """
    if not is_allowed(store.visitor, Action.WORK):
        return
    with st.expander(
        translate("Use a recipe from a file"),
        key="recipe-upload",
        type="compact",
        icon=":material/upload:",
    ):
        label = translate(
            "A recipe (JSON) downloaded here, up to {size} MB", size=MAX_BYTES // 1_000_000
        )
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
        present = read_recipe(store.settings, recipe.fingerprint, store.visitor.folder)
    except ArtifactDamaged:  # the error is shown above; the file replaces the damaged recipe
        present = Recipe(fingerprint=recipe.fingerprint)
    if present == recipe:
        st.caption(
            f":material/check: This is already the current recipe: {steps},"
            f" {plain(describe_effect(recipe))}."
        )
        return
    instead = (
        f" It replaces the current recipe ({count(len(present.steps), 'steps')})."
        if present.steps
        else ""
    )
    st.markdown(f"It fits this dataset: {steps}, {plain(describe_effect(recipe))}.{instead}")
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
        actions.store_recipe(store, recipe)
    except (LoraLabError, OSError) as error:
        st.toast(plain(f"The recipe could not be saved. {error}"), icon=":material/error:")
        return
    if then:
        then()
