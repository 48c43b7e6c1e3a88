from dataclasses import replace

import numpy as np
import pytest

from core.config import RunConfig
from core.estimate.estimate import Estimate, typical_speed
from core.estimate.estimate import estimate as compute_estimate
from core.estimate.inputs import DataFacts, ModelFacts
from core.jobs.context import JobContext
from core.jobs.workers.training_watch import TrainingWatch
from core.progress import Phase, Progress
from core.runs.run import RunAlert, RunResult, read_result
from core.storage.database import Metric
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from core.training.events import Event, TrainMetric, ValidationMetric
from tests.support.clock import Clock
from tests.support.evidence import predict

CLASSES = ("a", "b", "c", "d")
STEPS = 100


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


@pytest.fixture
def context(store: Store) -> JobContext:
    job = store.create(JobKind.TRAIN, "run", {}, "key")
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.RUNNING)
    return JobContext(store, store.read_job(job.id))


def watch(context: JobContext, clock: Clock, passed: list[Event] | None = None) -> TrainingWatch:
    forward = (passed if passed is not None else []).append
    watching = TrainingWatch(context, RunConfig(), CLASSES, forward, clock)
    watching(Progress(Phase.TRAINING, 0, STEPS))
    return watching


def read_alerts(context: JobContext) -> tuple[RunAlert, ...]:
    return read_result(context.store.read_job(context.job.id)).alerts or ()


def step(number: int, loss: float) -> TrainMetric:
    return TrainMetric(number, 0.1, loss, 1e-3, 30.0)


def test_every_event_is_passed_on(context: JobContext, clock: Clock) -> None:
    passed: list[Event] = []

    watch(context, clock, passed)(step(1, 1.4))

    assert passed == [Progress(Phase.TRAINING, 0, STEPS), step(1, 1.4)]


def test_an_alert_is_stored_once(context: JobContext, clock: Clock) -> None:
    watching = watch(context, clock)
    for number in range(1, 61):
        clock.now += 1
        watching(step(number, 3.0))

    (alert,) = read_alerts(context)
    assert (alert.id, alert.step) == ("loss rising", 20)


def test_a_healthy_training_stores_none(context: JobContext, clock: Clock) -> None:
    watching = watch(context, clock)
    for number in range(1, STEPS + 1):
        clock.now += 1
        watching(step(number, 1.39 - number / 90))

    assert read_alerts(context) == ()


def test_one_class_is_seen_in_the_validation(context: JobContext, clock: Clock) -> None:
    watching = watch(context, clock)
    for number in range(1, 41):
        clock.now += 1
        watching(step(number, 1.39 - number / 100))
    frame = predict(0, only=2).frame
    watching(ValidationMetric(40, 0.4, 1.3, 0.25, 0.1, True, frame))

    assert [alert.id for alert in read_alerts(context)] == ["one class"]


def test_a_pause_between_two_steps_is_stored(context: JobContext, clock: Clock) -> None:
    watching = watch(context, clock)
    for number in (1, 2, 3):
        clock.now += 1
        watching(step(number, 1.3))
    clock.now += 240
    watching(step(4, 1.3))

    (alert,) = read_alerts(context)
    assert (alert.id, alert.step) == ("stalled", 4)
    assert alert.message.startswith("No step for 4 min")


def test_a_run_slower_than_its_estimate_is_reported(
    context: JobContext, clock: Clock, estimate: Estimate
) -> None:
    watching = watch(context, clock)
    watching.expected = estimate
    for number in range(1, 41):
        clock.now += 10
        watching(step(number, 1.39 - number / 90))

    (alert,) = read_alerts(context)
    assert alert.id == "slow"
    assert "the estimate was at most 60 s" in alert.message


@pytest.fixture
def estimate() -> Estimate:
    data = DataFacts(4, 100, 10, 10, np.full(100, 20))
    model = ModelFacts("any", True, "", None)
    return replace(compute_estimate(RunConfig(), data, model, typical_speed()), high_seconds=60.0)


def test_a_resumed_training_knows_its_earlier_losses(context: JobContext, clock: Clock) -> None:
    context.store.add_metrics(
        context.job,
        [Metric(number, "train", 0.1, 1.39 - number / 100, 0.0) for number in range(1, 61)],
    )
    watching = watch(context, clock)
    for number in range(61, 81):
        clock.now += 1
        watching(step(number, 0.78))

    assert read_alerts(context) == ()


def test_alerts_of_earlier_attempts_are_kept(context: JobContext, clock: Clock) -> None:
    earlier = RunAlert(id="loss rising", step=20, message="Rising.")
    context.update_result(RunResult(alerts=(earlier,)))
    job: Job = context.store.read_job(context.job.id)
    again = JobContext(context.store, job)

    assert [alert.id for alert in watch(again, clock).alerts] == ["loss rising"]
