"""How long a run takes and how much room it needs, from what a unit of work costs on this machine (``core.calibration``)."""

import math
from dataclasses import dataclass
from functools import cache

from core.calibration import Calibration, typical
from core.config import RunConfig
from core.errors import ConfigError
from core.facts import DataFacts, ModelFacts
from core.model_shape import Linear, ModelShape, count_trainable
from core.packing import PART_TOKENS, Parts, evaluation_parts, train_parts
from core.work import Unit, evaluation_work, times, train_work

UNTRAINED_ROWS = 1000
LAUNCH_SECONDS = 2.0  # the supervisor starts, looks and starts the worker; at the end the worker leaves
VALIDATION_OVERHEAD = 0.15  # merging the adapter and writing predictions, adapter and checkpoint to disk
MEASURED_RANGE, TYPICAL_RANGE = (0.8, 1.3), (0.4, 2.5)  # times the likely seconds

MB = 2**20
ROW_BYTES = 1000  # of text, token ids and bookkeeping of a row that is read
CHECKPOINT_COPIES = 8  # weights, two moments and the best weights, in the two checkpoints kept
TRAINED_BYTES = 28  # of a trained parameter: itself, gradient, two moments, the best weights, and a checkpoint being packed


@dataclass(frozen=True, slots=True)
class Speed:
    """What work costs here. ``factor`` is what finished runs took against the calibration; ``low`` to ``high`` times the likely
    seconds is meant to hold a run nine times in ten. ``source`` says in words where the figures come from.
    """

    calibration: Calibration
    measured: bool
    source: str
    factor: float = 1.0
    low: float = TYPICAL_RANGE[0]
    high: float = TYPICAL_RANGE[1]
    memory_factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run is expected to come to. ``likely_seconds`` is the sum from launch to end of start, untrained score, training and
    final evaluation; ``train_seconds`` of steps (``step_seconds``) and validations, as a finished run reports them.
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

    @property
    def train_seconds(self) -> float:
        """Steps and validations."""
        return self.step_seconds + self.validation_seconds

    @property
    def source(self) -> str:
        """Where the speed comes from, in words."""
        return self.speed.source

    @property
    def measured(self) -> bool:
        """Whether the speed was measured on this machine."""
        return self.speed.measured


def typical_speed(device: str = "cpu") -> Speed:
    """A cautious figure for a machine on which nothing has been measured yet."""
    what = "2 cores" if device == "cpu" else "a GPU"
    return Speed(typical(device), False, f"typical for {what}, not measured here")


def measured_speed(calibration: Calibration, source: str) -> Speed:
    """As calibrated, before any run has finished."""
    return Speed(calibration, True, source, 1.0, *MEASURED_RANGE)


def estimate(config: RunConfig, data: DataFacts, model: ModelFacts, speed: Speed) -> Estimate:
    """Steps, seconds, memory and disk of a run with ``config``."""
    rows, calibration = data.used_rows(config), speed.calibration
    steps = config.total_steps(rows)
    validations = math.ceil(steps / config.evaluation_interval)
    validated = min(config.validation_rows, data.validation_rows)
    untrained, tested = min(UNTRAINED_ROWS, data.test_rows), data.used_test_rows(config)
    tokenised = (rows + validated + untrained + tested) * (data.mean_tokens(config.max_tokens) or min(53, config.max_tokens))
    start = LAUNCH_SECONDS + calibration.start_seconds + tokenised / calibration.tokens_per_second
    step = _cost_of_steps(config, data, model, speed)
    validation = validations * _cost_of_evaluation(config, data, model, speed, validated)
    saving = validations * VALIDATION_OVERHEAD
    before = _cost_of_evaluation(config, data, model, speed, untrained)
    final = _cost_of_evaluation(config, data, model, speed, tested)
    likely = start + before + step + validation + saving + final
    return Estimate(
        steps,
        validations,
        likely * speed.low,
        likely,
        likely * speed.high,
        start,
        before,
        step,
        validation,
        final + saving,
        _memory_mb(config, data, model, speed),
        _disk_mb(_trained(config, model, data.classes), validations * validated + tested + untrained, data.classes),
        speed,
    )


def run_work(config: RunConfig, data: DataFacts, model: ModelFacts) -> dict[Unit, float]:
    """Units of all optimiser steps of a run."""
    rows, shape = data.used_rows(config), _shape(model)
    parts = train_parts(data.token_lengths, rows, config.batch_size, config.max_tokens, PART_TOKENS[model.device])
    try:
        work = train_work(config, shape, data.classes, parts, math.ceil(rows / config.batch_size))
    except ConfigError:  # the checks say what is wrong with the target modules
        usual = config.model_copy(update={"target_modules": ()})
        work = train_work(usual, shape, data.classes, parts, math.ceil(rows / config.batch_size))
    return times(work, config.epochs)


def _cost_of_steps(config: RunConfig, data: DataFacts, model: ModelFacts, speed: Speed) -> float:
    return speed.factor * speed.calibration.cost(run_work(config, data, model))


def _cost_of_evaluation(config: RunConfig, data: DataFacts, model: ModelFacts, speed: Speed, rows: int) -> float:
    parts = evaluation_parts(data.token_lengths, rows, config.max_tokens, PART_TOKENS[model.device])
    return speed.factor * speed.calibration.cost(evaluation_work(_shape(model), parts))


def _shape(model: ModelFacts) -> ModelShape:
    return model.shape if model.shape and model.shape.linears else _usual_shape()


@cache
def _usual_shape() -> ModelShape:
    """MiniLM's, for a model whose files are not here yet."""
    widths = {"query": (384, 384), "key": (384, 384), "value": (384, 384)}
    modules = {f"attention.self.{name}": width for name, width in widths.items()}
    modules |= {"attention.output.dense": (384, 384), "intermediate.dense": (384, 1536), "output.dense": (1536, 384)}
    linears = tuple(Linear(f"encoder.layer.{layer}.{name}", *width) for layer in range(6) for name, width in modules.items())
    return ModelShape("bert", 22_713_216, 384, 6, 512, linears, True)


def _trained(config: RunConfig, model: ModelFacts, classes: int) -> int:
    try:
        return sum(count.parameters for count in count_trainable(_shape(model), config, classes))
    except ConfigError:
        return 0


def _memory_mb(config: RunConfig, data: DataFacts, model: ModelFacts, speed: Speed) -> int:
    """The worker's peak: while loading the model, or else over the largest part."""
    calibration, shape = speed.calibration, _shape(model)
    read = data.train_rows + data.validation_rows + data.test_rows  # all are read, then sampled
    parts: Parts = train_parts(data.token_lengths, data.used_rows(config), config.batch_size, config.max_tokens, PART_TOKENS[model.device])
    largest = float((parts.rows * parts.tokens).max(initial=0))
    activations = largest * shape.hidden_size * shape.layers / 1e6 * calibration.activation_mb
    held = calibration.base_mb + _trained(config, model, data.classes) * TRAINED_BYTES / MB + activations
    return round(speed.memory_factor * (max(held, calibration.load_mb) + read * ROW_BYTES / MB))


def _disk_mb(trained: int, evaluated: int, classes: int) -> int:
    return math.ceil((trained * 4 * (CHECKPOINT_COPIES + 1) + evaluated * (classes + 3) * 8) / MB)
