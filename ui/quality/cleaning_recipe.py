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
from core.translation import mark, translate, translate_plural
from ui import navigation
from ui.session import error_boundary
from ui.session.cache import DataStatus
from ui.session.error_boundary import show
from ui.text import plain

CHOICE_KEY = "data-cleaning"
CHOICE_PARAMETER = "texts"  # in the URL of New run
AS_THEY_ARE, CLEANED = mark("original"), "cleaned"
ONLY_TRAINING = mark(
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
        st.caption(
            translate("No training texts are affected, so there is nothing to fix before a run.")
        )


def offer_for_chosen(store: Store, dataset: Dataset, chosen: pd.DataFrame) -> None:
    """Draw the buttons that relabel or drop the selected label errors."""
    if not is_allowed(store.visitor, Action.WORK):
        return
    steps = [step for step in (relabel(chosen), drop(Check.SUSPECT, chosen)) if step]
    if not steps:
        note = translate(
            "Select training texts in the first column to relabel or drop them, test texts to"
            " dispute their labels."
        )
        held_out = translate("The selected texts are held out and stay unchanged.")
        st.caption(note if chosen.empty else f"{held_out} {note}")
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
    st.markdown(f"#### {translate('Cleaning recipe')}")
    st.caption(translate(ONLY_TRAINING))
    if not recipe.steps:
        st.caption(translate("Empty. Fixes that you choose above are collected here."))
        return
    for number, step in enumerate(recipe.steps):
        with st.container(
            horizontal=True, vertical_alignment="center", key=f"recipe-step-{number}"
        ):
            st.markdown(f"{number + 1}. {plain(_words(step))}: *{plain(translate(step.check))}*")
            st.button(
                translate("Undo"),
                key=f"take-back-{number}",
                icon=":material/undo:",
                on_click=_change,
                args=(store, dataset.fingerprint, partial(_without, step=step)),
            )
    total = translate("Total: {effect}.", effect=plain(describe_effect(recipe)))
    st.markdown(f"**{total}**")
    with st.container(horizontal=True):
        name = f"recipe-{dataset.fingerprint}.json"
        st.download_button(
            translate("Download recipe"),
            to_bytes(recipe),
            name,
            "application/json",
            key="download-recipe",
            icon=":material/download:",
        )
        navigation.link(
            navigation.TRAIN,
            translate("Train on the cleaned data"),
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
        translate("Training texts"),
        (AS_THEY_ARE, CLEANED),
        format_func=lambda choice: (
            translate("cleaned: {effect}", effect=effect)
            if choice == CLEANED
            else translate(AS_THEY_ARE)
        ),
        required=True,
        key=CHOICE_KEY,
        persist_state="session",
        help=translate(
            "The cleaning recipe of the Quality page. Validation and test texts stay unchanged."
            " The run stores its own copy of the recipe."
        ),
    )
    if chosen == CLEANED:
        return recipe
    st.caption(
        ":material/info: "
        + translate(
            "The cleaning recipe of this dataset ({effect}) is not used. Choose cleaned to train on"
            " the cleaned texts.",
            effect=plain(effect),
        )
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
            translate("The run used another cleaning recipe; the original texts are selected."),
            icon=":material/info:",
        )


def _button(store: Store, dataset: Dataset, step: Step, key: str) -> None:
    try:
        included = (
            step in read_recipe(store.settings, dataset.fingerprint, store.visitor.folder).steps
        )
    except ArtifactDamaged:
        return  # the recipe section shows the error
    label = translate("{fix} (in the recipe)", fix=_words(step)) if included else _words(step)
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
            return translate_plural("Drop {n:,} training text", "Drop {n:,} training texts", number)
        case Fix.KEEP_ONE:
            return translate_plural(
                "Keep one of each: drop {n:,} training text",
                "Keep one of each: drop {n:,} training texts",
                number,
            )
        case Fix.REPAIR:
            return translate_plural(
                "Repair {n:,} training text", "Repair {n:,} training texts", number
            )
        case _:
            return translate_plural(
                "Relabel {n:,} training text with the suggested label",
                "Relabel {n:,} training texts with the suggested label",
                number,
            )


def _change(store: Store, fingerprint: str, change: Callable[[Recipe], Recipe]) -> None:
    """Read the recipe again before changing it, as another tab may have changed it."""
    try:
        actions.store_recipe(
            store, change(read_recipe(store.settings, fingerprint, store.visitor.folder))
        )
    except (LoraLabError, OSError) as error:
        st.toast(
            plain(f"{translate('The recipe could not be saved.')} {error}"),
            icon=":material/error:",
        )


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
    steps = translate_plural("{n:,} step", "{n:,} steps", len(recipe.steps))
    effect = plain(describe_effect(recipe))
    try:
        present = read_recipe(store.settings, recipe.fingerprint, store.visitor.folder)
    except ArtifactDamaged:  # the error is shown above; the file replaces the damaged recipe
        present = Recipe(fingerprint=recipe.fingerprint)
    if present == recipe:
        st.caption(
            ":material/check: "
            + translate(
                "This is already the current recipe: {steps}, {effect}.", steps=steps, effect=effect
            )
        )
        return
    lines = [
        translate("It fits this dataset: {steps}, {effect}.", steps=steps, effect=effect),
        translate_plural(
            "It replaces the current recipe ({n:,} step).",
            "It replaces the current recipe ({n:,} steps).",
            len(present.steps),
        )
        if present.steps
        else "",
    ]
    st.markdown(" ".join(lines))
    st.button(
        translate("Use this recipe"),
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
        st.toast(
            plain(f"{translate('The recipe could not be saved.')} {error}"),
            icon=":material/error:",
        )
        return
    if then:
        then()
