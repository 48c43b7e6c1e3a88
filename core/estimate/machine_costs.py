"""What a unit of work costs on this machine, measured once per model and precision; kept as JSON
under ``<home>/calibrations``.

The costs are fitted to a handful of probes by non-negative least squares on relative errors, drawn
softly towards the typical costs, so that two kinds of work which the probes cannot tell apart share
the time as they usually do.
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
from core.estimate.memory import MemoryUnit
from core.estimate.workload import CostUnit
from core.storage import files

Kind = TypeVar("Kind", bound=str)

# a cost twice the typical one weighs as much as a probe that is off by 10 %: others on the machine
# disturb
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
FORMAT = "2"  # another one when costs change: what was measured before then counts as not there


@dataclass(frozen=True, slots=True)
class CostKey:
    """What a calibration holds for. ``model`` is identity and revision of the base model."""

    model: str
    precision: Precision
    threads: int


@dataclass(frozen=True, slots=True)
class CostProbe(Generic[Kind]):
    """What was measured, in seconds or MB, for so many units of each kind."""

    units: Mapping[Kind, float]
    measured: float


@dataclass(frozen=True, slots=True)
class MachineCosts:
    """Costs of one model in one precision on this machine."""

    key: CostKey
    device: str
    measured_at: float
    others: float  # share of the machine that other programs used meanwhile
    seconds: dict[CostUnit, float]
    start_seconds: float  # from the launch until the model is loaded
    tokens_per_second: float  # tokenised
    base_mb: float  # of a worker with libraries and model loaded, before it trains
    megabytes: dict[MemoryUnit, float]

    def cost(self, work: Mapping[CostUnit, float]) -> float:
        """Seconds that the work takes."""
        return sum(amount * self.seconds.get(unit, 0.0) for unit, amount in work.items())

    def size(self, memory: Mapping[MemoryUnit, float]) -> float:
        """MB that the units take."""
        return sum(amount * self.megabytes.get(unit, 0.0) for unit, amount in memory.items())


ADAPTER = TypeAdapter(MachineCosts)


def typical(device: str = "cpu", threads: int = 2, precision: Precision = "fp32") -> MachineCosts:
    """Costs that are not measured here; those of fp32, whatever the precision."""
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
    """Keep it; an earlier one for the same key is replaced."""
    files.write_json(path(home, calibration.key), ADAPTER.dump_python(calibration, mode="json"))


def read(home: Path, key: CostKey) -> MachineCosts | None:
    """The calibration for that key. None if there is none or it is damaged."""
    try:
        found = ADAPTER.validate_python(files.read_json(path(home, key)))
    except (ArtifactDamaged, ValidationError):
        return None
    return found if found.key == key and sum(found.seconds.values()) > 0 else None


def path(home: Path, key: CostKey) -> Path:
    """Where the calibration for that key lies."""
    digest = hashlib.sha256(
        "|".join((FORMAT, key.model, key.precision, str(key.threads))).encode()
    ).hexdigest()[:16]
    return home / "calibrations" / f"{digest}.json"


def fit(probes: Sequence[CostProbe[Kind]], usual: Mapping[Kind, float]) -> dict[Kind, float]:
    """Cost per unit, none negative. A unit in no probe costs what is ``usual``, at this machine's
    pace.
    """
    # The server reads calibrations and never fits one.
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415

    if not probes:
        return dict(usual)
    costs = np.array(list(usual.values()))  # (u,)
    expected = (
        np.array([[probe.units.get(unit, 0.0) for unit in usual] for probe in probes]) * costs
    )  # (p, u)
    measured = np.array([probe.measured for probe in probes])
    pace = float(np.median(measured / expected.sum(axis=1)))  # against the usual one
    rows = np.vstack([pace * expected / measured[:, None], TRUST_IN_TYPICAL * np.eye(len(costs))])
    wanted = np.concatenate([np.ones(len(probes)), np.full(len(costs), TRUST_IN_TYPICAL)])
    shares = LinearRegression(fit_intercept=False, positive=True).fit(rows, wanted).coef_
    return {
        unit: float(share * pace * cost)
        for unit, share, cost in zip(usual, shares, costs, strict=True)
    }
