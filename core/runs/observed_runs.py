"""What work costs on this machine: the stored calibration, refined by finished runs; else what is
typical.

What earlier runs on the same data and model came to.
"""

import time
from dataclasses import dataclass, replace
from itertools import islice
from statistics import median
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from core.config import RunConfig
from core.errors import ArtifactDamaged
from core.estimate.budget import Outcome
from core.estimate.estimate import Cost, Speed, measured_speed, typical_speed
from core.estimate.inputs import ModelFacts
from core.estimate.machine_costs import CostKey, MachineCosts, read
from core.estimate.workload import CostUnit
from core.runs.requests import read_train_request
from core.storage.job import Job, JobKind, JobState
from core.storage.numerics import auto_precision
from core.storage.recovery import BUNDLED_OWNERS
from core.storage.store import Store

NEWEST = 5  # runs that refine: older ones may come from a busier machine or another program
NOTICED = 0.15  # of the machine, in the hands of others
FEW_RUNS = 3
FEW_RANGE, RANGE = (
    (0.85, 1.25),
    (0.9, 1.15),
)  # times the likely seconds, at least, after one or more finished runs


@dataclass(frozen=True, slots=True)
class ObservedRun:
    """What a finished run took, and what it had to compute; the names are those of its result."""

    base_model: str
    precision: str
    threads: int
    step_seconds: Annotated[float, Field(gt=0)]
    peak_memory_mb: Annotated[float, Field(gt=0)]
    cost: Cost
    start_seconds: float = 0.0  # where it is not known


OBSERVED_RUN = TypeAdapter(ObservedRun)


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


def _refine(speed: Speed, spent: list[ObservedRun]) -> Speed:
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


def _finished(store: Store, key: CostKey) -> list[ObservedRun]:
    """The newest runs with this model, precision and number of threads that trained to their
    end.
    """
    jobs = (
        job
        for job in store.jobs(JobKind.TRAIN, JobState.COMPLETED)
        if job.owner not in BUNDLED_OWNERS
    )
    return list(islice((spent for job in jobs if (spent := _spent(job, key))), NEWEST))


def _spent(job: Job, key: CostKey) -> ObservedRun | None:
    """What the run took; None if it was another kind of run, is older than these records, or is
    damaged.
    """
    try:
        spent = OBSERVED_RUN.validate_python(job.result)
    except (ArtifactDamaged, ValidationError):
        return None
    suits = (
        spent.base_model == key.model
        and spent.threads == key.threads
        and spent.precision == key.precision
    )
    return spent if suits and spent.cost.work.get(CostUnit.STEP, 0) > 0 else None


def earlier_outcomes(store: Store, fingerprint: str, model: ModelFacts) -> list[Outcome]:
    """Rows, epochs and test accuracy of each completed run on the data with this fingerprint and
    this base model.
    """
    found = []
    for job in store.jobs(JobKind.TRAIN, JobState.COMPLETED):
        if job.fingerprint != fingerprint:
            continue
        try:
            config, test, rows = (
                read_train_request(job).config,
                job.result.get("test"),
                job.result.get("trained_rows"),
            )
        except ArtifactDamaged:  # a damaged run has no say in this
            continue
        if config.model == model.id and isinstance(test, dict) and isinstance(rows, int):
            found.append(Outcome(rows, config.epochs, float(test["accuracy"])))
    return found
