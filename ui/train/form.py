"""The form of a run, generated from ``RunConfig``, and how it is filled from a preset, a run or a
time budget.
"""

from collections.abc import Callable

import streamlit as st

from core.access import Role
from core.config import (
    ConfigFields,
    ConfigValue,
    Group,
    RunConfig,
    find_bounds,
    find_display,
    list_choices,
)
from core.data.recipe import Recipe
from core.errors import LoraLabError
from core.estimate.budget import BudgetProposal, propose
from core.estimate.inputs import model_facts
from core.lesson.lesson_file import Spoiler
from core.presets import (
    FITTED,
    DataSize,
    Preset,
    describe_preset,
    make_config,
    parse_assignments,
)
from core.runs.allowed_presets import PresetChoice, find_largest_allowed, find_seed
from core.runs.local_estimate import estimate_locally, find_speed, list_outcomes
from core.runs.requests import read_train_request
from core.storage.store import Store
from core.translation import translate
from ui.lesson import hiding
from ui.quality import cleaning_recipe
from ui.session import cache, drafts
from ui.session.cache import DataStatus, read_facts
from ui.session.error_boundary import show
from ui.text import ALL_AT_ZERO, plain
from ui.widgets import model_picker

SIZE_KEY = "filled-for-size"
# increments of fractions with a default below COARSE, and of all others
FINE, COARSE = (
    1e-4,
    0.01,
)
BUDGET_KEY = "budget"
MINUTES = (5, 15, 45)
NO_LIMIT = 0
BUDGETED = (
    "train_rows",
    "epochs",
    "batch_size",
    "evaluation_interval",
    "validation_rows",
    "test_rows",
)


def fill(values: ConfigFields) -> None:
    """Set the widgets to ``values``, before they are drawn."""
    for name, value in values.items():
        if name == "model":
            model_picker.fill(str(value))
        else:
            st.session_state[_key(name)] = _for_widget(name, value)


def fill_missing(values: ConfigFields) -> None:
    """Set the widgets that have no value yet."""
    known = {
        name
        for name in values
        if (model_picker.KEY if name == "model" else _key(name)) in st.session_state
    }
    fill({name: value for name, value in values.items() if name not in known})


def draw(preset_values: ConfigFields, store: Store) -> dict[str, ConfigValue]:
    """Draw all fields by group and return their values; changed fields show the preset's value."""
    values: dict[str, ConfigValue] = {}
    for group in Group:
        st.markdown(f"##### {translate(group.value)}")
        names = [name for name in RunConfig.model_fields if find_display(name).group is group]
        basic = [name for name in names if find_display(name).basic]
        if "model" in basic:
            values["model"] = model_picker.draw(store)
        values |= _draw_fields(basic, preset_values, f"basic-{group}")
        if more := [name for name in names if name not in basic]:
            with st.expander(_more_label(more, preset_values), key=f"more-{group}", type="compact"):
                values |= _draw_fields(more, preset_values, f"more-{group}-fields")
    return values


def read() -> dict[str, ConfigValue]:
    """Return the values of all widgets, before or after they are drawn."""
    return {
        name: model_picker.read() if name == "model" else st.session_state[_key(name)]
        for name in RunConfig.model_fields
    }


def draw_preset(
    store: Store,
    allowed: PresetChoice | None,
    size: DataSize | None,
    then: Callable[[], None],
) -> Preset:
    """Draw the choice of a preset, which fills the form for data of ``size`` and calls ``then``.

    A student also sees why the class does not allow larger ones, and that the seed is their own.
    """
    chosen = st.segmented_control(
        translate("Start from"),
        list(Preset),
        format_func=str.capitalize,
        required=True,
        key="preset",
        on_change=_on_preset,
        args=(size, then),
        persist_state="session",
    )
    preset = Preset(chosen or Preset.QUICK)
    if hiding.is_hidden(store, Spoiler.PRESETS):
        hiding.draw_notice(Spoiler.PRESETS, "hidden-presets")
        return preset
    st.caption(plain(describe_preset(preset, size)))
    if allowed:
        for name, reason in allowed.refused:
            refused = translate("{preset} is not offered first here:", preset=name.capitalize())
            st.caption(f"{refused} {plain(reason)}")
        seed = find_seed(store.visitor)
        if st.session_state.get(_key("seed")) == seed:
            own = translate(
                "Seed {seed} is your own, so that everyone trains another run.", seed=str(seed)
            )
            st.caption(own)
    return preset


def _find_allowed(store: Store, status: DataStatus, size: DataSize | None) -> PresetChoice | None:
    """Find the largest preset for a student; None for others, and before data are prepared."""
    dataset = status.dataset
    if store.visitor.role is not Role.STUDENT or dataset is None or size is None:
        return None
    facts, model = read_facts(dataset), model_facts(model_picker.find(store.settings.model, store))
    return find_largest_allowed(
        store,
        size,
        store.settings.model,
        lambda config: estimate_locally(store, config, facts, model, dataset.fingerprint),
    )


def changes(values: ConfigFields, preset_values: ConfigFields) -> list[str]:
    """Return the names of the fields that differ from the preset; the model never counts."""
    return [name for name in values if name != "model" and _differs(name, preset_values)]


def list_unchanged(values: ConfigFields, preset: Preset) -> tuple[str, ...]:
    """List the fields that depend on the data and still have the preset's value without data."""
    changed = changes(values, preset_values(preset, None))
    return tuple(name for name in FITTED if name not in changed)


def _on_preset(size: DataSize | None, then: Callable[[], None]) -> None:
    fill_from_preset(size)
    then()


def fill_from_preset(size: DataSize | None) -> None:
    """Fill the widgets from the chosen preset for data of ``size``."""
    fill(preset_values(Preset(st.session_state["preset"]), size))


def preset_values(preset: Preset, size: DataSize | None) -> dict[str, ConfigValue]:
    """Return the preset's value of each field for data of ``size``, except model and seed, which
    no preset sets.
    """
    return make_config(preset, None, size).model_dump(exclude={"model", "seed"})


def _follow_data(size: DataSize | None) -> None:
    """After other data were chosen, update the fields that still have the preset's value."""
    filled_for = st.session_state.get(SIZE_KEY, size)
    st.session_state[SIZE_KEY] = size
    if filled_for == size:
        return
    preset = Preset(st.session_state["preset"])
    earlier, values = preset_values(preset, filled_for), preset_values(preset, size)
    fill({name: values[name] for name in values if not _differs(name, earlier)})


def _draw_fields(names: list[str], preset_values: ConfigFields, key: str) -> dict[str, ConfigValue]:
    switches = [name for name in names if RunConfig.model_fields[name].annotation is bool]
    others = [name for name in names if name not in switches and name != "model"]
    with st.grid(3, min_column_width=140, vertical_alignment="bottom", key=key):
        values = {name: _draw_field(name, preset_values) for name in others}
    return values | {name: _draw_field(name, preset_values) for name in switches}


def _draw_field(name: str, preset_values: ConfigFields) -> ConfigValue:
    field, key = RunConfig.model_fields[name], _key(name)
    label, help_text = _label(name, preset_values), translate(field.description or "")
    if options := list_choices(name):
        return st.selectbox(label, options, help=help_text, key=key, persist_state="session")
    if field.annotation is bool:
        return _draw_switch(label, help_text, key, find_display(name).why_not())
    low, high = find_bounds(name)
    if field.annotation is int:
        return st.number_input(
            label,
            int(low or 0),
            int(high or 2**31),
            step=1,
            help=help_text,
            key=key,
            persist_state="session",
        )
    if field.annotation is float:
        step = 1.0 if high and high > 1 else FINE if float(str(field.default)) < COARSE else COARSE
        return st.number_input(
            label,
            float(low or 0),
            float(high or 1e9),
            step=step,
            format="%g",
            help=help_text,
            key=key,
            persist_state="session",
        )
    return st.text_input(
        label,
        placeholder=translate("model default"),
        help=help_text,
        key=key,
        persist_state="session",
    )


def _draw_switch(label: str, help_text: str | None, key: str, why_not: str) -> bool:
    """Draw a toggle; on a machine without support it gives the reason and can only be turned
    off.
    """
    off = bool(why_not) and not st.session_state.get(key)
    chosen = st.toggle(label, help=help_text, key=key, persist_state="session", disabled=off)
    if why_not:
        reason = translate("Not on this machine: it {reason}.", reason=translate(why_not))
        st.caption(f":material/block: {plain(reason)}")
    return chosen


def _label(name: str, preset_values: ConfigFields) -> str:
    english, unit = str(RunConfig.model_fields[name].title), find_display(name).unit
    label = translate(english)
    if unit and unit.casefold() not in english.casefold():
        label = f"{label} ({translate(unit)})"
    if _is_all(name, st.session_state.get(_key(name))):
        label = f"{label} · {translate('all')}"
    if name not in preset_values or not _differs(name, preset_values):
        return label
    value = _for_widget(name, preset_values[name])
    if isinstance(value, bool):
        text = translate("on" if value else "off")
    elif _is_all(name, value):
        text = translate("all")
    else:
        text = f"{value:g}" if isinstance(value, float) else f"{value}" or translate("empty")
    return f"{label} :orange[· {translate('preset {value}', value=plain(text))}]"


def _is_all(name: str, value: object) -> bool:
    return name in ALL_AT_ZERO and value == 0


def _more_label(names: list[str], preset_values: ConfigFields) -> str:
    titles = ", ".join(translate(str(RunConfig.model_fields[name].title)) for name in names)
    changed = sum(_differs(name, preset_values) for name in names)
    note = translate("{number} changed", number=changed)
    return f"{titles}{f' :orange[· {note}]' if changed else ''}"


def _differs(name: str, preset_values: ConfigFields) -> bool:
    return name in preset_values and st.session_state.get(_key(name)) != _for_widget(
        name, preset_values[name]
    )


def _for_widget(name: str, value: ConfigValue) -> ConfigValue:
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return float(str(value)) if RunConfig.model_fields[name].annotation is float else value


def _key(name: str) -> str:
    return f"field-{name}"


def fill_on_open(store: Store, status: DataStatus, size: DataSize | None) -> PresetChoice | None:
    """Fill the widgets once, from the run of ``?clone=`` with the changes of ``?set=``, or from the
    preset for data of ``size``: Taste for guests, the largest that the class allows for students.

    Return for students which presets the class allows.
    """
    if clone := st.query_params.get("clone", ""):
        _fill_from_run(store, clone, st.query_params.get_all("set"))
        for name in ("clone", "set"):
            st.query_params.pop(name, None)  # filled once: a reload must not undo later input
    allowed = _find_allowed(store, status, size)
    usual = Preset.TASTE if store.visitor.role is Role.GUEST_TRAINER else Preset.QUICK
    first = allowed.preset if allowed else usual
    _follow_drafts(store, size, first)
    st.session_state.setdefault("preset", first)
    preset, seed = Preset(st.session_state["preset"]), find_seed(store.visitor)
    fill_missing({"model": store.settings.model, "seed": seed, **preset_values(preset, size)})
    _follow_data(size)
    return allowed


def _follow_drafts(store: Store, size: DataSize | None, first: Preset) -> None:
    """Fill the form from the drafts of a member of a class, or store what they have changed.

    ``first`` is the preset with which an untouched form begins.
    """
    drafts.follow(
        store,
        {"preset": first, BUDGET_KEY: NO_LIMIT, "guess": None, "run-name": ""},
        _is_valid_choice,
    )
    values = preset_values(Preset(st.session_state.get("preset", first)), size)
    values["seed"] = find_seed(store.visitor)
    defaults = {_key(name): _for_widget(name, value) for name, value in values.items()}
    drafts.follow(store, defaults, _is_valid_field)
    drafts.follow(
        store,
        {model_picker.KEY: store.settings.model, model_picker.OTHER_KEY: ""},
        model_picker.is_valid,
    )


def _is_valid_choice(key: str, value: object) -> bool:
    if key == "preset":
        return value in set(Preset)
    if key == BUDGET_KEY:
        return value in MINUTES
    if key == "guess":
        return isinstance(value, float) and 0 <= value <= 100
    return isinstance(value, str)


def _is_valid_field(key: str, value: object) -> bool:
    try:
        RunConfig.__pydantic_validator__.validate_assignment(
            RunConfig.model_construct(), key.removeprefix("field-"), value
        )
    except ValueError:
        return False
    return True


def _fill_from_run(store: Store, run_id: str, assignments: list[str]) -> None:
    try:
        job = store.read_job(run_id)
        request = read_train_request(job)
        config = make_config(
            None, {**request.config.model_dump(), **parse_assignments(assignments)}
        )
    except LoraLabError as error:
        show(error)
        return
    st.session_state["preset"] = (
        Preset(request.preset) if request.preset in set(Preset) else Preset.QUICK
    )
    fill(config.model_dump())
    cleaning_recipe.take_from(store, request)
    copied = translate("Settings copied from {run}.", run=plain(job.name))
    st.toast(copied, icon=":material/content_copy:")


def draw_budget(store: Store, status: DataStatus, recipe: Recipe | None = None) -> None:
    """Draw the choice of minutes, which fills the form; disabled without prepared data."""
    st.session_state.setdefault(BUDGET_KEY, NO_LIMIT)
    st.segmented_control(
        translate("Time budget"),
        (NO_LIMIT, *MINUTES),
        format_func=_format_minutes,
        required=True,
        key=BUDGET_KEY,
        disabled=status.dataset is None,
        on_change=_fill_from_budget,
        args=(store, status, recipe),
        persist_state="session",
        help=translate(
            "Proposes rows, epochs, batch size and evaluation that fit, including the final"
            " evaluation. No limit restores the preset."
        ),
    )
    if st.session_state[BUDGET_KEY] and status.dataset is not None:
        st.caption(_describe_budget(store, status, recipe))


def _format_minutes(minutes: int) -> str:
    return translate("{minutes:g} minutes", minutes=minutes) if minutes else translate("no limit")


def release_budget() -> None:
    """Reset the budget after another preset has filled the"""
    st.session_state[BUDGET_KEY] = NO_LIMIT


def _fill_from_budget(store: Store, status: DataStatus, recipe: Recipe | None) -> None:
    minutes = st.session_state[BUDGET_KEY]
    # values of the previous budget must not limit this one
    fill_from_preset(cache.read_size(store, status))
    if not minutes or status.dataset is None:
        return
    try:
        proposal = _fit_budget(minutes, store, status, recipe)
    except LoraLabError as error:
        release_budget()
        st.toast(plain(str(error)), icon=":material/timer_off:")
        return
    chosen = proposal.config.model_dump()
    fill({name: chosen[name] for name in BUDGETED})


def _describe_budget(store: Store, status: DataStatus, recipe: Recipe | None) -> str:
    try:
        return plain(_fit_budget(st.session_state[BUDGET_KEY], store, status, recipe).note)
    except LoraLabError as error:
        return plain(str(error))


def _fit_budget(
    minutes: int, store: Store, status: DataStatus, recipe: Recipe | None
) -> BudgetProposal:
    assert status.dataset is not None
    values = read()
    config = make_config(None, values)
    model = model_facts(model_picker.find(config.model, store))
    data, speed = read_facts(status.dataset, recipe), find_speed(store, config, model)
    return propose(
        minutes,
        config,
        data,
        model,
        speed,
        list_outcomes(store, status.dataset.fingerprint, model),
    )
