"""What a run is expected to take, for its ETA and to hold against what it took.

The scores of the untrained model, kept by the first run that computes them.

They are the same for all runs with its seed, length, data and precision.
"""

import hashlib
from pathlib import Path

from core.config import RunConfig
from core.data.dataset import Dataset
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared
from core.data.recipe import Recipe, trained_fingerprint
from core.errors import LoraLabError
from core.estimate.estimate import Estimate, estimate, in_precision
from core.estimate.inputs import DataFacts, ModelFacts, data_facts, model_facts
from core.models.catalog import find_model
from core.runs.observed_runs import find_speed
from core.runs.requests import TrainRequest
from core.runs.run import ExpectedCost
from core.storage.store import Store


def expected_run(
    store: Store, config: RunConfig, dataset: Dataset, recipe: Recipe | None = None
) -> Estimate:
    """The estimate for ``config`` on ``dataset``, less what ``recipe`` drops, from all that is
    known of this machine now.

    Raises ArtifactDamaged, ModelUnavailable.
    """
    model = model_facts(find_model(config.model, store.settings, hub_reachable(store.settings)))
    return estimate_here(
        store,
        config,
        data_facts(dataset, recipe),
        model,
        trained_fingerprint(dataset.fingerprint, recipe),
    )


def estimate_here(
    store: Store, config: RunConfig, data: DataFacts, model: ModelFacts, fingerprint: str
) -> Estimate:
    """The estimate by this machine's speed, less what earlier runs have kept for it.
    ``fingerprint`` is that of the data as trained on.
    """
    speed = find_speed(store, config, model)
    known = untrained_cache_path(
        store.settings.home, model.name, in_precision(config, speed), fingerprint
    ).is_file()
    return estimate(config, data, model, speed, known)


def expect_request(store: Store, request: TrainRequest) -> Estimate | None:
    """The same for a run as it was asked for; None where its data is not prepared, or data or model
    have gone.
    """
    try:
        dataset = find_prepared(store.settings, request.source)
        return expected_run(store, request.config, dataset, request.recipe) if dataset else None
    except LoraLabError:
        return None


def summarize_estimate(estimate: Estimate) -> ExpectedCost:
    """The part of an estimate that a run records in its result."""
    return ExpectedCost(
        seconds=round(estimate.likely_seconds, 1),
        low_seconds=round(estimate.low_seconds, 1),
        high_seconds=round(estimate.high_seconds, 1),
        train_seconds=round(estimate.train_seconds, 1),
        peak_memory_mb=estimate.memory_mb,
        measured=estimate.measured,
    )


def untrained_cache_path(home: Path, model: str, config: RunConfig, fingerprint: str) -> Path:
    """Where the predictions lie once a run has made them. ``model`` is identity and revision,
    ``fingerprint`` that of the data.
    """
    parts = (model, str(config.seed), fingerprint, str(config.max_tokens), str(config.four_bit))
    other = (
        () if config.precision in ("auto", "fp32") else (config.precision,)
    )  # fp32 has the name of earlier versions
    identity = "|".join((*parts, *other))
    return home / "untrained" / f"{hashlib.sha256(identity.encode()).hexdigest()[:16]}.parquet"


def untrained_cache_key(request: TrainRequest) -> str:
    """The same for requests whose runs share these scores."""
    config = {"model", "seed", "max_tokens", "four_bit"}
    return request.model_dump_json(include={"config": config, "source": True, "recipe": True})
