"""Choice of a model to inspect: a base model, or a run with an adapter."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st

from core.config import RunConfig
from core.errors import LoraLabError
from core.models.catalog import MODELS, ModelLocation, find_model
from core.runs.run import Run
from core.storage.job import Job, JobKind
from core.storage.store import Store
from ui.session import cache

BASE = "base:"  # prefix of the keys of base models


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
            MODELS[self.model.id].title
            if self.model.id in MODELS
            else self.model.id.rstrip("/").rsplit("/", 1)[-1]
        )

    @property
    def adapter(self) -> Path | None:
        """Folder of the run's adapter; None of a base model. Raises ArtifactDamaged."""
        return self.run.adapter if self.run else None


def bases(store: Store) -> list[Subject]:
    """Return every offered base model and the configured one, available or not."""
    hub = cache.hub(store.settings)
    models = [
        find_model(model, store.settings, hub)
        for model in dict.fromkeys([store.settings.model, *MODELS])
    ]
    return [_base(model) for model in models]


def runs(store: Store) -> list[Subject]:
    """Return finished runs with an adapter, newest first.

    Damaged runs are left out; the list of runs shows what is wrong with them.
    """
    return [
        subject
        for job in store.jobs(JobKind.TRAIN)
        if not job.state.active and (subject := _run(store, job))
    ]


def choose(label: str, subjects: Sequence[Subject], key: str) -> Subject:
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
        on_change=_write,
        args=(key,),
    )
    return next((subject for subject in subjects if subject.key == chosen), subjects[0])


def _write(key: str) -> None:
    st.query_params[key] = st.session_state[f"{key}-box"]


def _run(store: Store, job: Job) -> Subject | None:
    run = Run.of(store, job)
    if not run.has_adapter:
        return None
    try:
        run.require_readable()
        classes = run.classes
        model = find_model(run.config.model, store.settings, cache.hub(store.settings))
    except LoraLabError:
        return None
    return Subject(job.id, job.name, model, run.config, run, classes)


def _base(model: ModelLocation) -> Subject:
    name = (
        model.id
        if model.id in MODELS or "@" in model.id
        else model.id.rstrip("/").rsplit("/", 1)[-1]
    )  # no folder in the URL
    subject = Subject(f"{BASE}{name}", "", model, RunConfig(model=model.id))
    return replace(
        subject,
        title=f"{subject.name}, untrained" + ("" if model.available else " (not on this machine)"),
    )
