"""How long a run takes and how much room it needs, from what a unit of work costs on this machine
(``core.estimate.machine_costs``).
"""

import math
from dataclasses import dataclass, replace

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
LAUNCH_SECONDS = 0.5  # the supervisor looks and starts the worker; at the end the worker leaves
SAVING_SECONDS = (
    0.03  # predictions, adapter and checkpoint of a validation, on their way to the disk
)
MEASURED_RANGE, TYPICAL_RANGE = (0.8, 1.3), (0.4, 2.5)  # times the likely seconds

MB = 2**20
CHECKPOINT_COPIES = 8  # weights, two moments and the best weights, in the two checkpoints kept


@dataclass(frozen=True, slots=True)
class Speed:
    """What work costs here. ``factor`` is what finished runs took against the calibration, in time
    and in ``memory_factor`` in memory; ``low`` to ``high`` times the likely seconds is meant to
    hold a run nine times in ten. ``source`` says it in words.
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
    """What a run has to compute and to hold, whatever a unit may cost. ``fixed_mb`` are those of
    data and trained parameters.
    """

    work: dict[CostUnit, float]
    held: dict[MemoryUnit, float]
    fixed_mb: float
    trained: int

    def seconds(self, calibration: MachineCosts) -> float:
        """Seconds of all optimiser steps."""
        return calibration.cost(self.work)

    def memory_mb(self, calibration: MachineCosts) -> float:
        """The worker's peak."""
        return calibration.base_mb + self.fixed_mb + HEAP_SLACK * calibration.size(self.held)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run is expected to come to, computed in ``precision``.

    ``likely_seconds``, from launch to end, is the sum of its five parts; ``low_seconds`` to
    ``high_seconds`` is meant to hold it nine times in ten. ``train_seconds`` is what a finished run
    reports under that name.
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
        """Steps and the validations between them."""
        return self.step_seconds + self.validation_seconds

    @property
    def source(self) -> str:
        """Where the speed comes from, in words."""
        return self.speed.source

    @property
    def measured(self) -> bool:
        """Whether the speed was measured on this machine."""
        return self.speed.measured


def typical_speed(device: str = "cpu", precision: Precision = "fp32") -> Speed:
    """A cautious figure for a machine on which nothing has been measured yet."""
    machine = "2-core machine" if device == "cpu" else "GPU"
    return Speed(
        typical(device, precision=precision),
        False,
        f"based on a typical {machine}; this one has not been measured",
        *TYPICAL_RANGE,
    )


def measured_speed(calibration: MachineCosts, source: str) -> Speed:
    """As calibrated, before any run has finished."""
    return Speed(calibration, True, source, *MEASURED_RANGE)


def estimate(
    config: RunConfig,
    data: DataFacts,
    model: ModelFacts,
    speed: Speed,
    untrained_known: bool = False,
) -> Estimate:
    """Steps, seconds, memory and disk of a run with ``config``; ``untrained_known`` if an earlier
    run has scored the untrained model.
    """
    config = in_precision(config, speed)
    calibration, rows, cost = (
        speed.calibration,
        data.used_rows(config),
        run_cost(config, data, model),
    )
    steps = config.total_steps(rows)
    validations = math.ceil(steps / config.evaluation_interval)
    validated, tested = (
        min(config.validation_rows, data.validation_rows),
        data.used_test_rows(config),
    )
    untrained = 0 if untrained_known else min(UNTRAINED_ROWS, data.test_rows)
    tokens = (rows + validated + untrained + tested) * (
        data.mean_tokens(config.max_tokens) or min(USUAL_TOKENS, config.max_tokens)
    )

    def evaluating(texts: int) -> float:
        parts = evaluation_microbatches(
            data.token_lengths, texts, config.max_tokens, MICROBATCH_TOKENS[model.device]
        )
        return speed.factor * calibration.cost(
            evaluation_work(config, model.shape or MINILM, parts, model.device)
        )

    found = Estimate(
        steps=steps,
        validations=validations,
        low_seconds=0.0,
        likely_seconds=0.0,
        high_seconds=0.0,
        start_seconds=LAUNCH_SECONDS
        + calibration.start_seconds
        + tokens / calibration.tokens_per_second,
        untrained_seconds=evaluating(untrained),
        step_seconds=speed.factor * cost.seconds(calibration),
        validation_seconds=validations * evaluating(validated),
        evaluation_seconds=evaluating(tested) + validations * SAVING_SECONDS,
        memory_mb=round(speed.memory_factor * cost.memory_mb(calibration)),
        disk_mb=_disk_mb(cost.trained, validations * validated + tested + untrained, data.classes),
        speed=speed,
        precision=config.precision,
    )
    likely = (
        found.start_seconds
        + found.untrained_seconds
        + found.train_seconds
        + found.evaluation_seconds
    )
    return replace(
        found,
        low_seconds=likely * speed.low,
        likely_seconds=likely,
        high_seconds=likely * speed.high,
    )


def in_precision(config: RunConfig, speed: Speed) -> RunConfig:
    """``config`` with what precision auto is where ``speed`` was found."""
    if config.precision != "auto":
        return config
    return config.model_copy(update={"precision": speed.calibration.key.precision})


def run_cost(config: RunConfig, data: DataFacts, model: ModelFacts) -> Cost:
    """What a run with ``config`` has to compute and to hold."""
    shape, rows = model.shape or MINILM, data.used_rows(config)
    try:
        target_modules(config, shape)
    except ConfigError:  # the checks say what is wrong with the target modules
        config = config.model_copy(update={"target_modules": ()})
    threads = model.threads if is_fast(config, shape, model.device) else 1
    parts = train_microbatches(
        data.token_lengths,
        rows,
        config.batch_size,
        config.max_tokens,
        MICROBATCH_TOKENS[model.device],
        threads,
    )
    epoch = train_work(
        config, shape, data.classes, parts, math.ceil(rows / config.batch_size), model.device
    )
    trained = sum(count.parameters for count in count_trainable(shape, config, data.classes))
    encoded = rows + min(config.validation_rows, data.validation_rows)  # while it trains
    return Cost(
        scaled(epoch, config.epochs),
        part_memory(config, shape, parts, model.device),
        data_mb(encoded) + trained_mb(trained),
        trained,
    )


def _disk_mb(trained: int, evaluated: int, classes: int) -> int:
    return math.ceil((trained * 4 * (CHECKPOINT_COPIES + 1) + evaluated * (classes + 3) * 8) / MB)
