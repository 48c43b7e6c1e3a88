"""The Home page: three status cards, the workflow in five steps, and the short first run."""

from collections.abc import Sequence

import streamlit as st

from core.access import Action, Mode, is_allowed
from core.config import RunConfig
from core.data.sources import SourceKind
from core.estimate.estimate import estimate
from core.estimate.inputs import model_facts
from core.lesson import open_lesson
from core.lesson.lesson_file import Spoiler, list_bundled
from core.models.catalog import MODELS, ModelLocation, find_model
from core.presets import FITTED, Preset, describe_preset, make_config
from core.runs.allowed_presets import find_seed
from core.runs.local_estimate import find_speed
from core.runs.requests import TrainRequest
from core.settings import count_cores, read_memory_mb
from core.storage.store import Store
from core.translation import (
    localize,
    mark,
    read_language,
    translate,
    translate_plural,
    translate_recorded,
)
from ui import navigation
from ui.lesson import hiding
from ui.session import cache
from ui.session.cache import DataStatus
from ui.text import format_megabytes, plain
from ui.train import launch, launch_summary
from ui.widgets import job_panel

STEPS = (
    (
        navigation.EXPLORE,
        mark(
            "See what the texts look like, how the classes are balanced and how long the texts are."
        ),
    ),
    (
        navigation.TRAIN,
        mark(
            "Choose a preset, adjust a few settings, and see the estimated cost before you start."
        ),
    ),
    (
        navigation.RUNS,
        mark(
            "Watch the loss decrease while the run trains in the background, even with this page"
            " closed."
        ),
    ),
    (
        navigation.EVALUATE,
        mark("See which texts the model classifies correctly and which it does not."),
    ),
    (
        navigation.CLASSIFY,
        mark("Enter your own text and see how the model classifies it."),
    ),
)
SOURCES = {
    SourceKind.FOLDER: mark("{name}, from a folder on this machine"),
    SourceKind.SAVED: mark("{name}, from a saved dataset"),
    SourceKind.HUB: mark("{name}, from the Hugging Face Hub"),
    SourceKind.DEMO: mark("{name}, from the bundled demo corpus"),
}


def draw_loop() -> None:
    """Draw the workflow, one linked step with a sentence each."""
    with st.grid(5, min_column_width=180, key="loop"):
        for number, (file, sentence) in enumerate(STEPS, start=1):
            with st.container(gap="xxsmall"):
                navigation.link(file, f"{number} {translate(navigation.ENTRIES[file].title)}")
                st.caption(translate(sentence))


def draw_cards(store: Store, status: DataStatus, models: Sequence[ModelLocation]) -> None:
    """Draw whether data, model and machine are ready."""
    with st.grid(3, min_column_width=260, key="cards"):
        with st.container(border=True, height="stretch", gap="xsmall", key="card-data"):
            _draw_data(store, status)
        with st.container(border=True, height="stretch", gap="xsmall", key="card-model"):
            _draw_models(models)
        with st.container(border=True, height="stretch", gap="xsmall", key="card-machine"):
            _draw_machine(store, status, models)


def find_models(store: Store) -> list[ModelLocation]:
    """Look up every offered base model and the configured one."""
    hub = cache.is_hub_reachable(store.settings)
    return [
        find_model(model, store.settings, hub)
        for model in dict.fromkeys([store.settings.model, *MODELS])
    ]


def draw_taste(store: Store, status: DataStatus, models: Sequence[ModelLocation]) -> None:
    """Draw the start of the short first run, which takes about a minute."""
    model = next((model for model in models if model.available), None)
    size = cache.read_size(store, status)
    ready = (
        model is not None and status.source is not None and is_allowed(store.visitor, Action.LAUNCH)
    )
    with st.container(horizontal=True, vertical_alignment="center", key="taste"):
        if (
            launch.draw_button(translate("Start a Taste run"), "taste-run", disabled=not ready)
            and model
            and status.source
        ):
            request = TrainRequest(
                config=make_config(
                    Preset.TASTE, {"model": model.id, "seed": find_seed(store.visitor)}, size
                ),
                source=status.source,
                preset=Preset.TASTE,
                fitted_later=() if size else FITTED,
            )
            launch.launch(store, request, button="taste-run")
        hidden = hiding.is_hidden(store, Spoiler.PRESETS)
        described = "" if hidden else f"{plain(describe_preset(Preset.TASTE, size))} "
        background = translate("It runs in the background; you can close the page.")
        st.caption(f"{described}{background}", width="content")


def draw_tour(store: Store) -> None:
    """Offer the guided tour in local mode, until it has been opened once."""
    if store.settings.mode != Mode.LOCAL or open_lesson.list_delivered(store):
        return
    with st.container(horizontal=True, vertical_alignment="center", key="tour"):
        if st.button(
            translate("Take the guided tour"), key="tour-start", icon=":material/menu_book:"
        ):
            open_lesson.start_lesson(store, list_bundled(read_language())["tour"])
            st.rerun()
        st.caption(translate("20 minutes at your own pace, next to the pages."), width="content")


def _draw_data(store: Store, status: DataStatus) -> None:
    dataset = status.dataset
    _title(translate("Data"), ready=dataset is not None)
    if dataset is None:
        job_panel.draw_preparation(store, status, primary=False)
        return
    st.markdown(translate(SOURCES[dataset.source], name=f"**{plain(dataset.name)}**"))
    facts = translate(
        "{train:,} training rows, {validation:,} of them for validation; {test:,} test rows;"
        " {classes:,} classes. Fingerprint {fingerprint}.",
        train=dataset.train_rows,
        validation=dataset.validation_rows,
        test=dataset.test_rows,
        classes=len(dataset.classes),
        fingerprint=f"`{dataset.fingerprint}`",
    )
    st.caption(facts)
    for note in dict.fromkeys(
        [*([status.source.note] if status.source and status.source.note else []), *dataset.notes]
    ):
        st.caption(plain(translate_recorded(note)))


def _draw_models(models: Sequence[ModelLocation]) -> None:
    _title(translate("Model"), ready=any(model.available for model in models))
    for model in models:
        icon = ":material/check:" if model.available else ":material/block:"
        name = f"**{plain(model.id)}**"
        if model.id in MODELS:
            millions = MODELS[model.id].parameters / 1e6
            name = translate("{name}, {millions:.1f} M parameters", name=name, millions=millions)
        st.markdown(f"{icon} {name}")
        st.caption(plain(translate_recorded(model.reason)))


def _draw_machine(store: Store, status: DataStatus, models: Sequence[ModelLocation]) -> None:
    """Draw cores, memory, and the training speed of the first available model on this data."""
    _title(translate("Machine"), ready=True)
    cores = translate_plural("{n:,} core", "{n:,} cores", count_cores())
    st.markdown(
        translate(
            "{cores}, {memory} of memory",
            cores=f"**{cores}**",
            memory=localize(format_megabytes(read_memory_mb())),
        )
    )
    model = next((model for model in models if model.available), None)
    if model is None or status.dataset is None:
        st.caption(translate("The training speed is known once data and model are ready."))
        return
    config = RunConfig(model=model.id)
    data, facts = cache.read_facts(status.dataset), model_facts(model)
    speed = find_speed(store, config, facts)
    pace = data.used_rows(config) / estimate(config, data, facts, speed).step_seconds
    rate = translate("About {rows:.0f} rows/s", rows=pace)
    st.markdown(
        translate("{rate} when training {model}", rate=f"**{rate}**", model=plain(model.id))
    )
    st.caption(translate("Speed: {source}.", source=plain(translate_recorded(speed.source))))
    if not speed.measured:
        launch_summary.draw_measurement(store, config.model, config.precision)


def _title(text: str, ready: bool) -> None:
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"
    ):
        st.markdown(f"##### {text}", width="content")
        st.badge(
            translate("Ready") if ready else translate("Not ready"),
            icon=":material/check:" if ready else ":material/pending:",
            color="green" if ready else "orange",
        )
