"""What work costs on this machine: the stored calibration, refined by finished runs; else what is
typical.

What earlier runs on the same data and model came to.
"""

import time
from dataclasses import dataclass, replace
from itertools import islice
from statistics import median

from core.config import RunConfig
from core.errors import ArtifactDamaged
from core.estimate.budget import Outcome
from core.estimate.estimate import Cost, Speed, measured_speed, typical_speed
from core.estimate.inputs import ModelFacts
from core.estimate.machine_costs import CostKey, MachineCosts, read
from core.estimate.workload import CostUnit
from core.runs.run import Run
from core.storage.job import JobKind, JobState
from core.storage.numerics import auto_precision
from core.storage.store import Store

NEWEST = 5  # runs that refine: older ones may come from a busier machine or another program
NOTICED = 0.15  # of the machine, in the hands of others
FEW_RUNS = 3
FEW_RANGE, RANGE = (
    (0.85, 1.25),
    (0.9, 1.15),
)  # times the likely seconds, at least, after one or more finished runs


@dataclass(frozen=True, slots=True)
class ObservedCost:
    """Time and memory that a finished run took, and what it had to compute. ``start_seconds`` is 0
    where it was not recorded.
    """

    step_seconds: float
    peak_memory_mb: float
    start_seconds: float
    cost: Cost


def find_speed(store: Store, config: RunConfig, model: ModelFacts) -> Speed:
    """The speed for this model and precision. Quick and free of torch: a page may ask on each
    rerun.
    """
    precision = config.precision
    if precision == "auto":
        precision = auto_precision(store.settings, model.name, model.device)
    key = CostKey(model.name, precision, store.settings.used_threads)
    found = read(store.settings.home, key)
    spent = _finished(store, key)
    runs = "1 run" if len(spent) == 1 else f"{len(spent)} runs"
    if found is None:
        typical = typical_speed(model.device, precision)
        return (
            _refine(replace(typical, measured=True, source=f"measured here in {runs}"), spent)
            if spent
            else typical
        )
    if spent:
        return _refine(
            measured_speed(found, f"measured here on {_day(found)}, refined by {runs}"), spent
        )
    while_busy = (
        f" while other programs used {found.others:.0%} of it" if found.others > NOTICED else ""
    )
    return measured_speed(found, f"measured on this machine on {_day(found)}{while_busy}")


def _day(found: MachineCosts) -> str:
    return time.strftime("%d %b", time.localtime(found.measured_at)).lstrip("0")


def _refine(speed: Speed, spent: list[ObservedCost]) -> Speed:
    """With the medians of what runs took against what the calibration says and of their starts, and
    a range from their spread.
    """
    factors = [run.step_seconds / run.cost.seconds(speed.calibration) for run in spent]
    memory = [run.peak_memory_mb / run.cost.memory_mb(speed.calibration) for run in spent]
    factor = median(factors)
    low, high = RANGE if len(spent) >= FEW_RUNS else FEW_RANGE
    low, high = min(low, min(factors) / factor), max(high, max(factors) / factor)
    starts = [run.start_seconds for run in spent if run.start_seconds > 0]
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


def _finished(store: Store, key: CostKey) -> list[ObservedCost]:
    """The newest runs with this model, precision and number of threads that trained to their
    end.
    """
    runs = (Run.of(store, job) for job in store.jobs(JobKind.TRAIN, JobState.COMPLETED))
    own = (run for run in runs if not run.bundled)
    return list(islice((cost for run in own if (cost := _observe(run, key))), NEWEST))


def _observe(run: Run, key: CostKey) -> ObservedCost | None:
    """The cost of the run; None if it had another model, precision or number of threads, recorded
    no cost, or is damaged.
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


def earlier_outcomes(store: Store, fingerprint: str, model: ModelFacts) -> list[Outcome]:
    """Rows, epochs and test accuracy of each completed run on the data with this fingerprint and
    this base model.
    """
    outcomes = []
    for job in store.jobs(JobKind.TRAIN, JobState.COMPLETED):
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
