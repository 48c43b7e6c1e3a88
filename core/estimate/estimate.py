"""Estimate time, memory and disk space of a run from the cost of a unit of work
(``core.estimate.machine_costs``).
"""

import math
from dataclasses import dataclass

from core.config import Precision, RunConfig
from core.errors import ConfigError
from core.estimate.inputs import DataFacts, ModelFacts
from core.estimate.machine_costs import MachineCosts, typical
from core.estimate.memory import HEAP_SLACK, MemoryUnit, data_mb, part_memory, trained_mb
from core.estimate.workload import CostUnit, evaluation_work, is_fast, scaled, train_work
from core.models.architecture import MINILM, count_trainable, target_modules
from core.training.microbatches import (
    MICROBATCH_TOKENS,
    USUAL_TOKENS,
    evaluation_microbatches,
    train_microbatches,
)

UNTRAINED_ROWS = 1000
LAUNCH_SECONDS = 0.5  # until the supervisor starts the worker, and until the worker exits
SAVING_SECONDS = 0.03  # predictions, adapter and checkpoint of a validation
MEASURED_RANGE, TYPICAL_RANGE = (0.8, 1.3), (0.4, 2.5)  # factors of the likely seconds

MB = 2**20
CHECKPOINT_COPIES = 8  # weights, two moments and best weights, in two checkpoints


@dataclass(frozen=True, slots=True)
class Speed:
    """The cost of work on this machine.

    ``factor`` corrects the calibration by the time of finished runs, ``memory_factor`` by their
    memory. 90 % of runs are expected to take ``low`` to ``high`` times the likely seconds.
    ``source`` describes the origin in words.
    """

    calibration: MachineCosts
    measured: bool
    source: str
    low: float
    high: float
    factor: float = 1.0
    memory_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Cost:
    """The work and memory of a run in units. ``fixed_mb`` is the memory of data and trained
    parameters.
    """

    work: dict[CostUnit, float]
    held: dict[MemoryUnit, float]
    fixed_mb: float
    trained: int

    def seconds(self, calibration: MachineCosts) -> float:
        """Seconds of all optimizer steps."""
        return calibration.cost(self.work)

    def memory_mb(self, calibration: MachineCosts) -> float:
        """Peak memory of the worker."""
        return calibration.base_mb + self.fixed_mb + HEAP_SLACK * calibration.size(self.held)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected cost of a run computed in ``precision``.

    ``likely_seconds``, from launch to end, is the sum of its five parts; 90 % of runs are expected
    to take ``low_seconds`` to ``high_seconds``. ``train_seconds`` is comparable with the value that
    a finished run reports.
    """

    steps: int
    validations: int
    low_seconds: float
    likely_seconds: float
    high_seconds: float
    start_seconds: float
    untrained_seconds: float
    step_seconds: float
    validation_seconds: float
    evaluation_seconds: float
    memory_mb: int
    disk_mb: int
    speed: Speed
    precision: Precision

    @property
    def train_seconds(self) -> float:
        """Seconds of steps and validations."""
        return self.step_seconds + self.validation_seconds

    @property
    def source(self) -> str:
        """Origin of the speed in words."""
        return self.speed.source

    @property
    def measured(self) -> bool:
        """Whether the speed was measured on this machine."""
        return self.speed.measured


def typical_speed(device: str = "cpu", precision: Precision = "fp32") -> Speed:
    """Return a cautious speed for a machine that has not been measured."""
    machine = "2-core machine" if device == "cpu" else "GPU"
    return Speed(
        typical(device, precision=precision),
        False,
        f"based on a typical {machine}; this one has not been measured",
        *TYPICAL_RANGE,
    )


def measured_speed(calibration: MachineCosts, source: str) -> Speed:
    """Return the speed as calibrated, before any run has finished."""
    return Speed(calibration, True, source, *MEASURED_RANGE)


def estimate(
    config: RunConfig,
    data: DataFacts,
    model: ModelFacts,
    speed: Speed,
    untrained_known: bool = False,
) -> Estimate:
    """Estimate steps, time, memory and disk space of a run with ``config``.

    Pass ``untrained_known`` if an earlier run has scored the untrained model.
    """
    config = in_precision(config, speed)
    calibration, cost = speed.calibration, run_cost(config, data, model)
    rows = data.used_rows(config)
    validated = min(config.validation_rows, data.validation_rows)
    tested = data.used_test_rows(config)
    untrained = 0 if untrained_known else min(UNTRAINED_ROWS, data.test_rows)
    steps = config.total_steps(rows)
    validations = math.ceil(steps / config.evaluation_interval)
    tokens = _count_tokens(config, data, rows + validated + untrained + tested)

    def evaluating(texts: int) -> float:
        return _evaluation_seconds(config, data, model, speed, texts)

    untrained_seconds = evaluating(untrained)
    start_seconds = (
        LAUNCH_SECONDS + calibration.start_seconds + tokens / calibration.tokens_per_second
    )
    step_seconds = speed.factor * cost.seconds(calibration)
    validation_seconds = validations * evaluating(validated)
    evaluation_seconds = evaluating(tested) + validations * SAVING_SECONDS
    likely = (
        start_seconds + untrained_seconds + (step_seconds + validation_seconds) + evaluation_seconds
    )
    return Estimate(
        steps=steps,
        validations=validations,
        low_seconds=likely * speed.low,
        likely_seconds=likely,
        high_seconds=likely * speed.high,
        start_seconds=start_seconds,
        untrained_seconds=untrained_seconds,
        step_seconds=step_seconds,
        validation_seconds=validation_seconds,
        evaluation_seconds=evaluation_seconds,
        memory_mb=round(speed.memory_factor * cost.memory_mb(calibration)),
        disk_mb=_count_disk_mb(
            cost.trained, validations * validated + tested + untrained, data.classes
        ),
        speed=speed,
        precision=config.precision,
    )


def _count_tokens(config: RunConfig, data: DataFacts, texts: int) -> float:
    usual = min(USUAL_TOKENS, config.max_tokens)
    return texts * (data.mean_tokens(config.max_tokens) or usual)


def _evaluation_seconds(
    config: RunConfig, data: DataFacts, model: ModelFacts, speed: Speed, texts: int
) -> float:
    microbatches = evaluation_microbatches(
        data.token_lengths, texts, config.max_tokens, MICROBATCH_TOKENS[model.device]
    )
    work = evaluation_work(config, model.shape or MINILM, microbatches, model.device)
    return speed.factor * speed.calibration.cost(work)


def in_precision(config: RunConfig, speed: Speed) -> RunConfig:
    """Resolve precision auto to that of ``speed``."""
    if config.precision != "auto":
        return config
    return config.model_copy(update={"precision": speed.calibration.key.precision})


def run_cost(config: RunConfig, data: DataFacts, model: ModelFacts) -> Cost:
    """Count the work and memory of a run with ``config``."""
    shape, rows = model.shape or MINILM, data.used_rows(config)
    try:
        target_modules(config, shape)
    except ConfigError:  # reported by the checks
        config = config.model_copy(update={"target_modules": ()})
    threads = model.threads if is_fast(config, shape, model.device) else 1
    microbatches = train_microbatches(
        data.token_lengths,
        rows,
        config.batch_size,
        config.max_tokens,
        MICROBATCH_TOKENS[model.device],
        threads,
    )
    epoch = train_work(
        config, shape, data.classes, microbatches, math.ceil(rows / config.batch_size), model.device
    )
    trained = sum(count.parameters for count in count_trainable(shape, config, data.classes))
    encoded = rows + min(config.validation_rows, data.validation_rows)  # while it trains
    return Cost(
        scaled(epoch, config.epochs),
        part_memory(config, shape, microbatches, model.device),
        data_mb(encoded) + trained_mb(trained),
        trained,
    )


def _count_disk_mb(trained: int, evaluated: int, classes: int) -> int:
    return math.ceil((trained * 4 * (CHECKPOINT_COPIES + 1) + evaluated * (classes + 3) * 8) / MB)
