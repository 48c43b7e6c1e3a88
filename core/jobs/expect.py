"""What a run is expected to take, for its ETA and to hold against what it took."""

from core.catalog import find_model
from core.config import RunConfig
from core.data.hub import hub_reachable
from core.data.prepared import Dataset, find_prepared
from core.data.recipe import Recipe, trained_fingerprint
from core.errors import LoraLabError
from core.estimate import Estimate, estimate
from core.facts import DataFacts, ModelFacts, data_facts, model_facts
from core.jobs.requests import TrainRequest
from core.jobs.speed import find_speed
from core.jobs.untrained import kept_path
from core.store import Store


def expect(store: Store, config: RunConfig, dataset: Dataset, recipe: Recipe | None = None) -> Estimate:
    """The estimate for ``config`` on ``dataset``, less what ``recipe`` drops, from all that is known of this machine now.

    Raises ArtifactDamaged, ModelUnavailable.
    """
    model = model_facts(find_model(config.model, store.settings, hub_reachable(store.settings)))
    return estimate_here(store, config, data_facts(dataset, recipe), model, trained_fingerprint(dataset.fingerprint, recipe))


def estimate_here(store: Store, config: RunConfig, data: DataFacts, model: ModelFacts, fingerprint: str) -> Estimate:
    """The estimate by this machine's speed, less what earlier runs have kept for it. ``fingerprint`` is that of the data as trained on."""
    known = kept_path(store.settings.home, model.name, config, fingerprint).is_file()
    return estimate(config, data, model, find_speed(store, config, model), known)


def expect_request(store: Store, request: TrainRequest) -> Estimate | None:
    """The same for a run as it was asked for; None where its data is not prepared, or data or model have gone."""
    try:
        dataset = find_prepared(store.settings, request.source)
        return expect(store, request.config, dataset, request.recipe) if dataset else None
    except LoraLabError:
        return None


def figures(expected: Estimate) -> dict[str, float | bool]:
    """What a run keeps of it: seconds from launch to end with their range, seconds of training, MB, and whether they were measured here."""
    return {
        "seconds": round(expected.likely_seconds, 1),
        "low_seconds": round(expected.low_seconds, 1),
        "high_seconds": round(expected.high_seconds, 1),
        "train_seconds": round(expected.train_seconds, 1),
        "peak_memory_mb": expected.memory_mb,
        "measured": expected.measured,
    }
