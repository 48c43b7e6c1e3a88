"""How long a run takes and how much room it needs, from a speed measured on this machine or else a typical one.

Work is counted in reference rows: one text of 53 tokens, trained once, MiniLM with adapters on query and value. The cost of
a row grows in proportion to the weights of the layers and to the tokens; attention's square is small at these lengths.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from core.config import RunConfig
from core.errors import ConfigError
from core.facts import DataFacts, ModelFacts
from core.model_shape import ALL_LINEAR, count_trainable

TYPICAL_SPEED = 30.0  # reference rows/s on 2 cores, fp32, with some other work beside
TYPICAL_GPU_SPEED = 1000.0
REFERENCE_WEIGHTS = 10_616_832  # in MiniLM's six layers
REFERENCE_TOKENS = 53.0
EVALUATION_SPEEDUP = 3.0  # no backward pass
ALL_LINEAR_COST = 1.4  # a step with an adapter on every linear layer against query and value only
BASE_DROPOUT_COST = 1.45  # drawing its masks was 31 % of a step
DORA_COST = 1.8
START_SECONDS = 12.0  # imports, data and model from a warm disk
TOKENISED_PER_SECOND = 4000.0
UNTRAINED_ROWS = 1000
MEASURED_RANGE, TYPICAL_RANGE = (0.8, 1.4), (0.5, 2.5)  # times the likely seconds
NEWEST = 5  # runs that a measured speed rests on: older ones may come from a busier or slower machine

MB = 2**20
RUNTIME_MB = 570  # interpreter, torch, transformers, peft and pandas: 500 measured, 70 more once Parquet has been read
KEPT_PER_LAYER = 18  # fp32 tensors of (B, T, d) that a layer keeps for the backward pass
TEXT_BYTES = 1500  # a row of text in a frame, and its token ids
HEAP_SLACK = 1.1  # freed blocks that the allocator keeps; with it 1,240 MB are foretold where a Taste run reported 1,261
CHECKPOINT_COPIES = 8  # weights, two moments and the best weights, in the two checkpoints kept


@dataclass(frozen=True, slots=True)
class Timing:
    """What a finished run managed: its rows per second, and the work of one of its rows (see ``row_work``)."""

    rows_per_second: float
    work: float
    finished_at: float


@dataclass(frozen=True, slots=True)
class Speed:
    """Reference rows per second while training and while evaluating; ``source`` says where the figure comes from."""

    rows_per_second_train: float
    rows_per_second_eval: float
    measured: bool
    source: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run is expected to come to, launch to end. ``low_seconds`` to ``high_seconds`` is meant to hold it nine times in ten."""

    steps: int
    low_seconds: float
    likely_seconds: float
    high_seconds: float
    memory_mb: int
    disk_mb: int
    speed: Speed


def typical_speed(device: str = "cpu") -> Speed:
    """A cautious figure for a machine on which no run has finished yet."""
    rate = TYPICAL_SPEED if device == "cpu" else TYPICAL_GPU_SPEED
    what = "2 cores" if device == "cpu" else "a GPU"
    return Speed(rate, rate * EVALUATION_SPEEDUP, False, f"typical for {what}, not measured here")


def measured_speed(timings: Sequence[Timing], device: str = "cpu") -> Speed:
    """The median of the newest runs on this machine; ``typical_speed`` where there are none."""
    usable = [timing for timing in timings if timing.rows_per_second > 0 and timing.work > 0]
    if not usable:
        return typical_speed(device)
    newest = sorted(usable, key=lambda timing: timing.finished_at)[-NEWEST:]
    rate = median(timing.rows_per_second * timing.work for timing in newest)
    runs = "the last run" if len(newest) == 1 else f"the last {len(newest)} runs"
    return Speed(rate, rate * EVALUATION_SPEEDUP, True, f"measured in {runs} on this machine")


def row_work(config: RunConfig, data: DataFacts, model: ModelFacts) -> float:
    """Cost of training one row, in reference rows."""
    work = _forward_work(config, data, model)
    if ALL_LINEAR in config.target_modules:
        work *= ALL_LINEAR_COST
    if config.dora:
        work *= DORA_COST
    return work * BASE_DROPOUT_COST if config.base_dropout else work


def estimate(config: RunConfig, data: DataFacts, model: ModelFacts, speed: Speed) -> Estimate:
    """Steps, seconds, memory and disk of a run with ``config``."""
    rows = data.used_rows(config)
    steps = config.total_steps(rows)
    validations = math.ceil(steps / config.evaluation_interval)
    validated = validations * min(config.validation_rows, data.validation_rows)
    evaluated = validated + data.used_test_rows(config) + min(UNTRAINED_ROWS, data.test_rows)
    seconds = START_SECONDS + (rows + data.used_test_rows(config)) / TOKENISED_PER_SECOND
    seconds += rows * config.epochs * row_work(config, data, model) / speed.rows_per_second_train
    seconds += evaluated * _forward_work(config, data, model) / speed.rows_per_second_eval
    low, high = MEASURED_RANGE if speed.measured else TYPICAL_RANGE
    classes = data.classes
    trainable = _trainable(config, model, classes)
    return Estimate(
        steps,
        seconds * low,
        seconds,
        seconds * high,
        _memory_mb(config, data, model, trainable),
        _disk_mb(trainable, evaluated, classes),
        speed,
    )


def _forward_work(config: RunConfig, data: DataFacts, model: ModelFacts) -> float:
    weights = sum(linear.inputs * linear.outputs for linear in model.shape.linears) if model.shape else REFERENCE_WEIGHTS
    tokens = data.mean_tokens(config.max_tokens) or min(REFERENCE_TOKENS, config.max_tokens)
    return (weights or REFERENCE_WEIGHTS) / REFERENCE_WEIGHTS * tokens / REFERENCE_TOKENS


def _trainable(config: RunConfig, model: ModelFacts, classes: int) -> int:
    try:
        return sum(count.parameters for count in count_trainable(model.shape, config, classes)) if model.shape else 0
    except ConfigError:
        return 0  # the checks say what is wrong with the target modules


def _memory_mb(config: RunConfig, data: DataFacts, model: ModelFacts, trainable: int) -> int:
    """The worker's peak. A batch holds texts of like length, so the longest batch counts with the longest texts."""
    rows = data.train_rows + data.validation_rows + data.test_rows  # all are read, then sampled
    longest = min(config.max_tokens, data.tokens_of(1.0) or config.max_tokens)
    layers, width = (model.shape.layers, model.shape.hidden_size) if model.shape else (6, 384)
    weights = model.shape.parameters if model.shape else 2 * REFERENCE_WEIGHTS
    activations = min(config.batch_size, data.used_rows(config)) * longest * width * layers * KEPT_PER_LAYER * 4
    needed = 2 * weights * 4 + trainable * 16 + activations + rows * TEXT_BYTES  # loading holds the file and the model
    return round(HEAP_SLACK * (RUNTIME_MB + needed / MB))


def _disk_mb(trainable: int, evaluated: int, classes: int) -> int:
    return math.ceil((trainable * 4 * (CHECKPOINT_COPIES + 1) + evaluated * (classes + 3) * 8) / MB)
