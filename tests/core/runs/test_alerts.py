import pytest

from core.runs.alerts import (
    ALERTS,
    describe_pause,
    describe_slow,
    find_alerts,
    find_stall,
    list_alerts,
)
from core.runs.evidence import Evidence
from core.storage.database import Metric
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from core.translation import translate_recorded, use
from tests.support.evidence import make_evidence, predict

GUESS = 1.39
ALARMING = {
    "loss rising": make_evidence((GUESS, 2.0, 2.5), steps=40, learning_rate=0.1),
    "loss not falling": make_evidence((GUESS, 1.39, 1.385), validation=predict(0.3), steps=60),
    "overfitting": make_evidence(
        (GUESS, 0.4, 0.02), (0.6, 0.5, 0.8, 0.9), validation=predict(0.8), steps=100
    ),
    "one class": make_evidence(
        (GUESS, 1.2, 1.1), (1.2, 1.1), validation=predict(0, only=1), steps=100
    ),
}
CALM = {
    "first steps": make_evidence((GUESS, 1.39), steps=10),
    "learning": make_evidence((GUESS, 0.9, 0.5), (1.0, 0.6, 0.5), validation=predict(0.8)),
    "a late rise of one validation": make_evidence(
        (GUESS, 0.4, 0.1), (0.5, 0.4, 0.39, 0.6), validation=predict(0.85)
    ),
    "a good run that rises from 0.05 to 0.08 nats": make_evidence(
        (GUESS, 0.1, 0.01), (0.2, 0.05, 0.09, 0.08, 0.07), validation=predict(0.98)
    ),
    "nearly all texts are of one class": make_evidence(
        (0.3, 0.2, 0.1), (0.2, 0.15), validation=predict(0.95, shares=(0.95, 0.05), only=0)
    ),
}


@pytest.mark.parametrize("name", ALARMING)
def test_a_training_that_goes_wrong_raises_its_alert(name: str) -> None:
    (alert,) = find_alerts(ALARMING[name])

    assert alert.id == name
    assert alert.sentence.endswith(".")
    with use("de"):
        assert translate_recorded(alert.sentence) != alert.sentence
        assert translate_recorded(alert.action) != alert.action


@pytest.mark.parametrize("evidence", CALM.values(), ids=CALM)
def test_a_training_that_learns_raises_none(evidence: Evidence) -> None:
    assert find_alerts(evidence) == []


def test_each_rule_has_a_case() -> None:
    assert {rule.id for rule in ALERTS} == set(ALARMING)


def test_a_flat_loss_at_a_low_rate_proposes_the_usual_one() -> None:
    evidence = make_evidence((GUESS, 1.39), validation=predict(0.3), steps=60, learning_rate=1e-6)

    assert find_alerts(evidence)[0].changes == {"learning_rate": 0.002}


def test_a_pause_counts_from_a_minute_or_twenty_steps() -> None:
    quick, slow = (0.0, 1.0, 2.0), (0.0, 10.0, 20.0)

    assert describe_pause(quick, 60.0) == ""
    assert describe_pause(quick, 63.0) == "No step for 61 s; a step takes about 1.0 s."
    assert describe_pause(slow, 200.0) == ""
    assert describe_pause(slow, 221.0) == "No step for 3 min; a step takes about 10.0 s."
    assert describe_pause((1.0,), 900.0) == ""


def test_a_run_is_slow_beyond_one_and_a_half_times_its_high_estimate() -> None:
    assert describe_slow(100, 50, 100) == ""
    assert describe_slow(100, 60, 100) == (
        "The run will take about 3 min; the estimate was at most 2 min."
    )


def make_training(store: Store, phase: str, silent: float) -> Job:
    job = store.create(JobKind.TRAIN, "run", {}, phase)
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.RUNNING)
    now = store.clock()
    store.add_metrics(
        job,
        [Metric(step, "train", 0.1, 1.0, now - silent + step - 3) for step in (1, 2, 3)],
    )
    store.update(job, phase=phase, phase_at=now - silent - 10)
    return store.read_job(job.id)


def test_a_run_that_makes_no_step_has_stalled(store: Store) -> None:
    stall = find_stall(store, make_training(store, "training", 300))

    assert stall is not None
    assert (stall.id, stall.step) == ("stalled", 3)
    assert stall.message.startswith("No step for 5 min")


def test_a_validation_delays_the_alert_but_is_no_step(store: Store) -> None:
    job = make_training(store, "training", 300)
    now = store.clock()

    store.update(job, phase_at=now - 30)
    assert find_stall(store, store.read_job(job.id)) is None
    store.update(job, phase_at=now - 100)
    stall = find_stall(store, store.read_job(job.id))

    assert stall is not None
    assert stall.message == "No step for 5 min; a step takes about 1.0 s."


@pytest.mark.parametrize(("phase", "silent"), [("training", 5), ("evaluating", 300)])
def test_a_run_that_works_has_not(store: Store, phase: str, silent: float) -> None:
    assert find_stall(store, make_training(store, phase, silent)) is None


def test_a_stall_is_listed_after_the_stored_alerts(store: Store) -> None:
    job = make_training(store, "training", 300)
    store.update(job, result_json='{"alerts": [{"id": "slow", "step": 2, "message": "Slow."}]}')

    assert [alert.id for alert in list_alerts(store, store.read_job(job.id))] == ["slow", "stalled"]
