"""Summary next to the form: trained parameters, cost, findings with their fixes, and Start.

The cost is based on a measurement of this machine, which can be started here.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from core import charts
from core.access import Action, Role, is_allowed
from core.config import ConfigFields, Precision, RunConfig
from core.data.recipe import Recipe, read_recipe, trained_fingerprint
from core.errors import ConfigError, LoraLabError, NotEnoughRoom
from core.estimate.checks import ConfigFinding, Severity, blocks, check
from core.estimate.estimate import Estimate
from core.estimate.inputs import DataFacts, ModelFacts, model_facts
from core.jobs import launching
from core.lesson.lesson_file import Spoiler
from core.models.catalog import ModelLocation
from core.models.model_shape import ModuleCount, count_trainable
from core.people.classroom import read_rules
from core.presets import DataSize, Preset, make_config
from core.runs.limits import BOUNDED, describe_limits, require_config_allowed
from core.runs.local_estimate import estimate_locally
from core.runs.requests import CalibrateRequest, TrainRequest
from core.storage.job import UNFINISHED, JobState
from core.storage.resources import MIN_FREE_MB, MIN_MEMORY_MB, require_resources
from core.storage.store import Store
from core.translation import (
    format_number,
    localize,
    mark,
    translate,
    translate_plural,
    translate_recorded,
)
from ui.lesson import hiding
from ui.session import cache
from ui.session.cache import DataStatus
from ui.session.error_boundary import show
from ui.text import format_duration, format_megabytes, plain
from ui.train import form, launch
from ui.widgets import chart_view, job_panel, model_picker, tables
from ui.widgets.job_panel import PanelWords, StartButton

BUTTON = "launch"
USUAL_CLASSES = 4  # AG News; the head is small for any number of classes
LOOKS = {
    Severity.ERROR: (":material/error:", "red"),
    Severity.WARNING: (":material/warning:", "orange"),
    Severity.INFO: (":material/info:", "blue"),
}
MEASURE = mark("Measure this machine")


def draw(
    store: Store,
    status: DataStatus,
    values: ConfigFields,
    preset: Preset,
    recipe: Recipe | None = None,
) -> None:
    """Draw the summary of a run with the chosen values and cleaning recipe."""
    st.markdown(f"##### {translate('What this run will do')}")
    try:
        config = make_config(None, {**values, "model": values["model"] or "unnamed"})
        location = model_picker.find(str(values["model"]), store)
        model = model_facts(location)
        data = _read_data(status, recipe, location)
    except LoraLabError as error:
        show(error)
        _draw_launch(store, status, None, preset, recipe)
        return
    findings = check(config, data, model) if data else _without_data(model)
    if hiding.is_hidden(store, Spoiler.PARAMETERS):
        hiding.draw_notice(Spoiler.PARAMETERS, "hidden-parameters")
    else:
        _draw_trained(config, data, model)
    expected = None
    if data and status.dataset:
        expected = _draw_cost(
            config, data, model, store, trained_fingerprint(status.dataset.fingerprint, recipe)
        )
    size = cache.read_size(store, status)
    allowed = _draw_limits(store, config, expected, size)
    draw_findings(findings)
    if changed := form.changes(values, form.preset_values(preset, size)):
        st.caption(
            translate_plural(
                "{n} setting differs from the {preset} preset.",
                "{n} settings differ from the {preset} preset.",
                len(changed),
                preset=preset.capitalize(),
            )
        )
    _draw_launch(store, status, None if blocks(findings) or not allowed else config, preset, recipe)


def launch_clicked(store: Store, status: DataStatus) -> None:
    """Launch the run of a click on Start before the page is drawn, which no one would see.

    Does nothing where anything stands in the way, or where texts may be cleaned: the drawn page
    then launches the run or shows the problem.
    """
    if not st.session_state.get(BUTTON) or status.dataset is None or status.source is None:
        return
    try:
        preset = Preset(st.session_state["preset"])
        values = form.read()
        config = make_config(None, {**values, "model": values["model"] or "unnamed"})
        location = model_picker.find(config.model, store)
        data = _read_data(status, None, location)
        if (
            read_recipe(store.settings, status.dataset.fingerprint, store.visitor.folder).steps
            or data is None
            or blocks(check(config, data, model_facts(location)))
        ):
            return
        renames = is_allowed(store.visitor, Action.RENAME, store.visitor.id)
        request = TrainRequest(
            config=config,
            source=status.source,
            preset=preset,
            guess=_to_proportion(st.session_state.get("guess")),
        )
        name = str(st.session_state.get("run-name", "")) if renames else ""
        launch.launch(store, request, button=BUTTON, name=name)
    except (LoraLabError, ValueError):
        return


def _read_data(
    status: DataStatus, recipe: Recipe | None, location: ModelLocation
) -> DataFacts | None:
    if status.dataset is None:
        return None
    unknown = cache.read_unknown(status.dataset, location.folder if location.available else None)
    return replace(cache.read_facts(status.dataset, recipe), unknown=unknown)


def _draw_limits(
    store: Store, config: RunConfig, expected: Estimate | None, size: DataSize | None
) -> bool:
    """Draw the visitor's limits and return whether this run is within them."""
    if store.visitor.role not in BOUNDED:
        return True
    if store.visitor.role is Role.STUDENT:
        st.caption(describe_limits(read_rules(store)))
    try:
        require_config_allowed(store, config, expected, size=size)
    except LoraLabError as error:
        show(error)
        return False
    return True


def _without_data(model: ModelFacts) -> list[ConfigFinding]:
    """Return the findings that do not need prepared data."""
    if model.available:
        return []
    return [
        ConfigFinding(
            Severity.ERROR, "model", f"{model.id or 'The model'} is not available: {model.reason}"
        )
    ]


def _draw_trained(config: RunConfig, data: DataFacts | None, model: ModelFacts) -> None:
    modules = _count(config, data, model)
    if modules is None or model.shape is None:
        return
    trained = sum(module.parameters for module in modules)
    counts = trained, model.shape.parameters + trained
    chart_view.draw(
        chart_view.share(("trainable", *counts), lambda: charts.draw_trainable_bar(*counts)),
        key="trainable",
        twin=False,
    )
    table: Any = tables.share(("by module", *modules), lambda: _tabulate(modules))
    with st.expander(
        translate("By module"), key="by-module", type="compact", icon=":material/table:"
    ):
        st.dataframe(table, hide_index=True, height="content", key="by-module-table")


def _tabulate(modules: Sequence[ModuleCount]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                translate("module"): module.name,
                translate("size"): module.shape,
                translate("parameters"): module.parameters,
            }
            for module in modules
        ]
    )


def _count(
    config: RunConfig, data: DataFacts | None, model: ModelFacts
) -> list[ModuleCount] | None:
    if model.shape is None:
        if model.available:
            st.caption(
                translate(
                    "The number of trained parameters is known once the model is on this machine."
                )
            )
        return None
    try:
        return count_trainable(model.shape, config, data.classes if data else USUAL_CLASSES)
    except ConfigError:
        return None  # a finding names the module that does not exist


def _draw_launch(
    store: Store,
    status: DataStatus,
    config: RunConfig | None,
    preset: Preset,
    recipe: Recipe | None,
) -> None:
    name, guess = _draw_inputs(store)
    if status.source is None:
        st.caption(translate("There is no data to train on. See Home for the reason."))
    elif status.dataset is None:
        st.caption(
            translate(
                "{data} is not prepared yet. The run will prepare it first, and fit the preset to"
                " its number of rows.",
                data=plain(status.source.name),
            )
        )
    allowed = is_allowed(store.visitor, Action.LAUNCH)
    if not allowed:
        st.caption(
            translate(
                "This public page does not train. Install LoRA Lab on your own machine to start"
                " this run."
            )
        )
    ready = config is not None and status.source is not None and allowed
    if (
        launch.draw_button(translate("Start"), BUTTON, disabled=not ready)
        and config
        and status.source
    ):
        request = TrainRequest(
            config=config,
            source=status.source,
            preset=preset,
            recipe=recipe,
            guess=_to_proportion(guess),
            fitted_later=() if status.dataset else form.list_unchanged(config.model_dump(), preset),
        )
        launch.launch(store, request, button=BUTTON, name=name)


def _draw_inputs(store: Store) -> tuple[str, float | None]:
    """Draw the inputs of the run's name and of a guess, and return both."""
    with st.container(horizontal=True):
        name = ""
        if is_allowed(store.visitor, Action.RENAME, store.visitor.id):
            name = st.text_input(
                translate("Name"),
                placeholder=translate("Automatic"),
                help=translate("Leave empty for an automatic name."),
                max_chars=120,
                key="run-name",
            )
        guess = st.number_input(
            translate("Your guess (accuracy, %)"),
            0.0,
            100.0,
            None,
            format="%.1f",
            placeholder=translate("e.g. 85"),
            key="guess",
            help=translate(
                "The accuracy you expect on the test texts. It is stored with the run and compared"
                " with the result."
            ),
        )
    return name, guess


def _to_proportion(guess: float | None) -> float | None:
    return None if guess is None else guess / 100


def draw_findings(findings: Sequence[ConfigFinding]) -> None:
    """Draw one line per finding with a button that applies its fix to the form."""
    for number, finding in enumerate(findings):
        icon, color = LOOKS[finding.level]
        with st.container(key=f"finding-{number}", gap="xxsmall"):
            st.markdown(f":{color}[{icon} **{finding.level.word}**] {plain(finding.message)}")
            if finding.fix:
                st.button(
                    plain(finding.fix_label),
                    key=f"fix-{finding.field}-{number}",
                    on_click=form.fill,
                    args=(finding.fix,),
                    icon=":material/build:",
                )


def _draw_cost(
    config: RunConfig, data: DataFacts, model: ModelFacts, store: Store, fingerprint: str
) -> Estimate:
    """Draw steps, time with its range, and memory; return the estimate."""
    expected = estimate_locally(store, config, data, model, fingerprint)
    with st.grid(3, min_column_width=90, key="cost"):
        likely = format_duration(expected.likely_seconds)
        _figure(translate("Steps"), format_number(expected.steps, ","))
        _figure(translate("Time"), translate("about {time}", time=likely))
        _figure(translate("Memory"), localize(format_megabytes(expected.memory_mb)))
    st.caption(
        translate(
            "Between {low} and {high} in total; {source}. Precision: {precision}. Disk space:"
            " {disk}.",
            low=format_duration(expected.low_seconds),
            high=format_duration(expected.high_seconds),
            source=plain(expected.source),
            precision=expected.precision,
            disk=localize(format_megabytes(expected.disk_mb)),
        )
    )
    try:
        require_resources(
            store.settings,
            max(MIN_FREE_MB, expected.disk_mb),
            max(MIN_MEMORY_MB, expected.memory_mb),
        )
    except NotEnoughRoom as error:
        # only a warning: memory may be free again when the run starts and checks
        st.warning(f"{plain(error.message)} {plain(error.fix)}", icon=":material/memory:")
    if model.available and not expected.measured:
        draw_measurement(store, config.model, config.precision)
    return expected


def _figure(label: str, value: str) -> None:
    with st.container(gap=None):
        st.caption(label)
        st.markdown(f"**{value}**")


def draw_measurement(store: Store, model_id: str, precision: Precision) -> None:
    """Draw the measurement of a model that has not been measured here in this precision."""
    request = CalibrateRequest(model=model_id, precision=precision)
    job = launching.find_latest(store, request)
    if job is not None and not job.state.is_finished:
        job_panel.draw(store, job, PanelWords("stop-measure"))
        return
    if job is not None and job.state is not JobState.COMPLETED:
        why = (
            translate_recorded(job.message) or translate("It made way for a run.")
            if job.state is not JobState.CANCELLED
            else translate("It was stopped, or made way for a run.")
        )
        st.caption(f"{translate('The last measurement did not finish.')} {plain(why)}")
    busy = bool(store.list_jobs(states=UNFINISHED))
    help_text = translate(
        "Times a few real steps of this model, which takes about ten seconds. Estimates then use"
        " this machine's speed."
    )
    job_panel.draw_start(
        StartButton(
            translate(MEASURE),
            "measure",
            lambda: launching.launch(store, request, request.model),
            icon=":material/speed:",
            help=translate("Another job is running, which would distort the measurement.")
            if busy
            else help_text,
            disabled=busy,
        )
    )
