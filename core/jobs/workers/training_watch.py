"""Watch the events of a training, and store alerts in the run's result."""

import time
from collections.abc import Callable

import numpy as np

from core.config import RunConfig
from core.estimate.estimate import Estimate
from core.evaluation.predictions import Predictions
from core.jobs.context import JobContext
from core.progress import Phase, Progress
from core.runs.alerts import PACE_STEPS, STALLED, describe_pause, describe_slow, find_alerts
from core.runs.evidence import Evidence
from core.runs.run import RunAlert, RunResult, read_result
from core.storage.database import Metric
from core.training import events
from core.translation import mark

EVERY_STEPS = 20
PACED_SECONDS = 30.0  # of training, before its pace is compared with the estimate


class TrainingWatch:
    """Callback that passes each event on, and records an alert when a rule first applies.

    ``expected`` is the estimate, once it is known.
    """

    def __init__(
        self,
        context: JobContext,
        config: RunConfig,
        classes: tuple[str, ...],
        forward: Callable[[events.Event], None],
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self.context, self.config, self.classes, self.forward = context, config, classes, forward
        self.timer = timer
        self.expected: Estimate | None = None
        self.alerts = list(read_result(context.job).alerts or ())
        self.total = 0
        self._losses: list[float] = []
        self._times: list[float] = []
        self._validations: list[Metric] = []
        self._validation: Predictions | None = None

    def __call__(self, event: events.Event) -> None:
        """Pass the event on, then watch it."""
        self.forward(event)
        match event:
            case Progress(phase=Phase.TRAINING, total=total):
                self.total = total
            case events.TrainMetric():
                self._add_step(event)
            case events.ValidationMetric():
                self._add_validation(event)

    def _add_step(self, event: events.TrainMetric) -> None:
        now = self.timer()
        if not self._times and event.step > 1:
            self._read_earlier(event.step)
        if pause := describe_pause(self._times[-PACE_STEPS:], now):
            self._add(STALLED, event.step, pause, mark("Check memory and other programs."))
        self._losses.append(event.loss)
        self._times.append(now)
        if event.step % EVERY_STEPS == 0:
            self._check(event.step)

    def _read_earlier(self, step: int) -> None:
        """Read the curves of the attempts before this one."""
        self.context.flush()
        metrics = self.context.store.read_metrics(self.context.job.id)
        self._losses = [
            metric.loss for metric in metrics if metric.split == "train" and metric.step < step
        ]
        self._validations = [metric for metric in metrics if metric.split == "validation"]

    def _add_validation(self, event: events.ValidationMetric) -> None:
        at = self.context.store.clock()
        metric = Metric(event.step, "validation", event.epoch, event.loss, at, event.accuracy)
        self._validations.append(metric)
        self._validation = Predictions.of(event.predictions, len(self.classes))
        self._check(event.step)
        if self._times:
            self._times[-1] = self.timer()  # the time of a validation is no pause

    def _check(self, step: int) -> None:
        evidence = Evidence(
            self.config,
            self.classes,
            self.total,
            np.array(self._losses, dtype=np.float64),
            tuple(self._validations),
            self._validation,
        )
        for alert in find_alerts(evidence):
            self._add(alert.id, step, alert.sentence, alert.action)
        self._check_pace(step)

    def _check_pace(self, step: int) -> None:
        if self.expected is None or len(self._times) < PACE_STEPS:
            return
        trained = self.timer() - self._times[0]
        if trained < PACED_SECONDS:
            return
        left = trained / len(self._times) * max(0, self.total - step)
        start = self.expected.start_seconds + self.expected.untrained_seconds
        slow = describe_slow(start + trained, left, self.expected.high_seconds)
        if slow:
            self._add("slow", step, slow, mark("Other programs may use the machine."))

    def _add(self, name: str, step: int, message: str, action: str) -> None:
        if any(alert.id == name for alert in self.alerts):
            return
        self.alerts.append(RunAlert(id=name, step=step, message=message, action=action))
        self.context.update_result(RunResult(alerts=tuple(self.alerts)))
