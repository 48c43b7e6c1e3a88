"""What a unit of work costs on this machine, measured once per model and precision; kept as JSON under ``<home>/calibrations``.

The costs are fitted to a handful of probes by non-negative least squares on relative errors, drawn softly towards the typical
costs, so that two kinds of work which the probes cannot tell apart share the time as they usually do.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from core import files
from core.errors import ArtifactDamaged
from core.work import Unit, Work

TRUST_IN_TYPICAL = 0.02  # a cost twice the typical one weighs as much as a probe that is off by 2 %

TYPICAL_SECONDS: dict[Unit, float] = {  # fp32 on 2 cores with AVX-512
    Unit.STEP: 0.004,
    Unit.TRAINED: 0.003,
    Unit.PART: 0.012,
    Unit.MODULE: 0.0003,
    Unit.PRODUCTS: 0.010,
    Unit.ATTENTION: 0.015,
    Unit.ADAPTER: 0.003,
    Unit.ADAPTER_PRODUCTS: 0.015,
    Unit.DORA: 0.005,
    Unit.DORA_PRODUCTS: 0.010,
    Unit.BASE_DROPOUT: 0.010,
    Unit.EVALUATED_PART: 0.005,
    Unit.EVALUATED_PRODUCTS: 0.009,
    Unit.EVALUATED_ATTENTION: 0.010,
}
GPU_SPEEDUP = 30.0


@dataclass(frozen=True, slots=True)
class Key:
    """What a calibration holds for. ``model`` is identity and revision of the base model."""

    model: str
    precision: str
    threads: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A timed piece of work, and the memory it took while it ran."""

    work: dict[Unit, float]
    seconds: float
    memory: dict[str, float] = field(default_factory=dict)
    memory_mb: float = 0.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """Costs of one model in one precision on this machine. ``is_auto``: this is what precision auto comes to here."""

    key: Key
    device: str
    is_auto: bool
    measured_at: float
    seconds: dict[Unit, float]
    start_seconds: float  # from the launch until the model is loaded
    tokens_per_second: float  # tokenised
    base_mb: float  # held by a worker with the model loaded
    load_mb: float  # the most it held while loading
    activation_mb: float  # per million values of (tokens, d, layers) in the largest part

    def cost(self, work: Work) -> float:
        """Seconds that the work takes."""
        return sum(amount * self.seconds.get(unit, 0.0) for unit, amount in work.items())


ADAPTER = TypeAdapter(Calibration)


def typical(device: str = "cpu", threads: int = 2) -> Calibration:
    """Costs that are not measured here."""
    share = 1.0 if device == "cpu" else 1 / GPU_SPEEDUP
    seconds = {unit: cost * share for unit, cost in TYPICAL_SECONDS.items()}
    return Calibration(Key("", "fp32", threads), device, True, 0.0, seconds, 10.0, 200_000.0, 700.0, 800.0, 90.0)


def write(home: Path, calibration: Calibration) -> None:
    """Keep it; an earlier one for the same key is replaced."""
    files.write_json(path(home, calibration.key), ADAPTER.dump_python(calibration, mode="json"))


def read(home: Path, key: Key) -> Calibration | None:
    """The calibration for that key; precision auto finds the one that auto comes to. None if there is none or it is damaged."""
    if key.precision != "auto":
        return _read(path(home, key), key)
    for precision in ("bf16", "fp16", "fp32"):
        found = _read(path(home, replace(key, precision=precision)), replace(key, precision=precision))
        if found is not None and found.is_auto:
            return found
    return None


def path(home: Path, key: Key) -> Path:
    """Where the calibration for that key lies."""
    digest = hashlib.sha256("|".join((key.model, key.precision, str(key.threads))).encode()).hexdigest()[:16]
    return home / "calibrations" / f"{digest}.json"


def fit(probes: Sequence[Probe]) -> dict[Unit, float]:
    """Seconds per unit, none negative. A unit in no probe costs what it does typically, at this machine's speed."""
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415 - the server reads calibrations and never fits one

    units = list(TYPICAL_SECONDS)
    work = np.array([[probe.work.get(unit, 0.0) * TYPICAL_SECONDS[unit] for unit in units] for probe in probes])  # (p, u)
    seconds = np.array([probe.seconds for probe in probes])
    pace = float(np.median(seconds / work.sum(axis=1)))  # of this machine, against the typical one
    rows = np.vstack([pace * work / seconds[:, None], TRUST_IN_TYPICAL * np.eye(len(units))])
    wanted = np.concatenate([np.ones(len(probes)), np.full(len(units), TRUST_IN_TYPICAL)])
    shares = LinearRegression(fit_intercept=False, positive=True).fit(rows, wanted).coef_
    return {unit: float(share) * pace * TYPICAL_SECONDS[unit] for unit, share in zip(units, shares, strict=True)}


def _read(where: Path, key: Key) -> Calibration | None:
    try:
        found = ADAPTER.validate_python(files.read_json(where))
    except (ArtifactDamaged, ValidationError):
        return None
    return found if found.key == key else None
