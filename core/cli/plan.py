"""What a run would take, before it is launched: for the command line."""

from collections.abc import Callable
from dataclasses import dataclass

from core.cli import follow
from core.config import RunConfig, differences
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared, prepare
from core.data.recipe import Recipe, trained_fingerprint
from core.data.sources import Source
from core.estimate.budget import BudgetProposal, propose
from core.estimate.estimate import Estimate
from core.estimate.inputs import data_facts, model_facts
from core.models.catalog import find_model
from core.progress import Progress
from core.runs.local_estimate import estimate_locally, find_speed, list_outcomes
from core.storage.job import ACTIVE, JobState
from core.storage.store import Store


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A configuration and what it is expected to take; with a budget, the proposal that it comes
    from.
    """

    asked: RunConfig
    config: RunConfig
    estimate: Estimate
    minutes: float | None
    proposal: BudgetProposal | None


def make_plan(
    store: Store,
    config: RunConfig,
    source: Source,
    minutes: float | None,
    measure: bool,
    report: Callable[[Progress], None],
    recipe: Recipe | None = None,
) -> RunPlan:
    """The plan for ``config``, or for what of it fits into ``minutes``. Prepares the data if that
    has not been done.

    ``recipe`` says which training texts there are less.

    Where this model is here and has not been measured yet it is, if ``measure`` and nothing else is
    queued or under way. Raises ConfigError if nothing fits.
    """
    dataset = find_prepared(store.settings, source) or prepare(
        store.settings, source, report, lambda: False
    )
    found = find_model(config.model, store.settings, hub_reachable(store.settings))
    data, model = data_facts(dataset, recipe), model_facts(found)
    speed = find_speed(store, config, model)
    if (
        measure
        and not speed.measured
        and found.folder is not None
        and not store.jobs(None, JobState.QUEUED, *ACTIVE)
    ):
        follow.measure(store, config)
        speed = find_speed(store, config, model)
    if minutes is None:
        fingerprint = trained_fingerprint(dataset.fingerprint, recipe)
        return RunPlan(
            config, config, estimate_locally(store, config, data, model, fingerprint), None, None
        )
    proposal = propose(
        minutes, config, data, model, speed, list_outcomes(store, dataset.fingerprint, model)
    )
    return RunPlan(config, proposal.config, proposal.estimate, minutes, proposal)


def describe(plan: RunPlan) -> dict[str, object]:
    """JSON values; the unit of each figure is in its name. Times are from launch to end unless they
    say otherwise.
    """
    expected = plan.estimate
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
        "config": plan.config.model_dump(mode="json"),
    }
    if plan.proposal is None:
        return described
    low, high = plan.proposal.accuracy or (None, None)
    return described | {
        "minutes": plan.minutes,
        "chosen_for_the_budget": {
            name: value for name, (value, _) in differences(plan.config, plan.asked).items()
        },
        "accuracy_low": low,
        "accuracy_high": high,
        "note": plan.proposal.note,
    }
