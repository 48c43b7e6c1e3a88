"""Alerts about a training while it runs: a table of rules on its curves, and two on its pace.

The worker evaluates them and stores each alert once in the run's result. A run that makes no step
cannot report it, so pages and the command line look for a stall themselves.
"""

from collections.abc import Sequence
from statistics import median

from core.runs.diagnosis import (
    FELL,
    ONE_CLASS_SHARE,
    UNDERFIT,
    Diagnosis,
    Rule,
    explain_one_class,
    explain_overfitting,
    has_risen,
    lower_rate,
    raise_rate,
)
from core.runs.evidence import WINDOW, Evidence
from core.runs.run import RunAlert, read_result
from core.storage.database import Metric
from core.storage.job import Job, JobState
from core.storage.store import Store
from core.translation import mark

MIN_STEPS, STEPS_PER_CLASS, MIN_SHARE = 40, 3, 0.2  # before the first alert about a curve
SLOW = 1.5  # times the high estimate
PACE_STEPS = 20
STALLED_SECONDS, STALLED_STEPS = 60.0, 20  # whichever is longer: a pause, or that many steps
STALLED = "stalled"


def find_alerts(evidence: Evidence) -> list[Diagnosis]:
    """Return the alerts that apply to a training so far."""
    return [problem for rule in ALERTS if (problem := rule.diagnose(evidence))]


def _has_started(evidence: Evidence) -> bool:
    warmup = evidence.config.warmup * evidence.total_steps
    classes = STEPS_PER_CLASS * len(evidence.classes)
    return evidence.steps >= max(
        MIN_STEPS, classes, MIN_SHARE * evidence.total_steps, warmup + WINDOW
    )


def _recent_loss(evidence: Evidence) -> float:
    return float(evidence.losses[-2 * WINDOW :].mean())


def _is_rising(evidence: Evidence) -> bool:
    return evidence.steps >= 2 * WINDOW and _recent_loss(evidence) > evidence.high_loss


def _explain_rising(evidence: Evidence) -> str:
    return mark(
        "The training loss is {recent:.2f}, above that of guessing ({run.guess_loss:.2f})."
    ).format(run=evidence, recent=_recent_loss(evidence))


LOSS_RISING = Rule(
    "loss rising",
    _is_rising,
    _explain_rising,
    mark("Stop, and train again with a lower learning rate."),
    lower_rate,
)


def _is_flat(evidence: Evidence) -> bool:
    return (
        _has_started(evidence)
        and not _is_rising(evidence)
        and _recent_loss(evidence) > FELL * max(evidence.start_loss, evidence.guess_loss)
    )


def _explain_flat(evidence: Evidence) -> str:
    return mark(
        "The training loss has not fallen in {run.steps:,} steps: {run.start_loss:.2f} at first,"
        " {recent:.2f} now."
    ).format(run=evidence, recent=_recent_loss(evidence))


LOSS_NOT_FALLING = Rule(
    "loss not falling",
    _is_flat,
    _explain_flat,
    mark("If it stays so, check the labels and the learning rate."),
    lambda evidence: raise_rate(evidence) if evidence.rate_is_low else {},
)


def _is_overfitting(evidence: Evidence) -> bool:
    if len(evidence.validations) < 3:
        return False
    risen = all(has_risen(evidence, metric) for metric in evidence.validations[-2:])
    return risen and _recent_loss(evidence) < UNDERFIT * evidence.guess_loss


OVERFITTING = Rule(
    "overfitting",
    _is_overfitting,
    explain_overfitting,
    mark("You may stop the run: the best adapter stays usable."),
)


def _is_one_class(evidence: Evidence) -> bool:
    return (
        _has_started(evidence)
        and evidence.top_class[1] >= ONE_CLASS_SHARE
        and evidence.majority < 0.9
    )


ONE_CLASS = Rule(
    "one class",
    _is_one_class,
    explain_one_class,
    mark("If it stays so, lower the learning rate and check the labels."),
)


ALERTS = (LOSS_RISING, LOSS_NOT_FALLING, OVERFITTING, ONE_CLASS)


def describe_slow(elapsed: float, left: float, high_seconds: float) -> str:
    """Describe a run that takes much longer than its high estimate; empty if it does not."""
    if elapsed + left <= SLOW * high_seconds:
        return ""
    return mark("The run will take about {likely}; the estimate was at most {high}.").format(
        likely=_minutes(elapsed + left), high=_minutes(high_seconds)
    )


def describe_pause(times: Sequence[float], now: float, phase_at: float | None = None) -> str:
    """Describe the pause since the last of the steps at ``times``; empty if it is not unusual.

    ``phase_at`` is the start of the current phase. If a validation ended after the last step, the
    run has been silent only since then.
    """
    if len(times) < 2:
        return ""
    pace = median(later - earlier for earlier, later in zip(times, times[1:], strict=False))
    silent = now - max(times[-1], phase_at or times[-1])
    if silent <= max(STALLED_SECONDS, STALLED_STEPS * pace):
        return ""
    return mark("No step for {silent}; a step takes about {pace:.1f} s.").format(
        silent=_minutes(now - times[-1]), pace=pace
    )


def find_stall(store: Store, job: Job) -> RunAlert | None:
    """Return an alert if a run that is training makes no steps; None otherwise.

    A validation is no stall as long as it reports progress.
    """
    if job.state is not JobState.RUNNING or job.phase != "training":
        return None
    metrics: list[Metric] = store.read_last_metrics(job.id, PACE_STEPS)
    times = [metric.at for metric in metrics]
    message = describe_pause(times, store.clock(), job.phase_at)
    if not message:
        return None
    action = mark(
        "Check memory and other programs; stop and resume the run if it does not continue."
    )
    return RunAlert(id=STALLED, step=metrics[-1].step, message=message, action=action)


def list_alerts(store: Store, job: Job) -> list[RunAlert]:
    """List the stored alerts of a run and the current stall. Raises ArtifactDamaged."""
    stored = list(read_result(job).alerts or ())
    stall = find_stall(store, job)
    return [*stored, stall] if stall else stored


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
