"""The fastest number format and matrix library of this machine, measured once and then stored.

``<home>/machines/<digest>.json`` holds the seconds of one measurement. The digest is that of the
processor, the threads and torch's version, so a home folder that is moved to another machine
measures again. The first result counts: processes that measure at the same moment wait for one of
them. Free of torch; the function that measures is an argument.

``LORALAB_STOPWATCH=fp32=1,bf16=0.2,onednn=1`` sets the measured seconds: tests and benchmarks use
it to run the whole program as on another processor.
"""

import hashlib
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config import Precision
from core.errors import ArtifactDamaged, ConfigError
from core.settings import Settings
from core.storage import files
from core.storage.locks import hold_lock

MARGIN = 1.25  # a gain below this may be chance
VECTOR_MARGIN = 1.5  # for vectors in bf16, which are close to those in fp32 but not the same
MEASURING_TIMEOUT_SECONDS = 120.0  # a step of a large model is timed in some ten seconds
CPU_FACTS = Path("/proc/cpuinfo")
EXAMPLE = "fp32=1,bf16=0.2,onednn=1"
STEP = "step 2"  # a new number invalidates earlier measurements: steps are computed in another way


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine for which a measurement is valid."""

    cpu: str
    threads: int
    torch: str


class ProductSeconds(BaseModel):
    """Seconds of one matrix product: in fp32 and bf16 by torch's own choice, in fp32 by oneDNN.

    ``onednn`` is None where torch was built without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fp32: float = Field(gt=0)
    bf16: float = Field(gt=0)
    onednn: float | None = Field(default=None, gt=0)

    @property
    def onednn_is_faster(self) -> bool:
        """Whether oneDNN should compute the products in fp32."""
        return self.onednn is not None and self.fp32 > MARGIN * self.onednn

    @property
    def bf16_is_faster(self) -> bool:
        """Whether bf16 is faster than the fastest way to compute in fp32."""
        return self.fastest_fp32 > MARGIN * self.bf16

    @property
    def bf16_suits_vectors(self) -> bool:
        """Whether a model that only encodes texts should compute in bf16."""
        return self.fp32 > VECTOR_MARGIN * self.bf16

    @property
    def fastest_fp32(self) -> float:
        """Seconds with the library that is chosen for fp32."""
        return self.onednn if self.onednn is not None and self.onednn_is_faster else self.fp32


class StepSeconds(BaseModel):
    """Seconds of one training step of a base model.

    ``bf16`` is None where a step was not timed, because its products alone are no faster.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fp32: float = Field(gt=0)
    bf16: float | None = Field(default=None, gt=0)

    @property
    def precision(self) -> Precision:
        """The precision that ``auto`` means for this base model."""
        faster = self.bf16 is not None and self.fp32 > MARGIN * self.bf16
        return "bf16" if faster else "fp32"


Seconds = TypeVar("Seconds", ProductSeconds, StepSeconds)


def identify_machine(settings: Settings) -> Machine:
    """Return the key of this machine's measurements."""
    return Machine(read_cpu_model(), settings.used_threads, _torch_version())


def decide_products(settings: Settings, measure: Callable[[], ProductSeconds]) -> ProductSeconds:
    """Return the stored seconds of a product, or measure and store them. Raises ConfigError."""
    forced = read_stopwatch(settings.stopwatch)
    return _decide(settings, "products", ProductSeconds, (lambda: forced) if forced else measure)


def decide_steps(settings: Settings, model: str, measure: Callable[[], StepSeconds]) -> StepSeconds:
    """Return the stored seconds of a step of ``model`` (identity and revision), or measure them.

    Raises ConfigError, and what ``measure`` raises.
    """
    forced = read_stopwatch(settings.stopwatch)
    step = StepSeconds(fp32=forced.fastest_fp32, bf16=forced.bf16) if forced else None
    subject = f"{STEP}|{model}"
    return _decide(settings, subject, StepSeconds, (lambda: step) if step else measure)


def choose_auto_precision(settings: Settings, model: str, device: str) -> Precision:
    """Return the precision that ``auto`` means here for ``model`` (identity and revision).

    It is fp32, unless a calibration on this machine timed a training step and bf16 was clearly
    faster. On a GPU it is always fp32: kernel launches take most of the time of models this small,
    and autocast launches more of them; an H200 took six times as long in bf16.
    """
    if device != "cpu":
        return "fp32"
    machine = identify_machine(settings)
    steps = _read(_path(settings, machine, f"{STEP}|{model}"), machine, StepSeconds)
    return steps.precision if steps else "fp32"


def read_stopwatch(text: str) -> ProductSeconds | None:
    """Parse the seconds in ``LORALAB_STOPWATCH``; None if it is empty. Raises ConfigError."""
    if not text:
        return None
    try:
        return ProductSeconds.model_validate(dict(part.split("=") for part in text.split(",")))
    except ValueError as error:  # pydantic's ValidationError is one
        message = f"LORALAB_STOPWATCH is {text!r}."
        raise ConfigError(message, f"Set it like {EXAMPLE}, in seconds.") from error


@cache
def read_cpu_model() -> str:
    """Return the name of the processor."""
    lines = CPU_FACTS.read_text().splitlines() if CPU_FACTS.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


@cache
def _torch_version() -> str:
    return version("torch")


def _decide(
    settings: Settings, subject: str, kind: type[Seconds], measure: Callable[[], Seconds]
) -> Seconds:
    machine = identify_machine(settings)
    path = _path(settings, machine, subject)
    if (stored := _read(path, machine, kind)) is not None:
        return stored
    with hold_lock(path.with_suffix(".lock"), MEASURING_TIMEOUT_SECONDS) as held:
        if not held:
            message = (
                "Another process has been measuring this machine for"
                f" {MEASURING_TIMEOUT_SECONDS:g} s."
            )
            raise ConfigError(message, "End that process, then try again.")
        stored = _read(path, machine, kind)  # by a process that was here first
        if stored is None:
            stored = measure()
            record = {
                "machine": asdict(machine),
                "subject": subject,
                "seconds": stored.model_dump(),
            }
            files.write_cache(path, record)
    return stored


def _read(path: Path, machine: Machine, kind: type[Seconds]) -> Seconds | None:
    """Return None if nothing was measured on this machine, or the record is damaged."""
    try:
        record = files.read_json(path)
        if not isinstance(record, dict) or record.get("machine") != asdict(machine):
            return None
        return kind.model_validate(record.get("seconds"))
    except (ArtifactDamaged, ValidationError):
        return None


def _path(settings: Settings, machine: Machine, subject: str) -> Path:
    identity = "|".join((machine.cpu, str(machine.threads), machine.torch, subject))
    digest = hashlib.sha256(identity.encode()).hexdigest()[:16]
    return settings.home / "machines" / f"{digest}.json"
