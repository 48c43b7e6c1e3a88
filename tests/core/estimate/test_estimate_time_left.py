from dataclasses import replace

import pytest

from core.config import RunConfig
from core.estimate.estimate import (
    Estimate,
    estimate,
    measured_speed,
    remaining_seconds,
    typical_speed,
)
from core.estimate.machine_costs import typical
from core.progress import Phase
from core.storage.database import Metric
from core.storage.job import Job, JobState
from tests.support.model_facts import MINILM, NEWS

STARTED = 1000.0
EXPECTED = replace(  # 100 steps of 2 s, 4 validations of 5 s
    estimate(RunConfig(), NEWS, MINILM, measured_speed(typical(), "")),
    steps=100,
    validations=4,
    start_seconds=10.0,
    untrained_seconds=20.0,
    step_seconds=200.0,
    validation_seconds=20.0,
    evaluation_seconds=50.0,
)
UNMEASURED = replace(EXPECTED, speed=typical_speed())


def job(
    phase: Phase | str,
    done: int = 0,
    total: int = 0,
    state: JobState = JobState.RUNNING,
    phase_at: float | None = None,
) -> Job:
    return Job(
        "a",
        "train",
        "run",
        state,
        1,
        "local",
        "{}",
        900.0,
        phase=phase,
        done=done,
        total=total,
        started_at=STARTED,
        phase_at=phase_at,
    )


def steps(number: int, seconds: float, at: float = STARTED + 30) -> list[Metric]:
    return [
        Metric(step, "train", 0.0, 1.0, at + seconds * (step - 1)) for step in range(1, number + 1)
    ]


def left(
    phase: Phase,
    metrics: list[Metric],
    now: float,
    expected: Estimate | None = EXPECTED,
    done: int = 0,
    total: int = 0,
    phase_at: float | None = None,
) -> float | None:
    return remaining_seconds(expected, job(phase, done, total, phase_at=phase_at), metrics, now)


def test_before_the_first_step_the_estimate_counts_down() -> None:
    assert left(Phase.LOADING, [], STARTED + 4) == pytest.approx(6 + 220 + 20 + 50)
    assert left(Phase.TOKENIZING, [], STARTED + 30) == pytest.approx(220 + 20 + 50)


def test_the_untrained_model_is_scored_after_the_last_step_as_fast_as_validations_were() -> None:
    metrics = steps(100, 2.0)
    metrics.append(Metric(100, "validation", 0.0, 1.0, metrics[-1].at + 15))  # expected to take 5 s

    assert left(Phase.UNTRAINED, steps(100, 2.0), STARTED, done=250, total=1000) == pytest.approx(
        15 + 50
    )
    # one observed validation counts as much as the estimate: 10 s, twice as long
    assert left(Phase.UNTRAINED, metrics, STARTED, done=250, total=1000) == pytest.approx(30 + 100)


def test_steps_as_quick_as_expected_leave_what_was_expected() -> None:
    metrics = steps(50, 2.0)

    assert left(Phase.TRAINING, metrics, metrics[-1].at) == pytest.approx(50 * 2 + 20 + 20 + 50)


def test_the_seen_pace_takes_over_and_corrects_what_was_not_seen_yet() -> None:
    few, many = steps(6, 4.0), steps(91, 4.0)

    # 5 gaps of 4 s next to 10 that were expected to take 2 s: 40 s / 15; after 90 gaps 380 s / 100
    assert left(Phase.TRAINING, few, few[-1].at) == pytest.approx(
        40 / 15 * 94 + (20 + 20 + 50) * 40 / 30
    )
    assert left(Phase.TRAINING, many, many[-1].at) == pytest.approx(3.8 * 9 + (20 + 20 + 50) * 1.9)


def test_a_validation_reports_what_evaluating_takes() -> None:
    metrics = steps(25, 2.0)
    metrics.append(Metric(25, "validation", 0.0, 1.0, metrics[-1].at + 15))  # expected to take 5 s

    assert left(Phase.TRAINING, metrics, metrics[-1].at) == pytest.approx(
        75 * 2 + 3 * 10 + 2 * (20 + 50)
    )


def test_time_passes_between_two_steps() -> None:
    metrics = steps(50, 2.0)

    assert left(Phase.TRAINING, metrics, metrics[-1].at + 1.5) == pytest.approx(190 - 1.5)


def test_the_final_evaluation_is_what_is_left_of_it() -> None:
    metrics = steps(100, 2.0)
    ended = metrics[-1].at

    assert left(Phase.EVALUATING, metrics, ended) == pytest.approx(50)
    # 20 s of them scored the untrained model
    now, began_at = ended + 70, ended + 20
    halfway = left(Phase.EVALUATING, metrics, now, done=50, total=100, phase_at=began_at)
    assert halfway == pytest.approx(0.5 * (0.5 * 100 + 0.5 * 50))
    assert left(Phase.SAVING, metrics, ended + 60) == 0


def test_a_resumed_run_is_not_timed_across_its_pause() -> None:
    before, after = steps(10, 2.0, at=STARTED - 500), steps(10, 2.0)
    resumed = [*before, *(replace(metric, step=metric.step + 10) for metric in after)]

    assert left(Phase.TRAINING, resumed, resumed[-1].at) == pytest.approx(80 * 2 + 20 + 20 + 50)


def test_nothing_is_said_before_there_is_something_to_say() -> None:
    assert left(Phase.TRAINING, steps(50, 2.0), STARTED + 60, expected=None) is None
    assert left(Phase.PREPARING, [], STARTED + 5) is None
    assert left(Phase.TRAINING, steps(5, 2.0), STARTED + 40, expected=UNMEASURED) is None
    assert left(Phase.TRAINING, steps(6, 2.0), STARTED + 40, expected=UNMEASURED) is not None
    assert remaining_seconds(EXPECTED, replace(job(""), started_at=None), [], STARTED) is None
    assert remaining_seconds(EXPECTED, job("", state=JobState.COMPLETED), [], STARTED) is None
