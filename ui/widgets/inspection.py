"""Choice of a model to inspect (a base model or a run with an adapter) and of a text for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import streamlit as st

from core.config import RunConfig
from core.data.dataset import SPLITS, Dataset
from core.data.sources import Split
from core.errors import LoraLabError
from core.models.catalog import MODELS, ModelLocation, find_model
from core.runs.run import Run
from core.storage.job import Job, JobKind
from core.storage.store import Store
from core.translation import translate
from ui.session import cache

BASE = "base:"  # prefix of the keys of base models
TEXT_KEY, ROW_KEY, SPLIT_KEY = "own-text", "own-row", "own-split"
LONGEST_TEXT = 20_000
EXAMPLE_TEXT = (
    "Tokenization splits rare words: the Kazakhstani striker's unbelievable header won the"
    " semi-final 3-2."
)


@dataclass(frozen=True)
class Subject:
    """A base model or, with ``run``, that run's adapter on it; ``key`` identifies it in the URL."""

    key: str
    title: str
    model: ModelLocation
    config: RunConfig
    run: Run | None = None
    classes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Name of the base model."""
        return (
            translate(MODELS[self.model.id].title)
            if self.model.id in MODELS
            else self.model.id.rstrip("/").rsplit("/", 1)[-1]
        )

    @property
    def adapter(self) -> Path | None:
        """Folder of the run's adapter; None of a base model.

        Raises ArtifactDamaged, and ModelUnavailable if the base model has changed.
        """
        if self.run is None:
            return None
        self.run.require_same_base(self.model)
        return self.run.adapter


def list_base_models(store: Store) -> list[Subject]:
    """Return every offered base model and the configured one, available or not."""
    hub = cache.is_hub_reachable(store.settings)
    models = [
        find_model(model, store.settings, hub)
        for model in dict.fromkeys([store.settings.model, *MODELS])
    ]
    return [_make_base_subject(model) for model in models]


def list_runs(store: Store) -> list[Subject]:
    """Return finished runs with an adapter, newest first.

    Damaged runs are left out; the list of runs shows what is wrong with them.
    """
    return [
        subject
        for job in store.list_jobs(JobKind.TRAIN)
        if not job.state.is_active and (subject := _make_run_subject(store, job))
    ]


def choose_subject(label: str, subjects: Sequence[Subject], key: str) -> Subject:
    """Draw a selectbox of ``subjects`` (at least one) and return the chosen one.

    The URL decides by key, so that a link to a run survives renaming it.
    """
    titles = {subject.key: subject.title for subject in subjects}
    requested = st.query_params.get(key, "")
    st.session_state[f"{key}-box"] = requested if requested in titles else subjects[0].key
    chosen = st.selectbox(
        label,
        list(titles),
        format_func=lambda name: titles.get(name, name),
        key=f"{key}-box",
        on_change=_write_subject,
        args=(key,),
    )
    return next((subject for subject in subjects if subject.key == chosen), subjects[0])


def _write_subject(key: str) -> None:
    st.query_params[key] = st.session_state[f"{key}-box"]


def _make_run_subject(store: Store, job: Job) -> Subject | None:
    run = Run.of(store, job)
    if not run.has_adapter:
        return None
    try:
        run.require_readable()
        classes = run.classes
        model = find_model(run.config.model, store.settings, cache.is_hub_reachable(store.settings))
    except LoraLabError:
        return None
    return Subject(job.id, job.name, model, run.config, run, classes)


def _make_base_subject(model: ModelLocation) -> Subject:
    # no folder in the URL
    name = (
        model.id
        if model.id in MODELS or "@" in model.id
        else model.id.rstrip("/").rsplit("/", 1)[-1]
    )
    subject = Subject(f"{BASE}{name}", "", model, RunConfig(model=model.id))
    return replace(
        subject,
        title=translate(
            "{model}, untrained" if model.available else "{model}, untrained (not on this machine)",
            model=subject.name,
        ),
    )


def choose_text(dataset: Dataset | None) -> str:
    """Draw the text box and the controls that fill it from a row of the data."""
    st.session_state.setdefault(TEXT_KEY, EXAMPLE_TEXT)
    text = st.text_area(
        translate("Text"), key=TEXT_KEY, height=110, max_chars=LONGEST_TEXT, persist_state="session"
    )
    if dataset is None:
        return text
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        split = st.selectbox(
            translate("Split"), SPLITS, format_func=translate, key=SPLIT_KEY, width=140
        )
        rows = dataset.rows(split)
        st.number_input(
            translate("Or use row"),
            0,
            max(rows - 1, 0),
            None,
            key=ROW_KEY,
            width=190,
            placeholder=translate("0 to {last:,}", last=rows - 1),
        )
        st.button(
            translate("Use this row"),
            key="take-row",
            icon=":material/input:",
            on_click=_take_row,
            args=(dataset, split),
        )
    return text


def _take_row(dataset: Dataset, split: Split) -> None:
    position = st.session_state.get(ROW_KEY)
    (text,) = dataset.take_texts(split, np.array([int(position or 0)]))
    st.session_state[TEXT_KEY] = text[:LONGEST_TEXT]
