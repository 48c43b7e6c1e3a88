"""Estimates of runs on this machine: measured costs, refined by finished runs.

The first run stores what the base model computes for the texts of the untrained score. It is the
same for all runs with this length, data and, unless the hand-written encoder computes, seed, so the
estimate leaves its time out.
"""

import hashlib
import time
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from statistics import median

from core.config import RunConfig
from core.data.dataset import Dataset
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared
from core.data.recipe import Recipe, trained_fingerprint
from core.errors import ArtifactDamaged, LoraLabError
from core.estimate.budget import Outcome
from core.estimate.estimate import (
    Estimate,
    Speed,
    estimate,
    in_precision,
    measured_speed,
    typical_speed,
)
from core.estimate.inputs import DataFacts, ModelFacts, data_facts, model_facts
from core.estimate.machine_costs import CostKey, MachineCosts, read
from core.estimate.workload import Cost, CostUnit, is_fast
from core.models.catalog import find_model
from core.presets import DataSize
from core.runs.requests import TrainRequest
from core.runs.run import ExpectedCost, Run
from core.settings import Settings
from core.storage.job import JobKind, JobState
from core.storage.machine_speed import choose_auto_precision
from core.storage.store import Store
from core.translation import ENGLISH, read_language, translate, translate_plural

NEWEST = 5  # runs that refine: older ones may come from a busier machine or an earlier version
NOTICEABLE_SHARE = 0.15  # of the machine, used by other programs during the calibration
# smallest ranges, as factors of the likely seconds: for fewer than FEW_RUNS runs, and for more
FEW_RUNS = 3
FEW_RANGE, RANGE = (0.85, 1.25), (0.9, 1.15)


def estimate_run(
    store: Store, config: RunConfig, dataset: Dataset, recipe: Recipe | None = None
) -> Estimate:
    """Estimate a run with ``config`` on ``dataset`` without the rows that ``recipe`` drops, at the
    speed of this machine.

    Raises ArtifactDamaged, ModelUnavailable.
    """
    model = model_facts(find_model(config.model, store.settings, hub_reachable(store.settings)))
    return estimate_locally(
        store,
        config,
        data_facts(dataset, recipe),
        model,
        trained_fingerprint(dataset.fingerprint, recipe),
    )


def estimate_locally(
    store: Store,
    config: RunConfig,
    data: DataFacts,
    model: ModelFacts,
    fingerprint: str,
) -> Estimate:
    """Estimate a run at the speed of this machine; stored untrained scores take no time.

    ``fingerprint`` is that of the data after cleaning.
    """
    speed = find_speed(store, config, model)
    known = untrained_cache_path(
        store.settings.home, model.name, in_precision(config, speed), fingerprint
    ).is_file() or (
        _shares_states(config, model)
        and untrained_states_path(store.settings, model.name, config, fingerprint).is_file()
    )
    seedless = config.model_copy(update={"seed": 0})  # each student of a class has another one
    return _share_estimate(
        _Inputs(fingerprint, data.size, seedless, model, repr(speed), known, data, speed)
    )


@dataclass(frozen=True, slots=True)
class _Inputs:
    """Inputs of an estimate. ``fingerprint``, ``size`` and ``speed_key`` identify ``data`` and
    ``speed``, which are not compared themselves.
    """

    fingerprint: str
    size: DataSize
    config: RunConfig
    model: ModelFacts
    speed_key: str
    untrained_known: bool
    data: DataFacts = field(compare=False)
    speed: Speed = field(compare=False)


# form, launch, queue and page of a run estimate the same run; each takes 8 ms
@lru_cache(maxsize=200)
def _share_estimate(inputs: _Inputs) -> Estimate:
    return estimate(inputs.config, inputs.data, inputs.model, inputs.speed, inputs.untrained_known)


def estimate_request(store: Store, request: TrainRequest) -> Estimate | None:
    """Estimate the run of a request; None if its data are not prepared, or data or model are
    missing.
    """
    try:
        dataset = find_prepared(store.settings, request.source)
        return estimate_run(store, request.config, dataset, request.recipe) if dataset else None
    except LoraLabError:
        return None


def summarize_estimate(estimate: Estimate) -> ExpectedCost:
    """Return the part of an estimate that a run records in its result."""
    return ExpectedCost(
        seconds=round(estimate.likely_seconds, 1),
        low_seconds=round(estimate.low_seconds, 1),
        high_seconds=round(estimate.high_seconds, 1),
        train_seconds=round(estimate.train_seconds, 1),
        peak_memory_mb=estimate.memory_mb,
        measured=estimate.measured,
    )


def untrained_cache_path(home: Path, model: str, config: RunConfig, fingerprint: str) -> Path:
    """Return the path of the untrained model's predictions, which the first run stores.

    ``model`` is identity and revision, ``fingerprint`` that of the data. All precisions share them,
    because predictions are computed in fp32.
    """
    parts = (model, str(config.seed), fingerprint, str(config.max_tokens), str(config.four_bit))
    return home / "untrained" / f"{_hash(*parts)}.parquet"


def untrained_states_path(
    settings: Settings, model: str, config: RunConfig, fingerprint: str
) -> Path:
    """Return the path of the base model's outputs for the texts of the untrained score, with which
    any head is scored. Only the hand-written encoder stores them.
    """
    name = f"untrained-{_hash(model, fingerprint, str(config.max_tokens))}.activations"
    return settings.activations / name


def _hash(*parts: str) -> str:
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


def _shares_states(config: RunConfig, model: ModelFacts) -> bool:
    return model.shape is not None and is_fast(config, model.shape, model.device)


@lru_cache(maxsize=500)  # a class of 30 has at most 90 runs in the queue
def normalize_for_estimate(settings: Settings, request: TrainRequest) -> TrainRequest:
    """Return the request without what its estimate does not depend on, so that the runs of a class,
    each with a seed of its own, share one estimate.
    """
    try:
        model = model_facts(find_model(request.config.model, settings, hub_reachable(settings)))
    except LoraLabError:  # there is no estimate either
        return request
    seed = 0 if _shares_states(request.config, model) else request.config.seed
    config = request.config.model_copy(update={"seed": seed})
    return request.model_copy(update={"config": config, "guess": None})


def untrained_cache_key(request: TrainRequest) -> str:
    """Return a key that is equal for normalized requests whose runs share what the base model
    computes for the untrained score.
    """
    config = {"model", "seed", "max_tokens", "four_bit"}
    return request.model_dump_json(include={"config": config, "source": True, "recipe": True})


@dataclass(frozen=True, slots=True)
class ObservedCost:
    """Time and memory of a finished run, and its work. ``start_seconds`` is 0 if it was not
    recorded.
    """

    step_seconds: float
    peak_memory_mb: float
    start_seconds: float
    cost: Cost


def find_speed(store: Store, config: RunConfig, model: ModelFacts) -> Speed:
    """Find the speed of this machine for a model and a precision.

    It is the stored calibration, refined by finished runs; without either, typical costs. Fast and
    free of torch, so that a page can call it on each rerun.
    """
    precision = config.precision
    if precision == "auto":
        precision = choose_auto_precision(store.settings, model.name, model.device)
    key = CostKey(model.name, precision, store.settings.used_threads)
    calibration = read(store.settings.home, key)
    observed = _find_observed_costs(store, key)
    if calibration is None:
        typical = typical_speed(model.device, precision)
        if not observed:
            return typical
        source = translate_plural(
            "measured here in {n} run", "measured here in {n} runs", len(observed)
        )
        return _refine(replace(typical, measured=True, source=source), observed)
    return _describe_calibration(calibration, observed)


def _describe_calibration(calibration: MachineCosts, observed: list[ObservedCost]) -> Speed:
    day = _format_day(calibration)
    if observed:
        source = translate_plural(
            "measured here on {day}, refined by {n} run",
            "measured here on {day}, refined by {n} runs",
            len(observed),
            day=day,
        )
        return _refine(measured_speed(calibration, source), observed)
    busy = calibration.others > NOTICEABLE_SHARE
    source = translate(
        "measured on this machine on {day} while other programs used {share} of it"
        if busy
        else "measured on this machine on {day}",
        day=day,
        share=f"{calibration.others:.0%}",
    )
    return measured_speed(calibration, source)


def _format_day(calibration: MachineCosts) -> str:
    """Return ``23 Nov``, and in other languages day and month as numbers."""
    measured = time.localtime(calibration.measured_at)
    if read_language() != ENGLISH:
        return f"{measured.tm_mday}.{measured.tm_mon}.{measured.tm_year}"
    return time.strftime("%d %b", measured).lstrip("0")


def _refine(speed: Speed, observed: list[ObservedCost]) -> Speed:
    """Correct ``speed`` by the median ratios of observed to calibrated time and memory, with the
    median start and a range from the spread of the runs.
    """
    factors = [run.step_seconds / speed.calibration.train_seconds(run.cost) for run in observed]
    memory = [run.peak_memory_mb / speed.calibration.peak_memory_mb(run.cost) for run in observed]
    factor = median(factors)
    low, high = RANGE if len(observed) >= FEW_RUNS else FEW_RANGE
    low, high = min(low, min(factors) / factor), max(high, max(factors) / factor)
    starts = [run.start_seconds for run in observed if run.start_seconds > 0]
    calibration = (
        replace(speed.calibration, start_seconds=median(starts)) if starts else speed.calibration
    )
    return replace(
        speed,
        calibration=calibration,
        factor=factor,
        memory_factor=median(memory),
        low=low,
        high=high,
    )


def _find_observed_costs(store: Store, key: CostKey) -> list[ObservedCost]:
    """Find the costs of the newest completed runs with this model, precision and number of
    threads.
    """
    runs = (
        Run.of(store, job) for job in store.list_jobs(JobKind.TRAIN, states=[JobState.COMPLETED])
    )
    own = (run for run in runs if not run.bundled)
    return list(islice((cost for run in own if (cost := _observe(run, key))), NEWEST))


def _observe(run: Run, key: CostKey) -> ObservedCost | None:
    """Return the cost of the run; None if model, precision or number of threads differ, if no cost
    is recorded, or if the record is damaged.
    """
    try:
        result = run.result
    except ArtifactDamaged:
        return None
    observed = result.base_model, result.precision, result.threads
    if observed != (key.model, key.precision, key.threads):
        return None
    if not isinstance(result.cost, Cost) or not result.cost.work.get(CostUnit.STEP):
        return None
    if not result.step_seconds or not result.peak_memory_mb:
        return None
    return ObservedCost(
        result.step_seconds, result.peak_memory_mb, result.start_seconds or 0.0, result.cost
    )


def list_outcomes(store: Store, fingerprint: str, model: ModelFacts) -> list[Outcome]:
    """List rows, epochs and test accuracy of each completed run on the data with this fingerprint
    and this base model.
    """
    outcomes = []
    for job in store.list_jobs(JobKind.TRAIN, states=[JobState.COMPLETED]):
        if job.fingerprint != fingerprint:
            continue
        run = Run.of(store, job)
        try:
            config, test, rows = run.config, run.result.test, run.result.trained_rows
        except ArtifactDamaged:  # the list of runs reports it
            continue
        if config.model == model.id and test and test.accuracy is not None and rows is not None:
            outcomes.append(Outcome(rows, config.epochs, test.accuracy))
    return outcomes
