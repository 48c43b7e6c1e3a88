"""Describe what is ready on this machine, and estimate a run, before anything is launched."""

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

from core.cli import output
from core.config import RunConfig, find_differences, find_four_bit_problem
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared, prepare
from core.data.recipe import (
    Recipe,
    describe_effect,
    read_recipe,
    recipe_path,
    trained_fingerprint,
)
from core.data.sources import Source
from core.data.tokenizer import UnknownTokens
from core.errors import ArtifactDamaged, ConfigError, ModelUnavailable
from core.estimate.budget import BudgetProposal, propose
from core.estimate.estimate import Estimate
from core.estimate.inputs import data_facts, measure_unknown, model_facts
from core.models.catalog import MODELS, find_known_model, find_model
from core.people.openid import describe_sign_in, read_secrets, read_sign_in
from core.presets import DataSize
from core.progress import Progress
from core.runs.local_estimate import estimate_locally, find_speed, list_outcomes
from core.settings import Settings, count_cores, read_memory_mb
from core.storage.job import UNFINISHED
from core.storage.machine_speed import choose_auto_precision
from core.storage.store import Store


def describe_machine(
    settings: Settings, source: Source, report: Callable[[Progress], None]
) -> dict[str, object]:
    """Return data, models, device, precision, cores, memory in MB, home folder, and MB of stored
    outputs of frozen layers.

    Data that are not prepared yet are prepared.
    """
    # Late: it imports torch, which few commands need.
    from core.training.activations import measure_folder  # noqa: PLC0415
    from core.training.device import choose_device  # noqa: PLC0415 - as above
    from core.training.fast.matmul import machine_products  # noqa: PLC0415 - as above

    dataset = find_prepared(settings, source) or prepare(settings, source, report, lambda: False)
    hub = hub_reachable(settings)
    device = choose_device()
    models = [find_model(name, settings, hub) for name in dict.fromkeys([settings.model, *MODELS])]
    return {
        "data": {
            "source": dataset.source,
            "name": dataset.name,
            "train_rows": dataset.train_rows,
            "validation_rows": dataset.validation_rows,
            "test_rows": dataset.test_rows,
            "classes": list(dataset.classes),
            "fingerprint": dataset.fingerprint,
            "notes": [source.note, *dataset.notes] if source.note else list(dataset.notes),
        },
        "models": [
            {"id": model.id, "available": model.available, "reason": model.reason}
            for model in models
        ],
        "device": str(device),
        "precision": choose_auto_precision(settings, models[0].name, device.type),
        "products": "oneDNN"
        if device.type == "cpu" and machine_products(settings).onednn_is_faster
        else "torch",
        "four_bit": find_four_bit_problem() or "available",
        "cores": count_cores(),
        "memory_mb": read_memory_mb(),
        "home": str(settings.home.absolute()),
        "activations_mb": measure_folder(settings.activations) // 2**20,
        "mode": settings.mode,
        "ways_in": describe_sign_in(settings, read_sign_in(read_secrets())),
    }


def require_launchable(config: RunConfig, settings: Settings) -> None:
    """Raise ModelUnavailable or ConfigError, with the reason, if the base model is unavailable."""
    if config.four_bit and (why := find_four_bit_problem()):
        raise ConfigError(f"A base in 4 bits {why}.", "Leave out --set four_bit.")
    model = find_model(config.model, settings, hub_reachable(settings))
    if not model.available:
        raise ModelUnavailable(f"{config.model} is not available: {model.reason}")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A configuration with its estimate, and the proposal for the budget of ``minutes``, if any."""

    requested: RunConfig
    config: RunConfig
    estimate: Estimate
    minutes: float | None
    proposal: BudgetProposal | None
    unknown: UnknownTokens | None


def find_size(settings: Settings, source: Source) -> DataSize | None:
    """Return the sizes that a preset is fitted to; None if the data are not prepared yet."""
    dataset = find_prepared(settings, source)
    return data_facts(dataset).size if dataset else None


def warn_about_recipe(settings: Settings, source: Source, used: Recipe | None) -> None:
    """Print a note on stderr if the data have a stored cleaning recipe and none is used."""
    dataset = find_prepared(settings, source)
    if used or dataset is None:
        return
    path = recipe_path(settings, dataset.fingerprint)
    try:
        effect = describe_effect(read_recipe(settings, dataset.fingerprint))
    except ArtifactDamaged:  # the Quality page shows the error
        return
    if path.is_file():
        note = f"The cleaning recipe of {source.name} ({effect}) is not used: --recipe {path}"
        print(note, file=sys.stderr)


def warn_about_unknown_tokens(settings: Settings, source: Source, model_id: str) -> None:
    """Print a note on stderr if the tokenizer of the model does not know 1 % of the tokens of the
    data, and these are prepared.
    """
    dataset = find_prepared(settings, source)
    model = find_model(model_id, settings, hub_reachable(settings))
    if dataset and model.available and model.folder:
        unknown = measure_unknown(dataset, model.folder)
        if unknown and (note := unknown.describe(model_id)):
            print(note, file=sys.stderr)


def read_size(settings: Settings, source: Source, report: Callable[[Progress], None]) -> DataSize:
    """Return the sizes that a preset is fitted to; data that are not prepared yet are prepared."""
    dataset = find_prepared(settings, source) or prepare(settings, source, report, lambda: False)
    return data_facts(dataset).size


def make_plan(
    store: Store,
    config: RunConfig,
    source: Source,
    minutes: float | None,
    measure: bool,
    report: Callable[[Progress], None],
    recipe: Recipe | None = None,
) -> RunPlan:
    """Estimate ``config``, or propose changes to it that fit into ``minutes``.

    Args:
        store: Store of the home folder.
        config: Requested configuration.
        source: Data of the run, prepared first if necessary.
        minutes: Budget; None for no limit.
        measure: Whether a model without measured costs is measured first. This is skipped if the
            model is not on this machine, or any job is queued or active.
        report: Called with the progress.
        recipe: Cleaning recipe, which reduces the training texts.

    Raises:
        ConfigError: Nothing fits into the budget.
    """
    dataset = find_prepared(store.settings, source) or prepare(
        store.settings, source, report, lambda: False
    )
    location = find_known_model(config.model, store.settings, hub_reachable(store.settings))
    data, model = data_facts(dataset, recipe), model_facts(location)
    unknown = measure_unknown(dataset, location.folder) if location.folder else None
    speed = find_speed(store, config, model)
    if (
        measure
        and not speed.measured
        and location.folder is not None
        and not store.list_jobs(states=UNFINISHED)
    ):
        output.measure_costs(store, config)
        speed = find_speed(store, config, model)
    if minutes is None:
        fingerprint = trained_fingerprint(dataset.fingerprint, recipe)
        expected = estimate_locally(store, config, data, model, fingerprint)
        return RunPlan(config, config, expected, None, None, unknown)
    proposal = propose(
        minutes, config, data, model, speed, list_outcomes(store, dataset.fingerprint, model)
    )
    return RunPlan(config, proposal.config, proposal.estimate, minutes, proposal, unknown)


def describe_plan(plan: RunPlan) -> dict[str, object]:
    """Return the plan as JSON values; names contain units. Times are from launch to end."""
    expected = plan.estimate
    note = plan.unknown.describe(plan.config.model) if plan.unknown else ""
    described: dict[str, object] = {
        "steps": expected.steps,
        "validations": expected.validations,
        "precision": expected.precision,
        "low_seconds": round(expected.low_seconds, 1),
        "likely_seconds": round(expected.likely_seconds, 1),
        "high_seconds": round(expected.high_seconds, 1),
        "train_seconds": round(expected.train_seconds, 1),
        "of_likely_seconds": {
            "start": round(expected.start_seconds, 1),
            "untrained_score": round(expected.untrained_seconds, 1),
            "steps": round(expected.step_seconds, 1),
            "validations": round(expected.validation_seconds, 1),
            "final_evaluation": round(expected.evaluation_seconds, 1),
        },
        "peak_memory_mb": expected.memory_mb,
        "disk_mb": expected.disk_mb,
        "measured_on_this_machine": expected.measured,
        "source": expected.source,
        "unknown_tokens": asdict(plan.unknown) if plan.unknown else None,
        "warnings": [note] if note else [],
        "config": plan.config.model_dump(mode="json"),
    }
    if plan.proposal is None:
        return described
    low, high = plan.proposal.accuracy or (None, None)
    return described | {
        "minutes": plan.minutes,
        "chosen_for_the_budget": {
            name: value
            for name, (value, _) in find_differences(plan.config, plan.requested).items()
        },
        "accuracy_low": low,
        "accuracy_high": high,
        "note": plan.proposal.note,
    }
