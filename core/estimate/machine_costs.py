"""The cost of a unit of work on this machine, measured once per model and precision, stored as JSON
in ``<home>/calibrations``.

The costs are fitted to a few probes by non-negative least squares on relative errors, regularized
toward the typical costs, so that kinds of work which the probes cannot distinguish divide the time
in typical proportions.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from pydantic import TypeAdapter, ValidationError

from core.config import Precision
from core.errors import ArtifactDamaged
from core.estimate.workload import Cost, CostUnit, MemoryUnit
from core.storage import files

Kind = TypeVar("Kind", bound=str)

# a cost twice the typical one weighs as much as a probe that is off by 10 %, because probes are
# disturbed by other programs
TRUST_IN_TYPICAL = 0.1

TYPICAL_SECONDS: dict[CostUnit, float] = {  # fp32 on 2 cores with AVX-512
    CostUnit.STEP: 0.004,
    CostUnit.TRAINED: 0.003,
    CostUnit.PART: 0.010,
    CostUnit.WEIGHTS: 0.001,
    CostUnit.MODULE: 0.0006,
    CostUnit.PRODUCTS: 0.008,
    CostUnit.ATTENTION: 0.028,
    CostUnit.ADAPTER: 0.006,
    CostUnit.ADAPTER_PRODUCTS: 0.015,
    CostUnit.DORA: 0.009,
    CostUnit.DORA_PRODUCTS: 0.008,
    CostUnit.BASE_DROPOUT: 0.010,
    CostUnit.PLAIN_PART: 0.005,
    CostUnit.PLAIN_VALUES: 0.015,
    CostUnit.PLAIN_ADAPTER: 0.004,
    CostUnit.EVALUATION: 0.004,
    CostUnit.EVALUATED_PART: 0.008,
    CostUnit.EVALUATED_WEIGHTS: 0.0007,
    CostUnit.EVALUATED_PRODUCTS: 0.0085,
    CostUnit.EVALUATED_ATTENTION: 0.020,
    CostUnit.EVALUATED_PLAIN_VALUES: 0.005,
}
TYPICAL_MB: dict[MemoryUnit, float] = {
    MemoryUnit.ACTIVATIONS: 50.0,
    MemoryUnit.ADAPTER_INPUTS: 8.0,
    MemoryUnit.PLAIN_ACTIVATIONS: 20.0,
    MemoryUnit.PLAIN_ADAPTER_INPUTS: 3.0,
    MemoryUnit.DORA: 16.0,
    MemoryUnit.BASE_DROPOUT: 8.0,
}
GPU_SPEEDUP = 30.0
# freed blocks of other sizes that the allocator keeps; probes of one size do not show them
HEAP_SLACK = 1.2
FORMAT = "5"  # a new value invalidates earlier measurements


@dataclass(frozen=True, slots=True)
class CostKey:
    """The conditions of a calibration. ``model`` is identity and revision of the base model."""

    model: str
    precision: Precision
    threads: int


@dataclass(frozen=True, slots=True)
class CostProbe(Generic[Kind]):
    """One measurement, in seconds or MB, and its number of units of each kind."""

    units: Mapping[Kind, float]
    measured: float


@dataclass(frozen=True, slots=True)
class MachineCosts:
    """Costs of one model in one precision on this machine."""

    key: CostKey
    device: str
    measured_at: float
    others: float  # proportion of the machine used by other programs
    seconds: dict[CostUnit, float]
    start_seconds: float  # from launch until the model is loaded
    tokens_per_second: float  # of the tokenizer
    base_mb: float  # worker with libraries and model, before training
    megabytes: dict[MemoryUnit, float]

    def cost(self, work: Mapping[CostUnit, float]) -> float:
        """Seconds of ``work``."""
        return sum(amount * self.seconds.get(unit, 0.0) for unit, amount in work.items())

    def size(self, memory: Mapping[MemoryUnit, float]) -> float:
        """MB of ``memory``."""
        return sum(amount * self.megabytes.get(unit, 0.0) for unit, amount in memory.items())

    def train_seconds(self, cost: Cost) -> float:
        """Seconds of all optimizer steps of a run."""
        return self.cost(cost.work)

    def peak_memory_mb(self, cost: Cost) -> float:
        """Peak memory in MB of the worker of a run."""
        return self.base_mb + cost.fixed_mb + HEAP_SLACK * self.size(cost.held)


ADAPTER = TypeAdapter(MachineCosts)


def typical(device: str = "cpu", threads: int = 2, precision: Precision = "fp32") -> MachineCosts:
    """Return typical costs, not measured here; those of fp32 for any precision."""
    share = 1.0 if device == "cpu" else 1 / GPU_SPEEDUP
    seconds = {unit: cost * share for unit, cost in TYPICAL_SECONDS.items()}
    return MachineCosts(
        CostKey("", precision, threads),
        device,
        0.0,
        0.0,
        seconds,
        8.0,
        200_000.0,
        640.0,
        TYPICAL_MB,
    )


def write(home: Path, calibration: MachineCosts) -> None:
    """Store the calibration, replacing an earlier one with the same key."""
    files.write_json(path(home, calibration.key), ADAPTER.dump_python(calibration, mode="json"))


def read(home: Path, key: CostKey) -> MachineCosts | None:
    """Read the calibration for ``key``; None if it is missing or damaged."""
    try:
        calibration = ADAPTER.validate_python(files.read_json(path(home, key)))
    except (ArtifactDamaged, ValidationError):
        return None
    return calibration if calibration.key == key and sum(calibration.seconds.values()) > 0 else None


def path(home: Path, key: CostKey, version: str = FORMAT) -> Path:
    """Path of the calibration for ``key`` in a version of the format."""
    digest = hashlib.sha256(
        "|".join((version, key.model, key.precision, str(key.threads))).encode()
    ).hexdigest()[:16]
    return home / "calibrations" / f"{digest}.json"


def fit(probes: Sequence[CostProbe[Kind]], usual: Mapping[Kind, float]) -> dict[Kind, float]:
    """Fit the cost per unit, none negative. A unit in no probe gets its ``usual`` cost at this
    machine's pace.
    """
    # imported in jobs only; the server reads calibrations
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415

    if not probes:
        return dict(usual)
    costs = np.array(list(usual.values()))  # (u,)
    expected = (
        np.array([[probe.units.get(unit, 0.0) for unit in usual] for probe in probes]) * costs
    )  # (p, u)
    measured = np.array([probe.measured for probe in probes])
    pace = float(np.median(measured / expected.sum(axis=1)))  # relative to the usual costs
    rows = np.vstack([pace * expected / measured[:, None], TRUST_IN_TYPICAL * np.eye(len(costs))])
    targets = np.concatenate([np.ones(len(probes)), np.full(len(costs), TRUST_IN_TYPICAL)])
    shares = LinearRegression(fit_intercept=False, positive=True).fit(rows, targets).coef_
    return {
        unit: float(share * pace * cost)
        for unit, share, cost in zip(usual, shares, costs, strict=True)
    }
