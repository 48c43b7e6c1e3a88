"""Estimate the seconds until a run ends: the estimate made for it, corrected by the observed
pace.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.estimate.estimate import Estimate
from core.progress import Phase
from core.storage.job import Job
from core.storage.schema import Metric

# weight of the estimate, as a number of observed steps and validations
TRUSTED_STEPS, TRUSTED_VALIDATIONS = 10, 1
# without a calibration of this machine no time is shown before this many steps
STEPS_WITHOUT_CALIBRATION = 5
BEFORE_UNTRAINED = (Phase.IMPORTING, Phase.LOADING)
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
    if expected is None or job.started_at is None or job.state.over or job.phase == Phase.PREPARING:
        return None
    pace = _measure_pace(expected, [metric for metric in metrics if metric.at >= job.started_at])
    if not expected.measured and pace.steps < STEPS_WITHOUT_CALIBRATION:
        return None
    done = job.done / job.total if job.total else 0.0
    evaluation = expected.evaluation_seconds * pace.correction
    if job.phase in BEFORE_UNTRAINED or not job.phase:
        starting = max(0.0, expected.start_seconds - (now - job.started_at))
        return starting + expected.untrained_seconds + expected.train_seconds + evaluation
    if job.phase == Phase.UNTRAINED:
        return (1 - done) * expected.untrained_seconds + expected.train_seconds + evaluation
    if job.phase == Phase.TOKENISING:
        return expected.train_seconds + evaluation
    if job.phase in WORKING:
        return _estimate_training(expected, pace, metrics, now) + evaluation
    if job.phase == Phase.EVALUATING:
        return _estimate_evaluation(evaluation, done, now - metrics[-1].at if metrics else 0.0)
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
