"""Estimate time, memory and disk space of a run, and the time left while it runs.

The estimate is the work of the run times the cost of a unit of work on this machine
(``core.estimate.machine_costs``). The time left is the estimate corrected by the observed pace.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.config import Precision, RunConfig
from core.errors import ConfigError
from core.estimate.inputs import DataFacts, ModelFacts
from core.estimate.machine_costs import MachineCosts, typical
from core.estimate.workload import (
    Cost,
    count_microbatch_memory,
    data_mb,
    evaluation_work,
    is_fast,
    scaled,
    train_work,
    trained_mb,
)
from core.models.model_shape import MINILM, count_trainable, list_target_modules
from core.progress import Phase
from core.storage.database import Metric
from core.storage.job import Job
from core.training.events import UNTRAINED_ROWS
from core.training.microbatches import (
    DEFAULT_TOKENS_PER_TEXT,
    MICROBATCH_TOKENS,
    choose_training_tokens,
    simulate_evaluation_microbatches,
    simulate_train_microbatches,
)
from core.translation import translate

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
    source = translate(
        "based on a typical 2-core machine; this one has not been measured"
        if device == "cpu"
        else "based on a typical GPU; this one has not been measured"
    )
    return Speed(
        typical(device, precision=precision),
        False,
        source,
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
    held_out = data.held_out_rows(config)
    tested = sum(held_out)
    untrained = 0 if untrained_known else min(UNTRAINED_ROWS, data.test_rows)
    steps = config.total_steps(rows)
    validations = math.ceil(steps / config.evaluation_interval)
    tokens = _count_tokens(config, data, rows + validated + untrained + tested)

    def evaluating(*splits: int) -> float:
        return sum(_evaluation_seconds(config, data, model, speed, texts) for texts in splits)

    untrained_seconds = evaluating(untrained)
    start_seconds = (
        LAUNCH_SECONDS + calibration.start_seconds + tokens / calibration.tokens_per_second
    )
    step_seconds = speed.factor * calibration.train_seconds(cost)
    validation_seconds = validations * evaluating(validated)
    evaluation_seconds = evaluating(*held_out) + validations * SAVING_SECONDS
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
        memory_mb=round(speed.memory_factor * calibration.peak_memory_mb(cost)),
        disk_mb=_count_disk_mb(
            cost.trained, validations * validated + tested + untrained, data.classes
        ),
        speed=speed,
        precision=config.precision,
    )


def _count_tokens(config: RunConfig, data: DataFacts, texts: int) -> float:
    usual = min(DEFAULT_TOKENS_PER_TEXT, config.max_tokens)
    return texts * (data.mean_tokens(config.max_tokens) or usual)


def _evaluation_seconds(
    config: RunConfig, data: DataFacts, model: ModelFacts, speed: Speed, texts: int
) -> float:
    microbatches = simulate_evaluation_microbatches(
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
        list_target_modules(config, shape)
    except ConfigError:  # reported by the checks
        config = config.model_copy(update={"target_modules": ()})
    fast = is_fast(config, shape, model.device)
    microbatches = simulate_train_microbatches(
        data.token_lengths,
        rows,
        config.batch_size,
        config.max_tokens,
        choose_training_tokens(model.device, fast and config.precision == "bf16"),
        model.threads if fast else 1,
    )
    epoch = train_work(
        config, shape, data.classes, microbatches, math.ceil(rows / config.batch_size), model.device
    )
    trained = sum(count.parameters for count in count_trainable(shape, config, data.classes))
    encoded = rows + min(config.validation_rows, data.validation_rows)  # while it trains
    return Cost(
        scaled(epoch, config.epochs),
        count_microbatch_memory(config, shape, microbatches, model.device),
        data_mb(encoded) + trained_mb(trained),
        trained,
    )


def _count_disk_mb(trained: int, evaluated: int, classes: int) -> int:
    return math.ceil((trained * 4 * (CHECKPOINT_COPIES + 1) + evaluated * (classes + 3) * 8) / MB)


# weight of the estimate, as a number of observed steps and validations
TRUSTED_STEPS, TRUSTED_VALIDATIONS = 10, 1
# without a calibration of this machine no time is shown before this many steps
STEPS_WITHOUT_CALIBRATION = 5
BEFORE_TOKENS = (Phase.IMPORTING, Phase.LOADING)
WORKING = (Phase.TRAINING, Phase.VALIDATING)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds per step and per validation; ``steps`` is the number of observed steps."""

    step: float
    validation: float
    steps: int
    correction: float


def remaining_seconds(
    expected: Estimate | None, job: Job, metrics: Sequence[Metric], now: float
) -> float | None:
    """Estimate the seconds until the end of ``job``, including remaining validations and the final
    evaluation.

    ``expected`` is None if the run's data or model is missing; ``metrics`` are those of this run in
    order; ``now`` is a Unix time. Returns None before an estimate is possible. Early stopping is
    ignored.
    """
    if (
        expected is None
        or job.started_at is None
        or job.state.is_finished
        or job.phase == Phase.PREPARING
    ):
        return None
    pace = _measure_pace(expected, [metric for metric in metrics if metric.at >= job.started_at])
    if not expected.measured and pace.steps < STEPS_WITHOUT_CALIBRATION:
        return None
    done = job.done / job.total if job.total else 0.0
    evaluation = expected.evaluation_seconds * pace.correction
    untrained = expected.untrained_seconds * pace.correction
    if job.phase in BEFORE_TOKENS or not job.phase:
        starting = max(0.0, expected.start_seconds - (now - job.started_at))
        return starting + expected.train_seconds + untrained + evaluation
    if job.phase == Phase.TOKENIZING:
        return expected.train_seconds + untrained + evaluation
    if job.phase in WORKING:
        return _estimate_training(expected, pace, metrics, now) + untrained + evaluation
    if job.phase == Phase.UNTRAINED:
        return (1 - done) * untrained + evaluation
    if job.phase == Phase.EVALUATING:
        began_at = job.phase_at if job.phase_at is not None else now
        return _estimate_evaluation(evaluation, done, now - began_at)
    return 0.0


def _estimate_training(
    expected: Estimate, pace: Pace, metrics: Sequence[Metric], now: float
) -> float:
    """Estimate the time of the remaining steps and validations, minus the elapsed part of the
    current one.
    """
    step = max((metric.step for metric in metrics), default=0)
    validated = sum(metric.split == "validation" for metric in metrics)
    remaining = (
        max(0, expected.steps - step) * pace.step
        + max(0, expected.validations - validated) * pace.validation
    )
    current = min(now - metrics[-1].at, pace.step + pace.validation) if metrics else 0.0
    return max(0.0, remaining - current)


def _estimate_evaluation(predicted: float, done: float, elapsed: float) -> float:
    """Estimate the remaining evaluation; the observed pace has as much weight as the proportion
    done.
    """
    observed = elapsed / done if done else predicted
    return (1 - done) * (done * observed + (1 - done) * predicted)


def _measure_pace(expected: Estimate, metrics: Sequence[Metric]) -> Pace:
    """Combine the estimated time of a step and a validation with the observed ones."""
    steps = [
        after.at - before.at
        for before, after in pairwise(metrics)
        if before.split == after.split == "train"
    ]
    validations = [
        after.at - before.at
        for before, after in pairwise(metrics)
        if (before.split, after.split) == ("train", "validation")
    ]
    predicted_step = expected.step_seconds / max(1, expected.steps)
    predicted_validation = expected.validation_seconds / max(1, expected.validations)
    step = (sum(steps) + TRUSTED_STEPS * predicted_step) / (len(steps) + TRUSTED_STEPS)
    correction = step / predicted_step if predicted_step else 1.0
    validation = (sum(validations) + TRUSTED_VALIDATIONS * predicted_validation * correction) / (
        len(validations) + TRUSTED_VALIDATIONS
    )
    if validations and predicted_validation:
        correction = validation / predicted_validation
    return Pace(step, validation, len(steps), correction)
