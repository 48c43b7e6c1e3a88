"""Seconds until a run is over: what was estimated for it, corrected step by step by the pace that
is seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from core.estimate.estimate import Estimate
from core.progress import Phase
from core.storage.job import Job
from core.storage.schema import Metric

TRUSTED_STEPS, TRUSTED_VALIDATIONS = 10, 1  # the estimate counts as much as so many that were seen
STEPS_WITHOUT_CALIBRATION = 5  # before these a speed that is not this machine's says nothing
BEFORE_UNTRAINED = (Phase.IMPORTING, Phase.LOADING)
WORKING = (Phase.TRAINING, Phase.VALIDATING)


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds a step and a validation are taken to last; ``steps`` says how many were seen."""

    step: float
    validation: float
    steps: int
    correction: float


def remaining_seconds(
    expected: Estimate | None, job: Job, metrics: Sequence[Metric], now: float
) -> float | None:
    """Seconds until the end of ``job``, remaining validations and the final evaluation included.

    ``expected`` is None where the run's data or model have gone; ``metrics`` are those of this run
    so far, in order; ``now`` is in seconds since 1970. None before anything can be said. A run that
    may stop early is expected to go to its last step.
    """
    if expected is None or job.started_at is None or job.state.over or job.phase == Phase.PREPARING:
        return None
    pace = _pace(expected, [metric for metric in metrics if metric.at >= job.started_at])
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
        return _training(expected, pace, metrics, now) + evaluation
    if job.phase == Phase.EVALUATING:
        return _evaluating(evaluation, done, now - metrics[-1].at if metrics else 0.0)
    return 0.0


def _training(expected: Estimate, pace: Pace, metrics: Sequence[Metric], now: float) -> float:
    """Steps and validations that are left, less what has passed of the one under way."""
    step = max((metric.step for metric in metrics), default=0)
    validated = sum(metric.split == "validation" for metric in metrics)
    left = (
        max(0, expected.steps - step) * pace.step
        + max(0, expected.validations - validated) * pace.validation
    )
    under_way = min(now - metrics[-1].at, pace.step + pace.validation) if metrics else 0.0
    return max(0.0, left - under_way)


def _evaluating(predicted: float, done: float, elapsed: float) -> float:
    """The share that is left; the pace so far counts as much as the share that is done."""
    seen = elapsed / done if done else predicted
    return (1 - done) * (done * seen + (1 - done) * predicted)


def _pace(expected: Estimate, metrics: Sequence[Metric]) -> Pace:
    """What one step and one validation take: the estimate, replaced as more are seen."""
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
