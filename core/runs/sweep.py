"""Sweeps: the same configuration with one field set to each of several values, a run per value."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from core.config import RunConfig
from core.errors import ArtifactDamaged, ConfigError
from core.estimate.estimate import Estimate
from core.presets import make_config
from core.runs.compared_runs import FEWEST, MOST  # the runs of a sweep can be compared
from core.runs.local_estimate import estimate_request
from core.runs.requests import TrainRequest, read_train_request
from core.storage.job import Job, JobKind
from core.storage.store import Store


@dataclass(frozen=True)
class Sweep:
    """The runs to be queued, in the order of the values. ``id`` is a hash of the request."""

    id: str
    field: str
    requests: tuple[TrainRequest, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spread:
    """Summary of the results of runs that differ only in their seed."""

    n: int
    mean: float
    deviation: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Summarize two values or more; the deviation is the sample's (n - 1)."""
        return cls(len(values), fmean(values), stdev(values), min(values), max(values))


def plan_sweep(job: Job, field: str, values: str, key: str = "") -> Sweep:
    """Plan a run for each of ``values``, with ``job`` as the template.

    Values are separated by commas, or by semicolons for a field that contains several names. A
    different ``key`` gives the same values another id. Raises ConfigError for an unknown field, an
    invalid value, and fewer than 2 or more than 10 different values.
    """
    request = read_train_request(job)
    if field not in RunConfig.model_fields:
        raise ConfigError(
            f"There is no field {field!r}.", f"Fields: {', '.join(RunConfig.model_fields)}."
        )
    separator = ";" if isinstance(getattr(request.config, field), tuple) else ","
    items = [value.strip() for value in values.split(separator) if value.strip()]
    configs = list(
        dict.fromkeys(
            make_config(None, {**request.config.model_dump(), field: value}) for value in items
        )
    )
    if not FEWEST <= len(configs) <= MOST:
        raise ConfigError(
            f"{len(configs)} different values were named.",
            f"Name {FEWEST} to {MOST}, separated by {separator!r}.",
        )
    shown = [_format_value(getattr(config, field)) for config in configs]
    identity = hashlib.sha256("|".join((job.id, field, *shown, key)).encode()).hexdigest()[:12]
    requests = tuple(
        request.model_copy(update={"config": config, "sweep": identity, "numerics": None})
        for config in configs
    )
    return Sweep(
        identity,
        field,
        requests,
        tuple(f"{(job.name or job.id)[:80]} · {field} {value}" for value in shown),
    )


def estimate_sweep(store: Store, sweep: Sweep) -> list[Estimate | None]:
    """Estimate each run; None where an estimate is not possible."""
    return [estimate_request(store, request) for request in sweep.requests]


def find_sweep_runs(store: Store, sweep: str) -> list[Job]:
    """Find the runs of a sweep, in the order in which they were queued."""

    def belongs(job: Job) -> bool:
        try:
            return job.request.get("sweep") == sweep
        except ArtifactDamaged:
            return False

    return [job for job in reversed(store.list_jobs(JobKind.TRAIN)) if belongs(job)]


def _format_value(value: object) -> str:
    return (
        "+".join(map(str, value))
        if isinstance(value, tuple)
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
