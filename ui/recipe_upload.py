"""A cleaning recipe from a file takes the place of the one in the making, once it is known to fit the data."""

from collections.abc import Callable

import streamlit as st

from core.access import Action, may
from core.data.cleaning import require_fitting
from core.data.dataset import Dataset
from core.data.recipe import MAX_BYTES, Recipe, describe_effect, parse_recipe, read_recipe
from core.errors import ArtifactDamaged, LoraLabError
from core.jobs import actions
from core.store import Store
from ui.boundary import show
from ui.words import count, plain


def offer(store: Store, dataset: Dataset, then: Callable[[], None] | None = None) -> None:
    """A place for the file, what it would do, and the button that takes it and does what comes ``then``."""
    if not may(store.visitor, Action.WORK):
        return
    with st.expander("Use a recipe from a file", key="recipe-upload", type="compact", icon=":material/upload:"):
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
        st.caption(f":material/check: It is the present recipe of these data: {steps}, {plain(describe_effect(recipe))}.")
        return
    instead = f" It takes the place of the {count(len(present.steps), 'steps')} chosen so far." if present.steps else ""
    st.markdown(f"It fits these data: {steps}, {plain(describe_effect(recipe))}.{instead}")
    st.button("Use this recipe", key="use-recipe", type="primary", icon=":material/check:", on_click=_use, args=(store, recipe, then))


def _use(store: Store, recipe: Recipe, then: Callable[[], None] | None) -> None:
    try:
        actions.keep_recipe(store, recipe)
    except (LoraLabError, OSError) as error:
        st.toast(plain(f"The recipe could not be kept. {error}"), icon=":material/error:")
        return
    if then:
        then()
