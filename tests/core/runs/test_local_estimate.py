import json
from dataclasses import asdict, replace
from typing import Any

import pytest

from core.config import RunConfig
from core.data.sources import demo_source
from core.estimate.estimate import MEASURED_RANGE, run_cost
from core.estimate.inputs import ModelFacts
from core.estimate.machine_costs import CostKey, MachineCosts, path, typical, write
from core.runs.local_estimate import FEW_RANGE, NEWEST, RANGE, find_speed, list_outcomes
from core.runs.requests import TrainRequest
from core.storage.job import EXAMPLE_OWNER, JobKind, JobState
from core.storage.store import Store
from tests.support.model_facts import MINILM, NEWS

CONFIG = RunConfig()
NOVEMBER_23 = 1_795_435_200.0  # noon UTC


@pytest.fixture
def key(store: Store) -> CostKey:
    return CostKey(MINILM.name, "fp32", store.settings.used_threads)


@pytest.fixture
def calibrated(store: Store, key: CostKey) -> MachineCosts:
    calibration = replace(typical(), key=key, measured_at=NOVEMBER_23)
    write(store.settings.home, calibration)
    return calibration


def finish(
    store: Store,
    share: float,
    *,
    model: ModelFacts = MINILM,
    owner: str = "local",
    **result: object,
) -> None:
    """Finish a run with ``share`` of the seconds and memory that typical costs estimate."""
    cost = run_cost(CONFIG, NEWS, model)
    took = {
        "base_model": model.name,
        "precision": "fp32",
        "threads": store.settings.used_threads,
        "step_seconds": share * typical().train_seconds(cost),
        "peak_memory_mb": share * typical().peak_memory_mb(cost),
        "cost": asdict(cost),
        "trained_rows": 4000,
        "test": {"accuracy": 0.9},
        **result,
    }
    request = TrainRequest(config=CONFIG, source=demo_source()).model_dump(mode="json")
    job = store.create(JobKind.TRAIN, "run", request, str(len(store.list_jobs())), owner)
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.RUNNING)
    store.update(job, result_json=json.dumps(took), fingerprint="data")
    store.transition(job, JobState.COMPLETED)


def test_without_calibration_or_run_the_speed_is_typical(store: Store) -> None:
    speed = find_speed(store, CONFIG, MINILM)

    assert (speed.measured, speed.source) == (
        False,
        "based on a typical 2-core machine; this one has not been measured",
    )


def test_a_calibration_is_found_for_precision_auto_and_says_its_day(
    store: Store, calibrated: MachineCosts
) -> None:
    speed = find_speed(store, CONFIG, MINILM)

    assert speed.calibration == calibrated
    assert (speed.measured, speed.source) == (True, "measured on this machine on 23 Nov")
    assert (speed.low, speed.high, speed.factor) == (*MEASURED_RANGE, 1.0)


def test_a_calibration_on_a_busy_machine_says_so(store: Store, calibrated: MachineCosts) -> None:
    write(store.settings.home, replace(calibrated, others=0.4))

    assert (
        find_speed(store, CONFIG, MINILM).source
        == "measured on this machine on 23 Nov while other programs used 40% of it"
    )


def test_finished_runs_report_how_long_a_start_takes(store: Store) -> None:
    finish(store, 1.0)  # an earlier run without a recorded start
    finish(store, 1.0, start_seconds=-5.0)  # the clock was set back
    for seconds in (3.0, 9.0, 4.0):
        finish(store, 1.0, start_seconds=seconds)

    assert find_speed(store, CONFIG, MINILM).calibration.start_seconds == 4.0


@pytest.mark.usefixtures("calibrated")
def test_finished_runs_refine_by_their_median_and_spread(store: Store) -> None:
    for share in (1.0, 1.1, 1.6):
        finish(store, share)

    speed = find_speed(store, CONFIG, MINILM)

    assert speed.factor == pytest.approx(1.1)
    assert speed.memory_factor == pytest.approx(1.1)
    assert (speed.low, speed.high) == (
        pytest.approx(RANGE[0]),
        pytest.approx(1.6 / 1.1),
    )  # 1.0 / 1.1 is within
    assert speed.source == "measured here on 23 Nov, refined by 3 runs"


@pytest.mark.usefixtures("calibrated")
def test_one_run_narrows_the_range_less_than_several(store: Store) -> None:
    finish(store, 1.2)

    speed = find_speed(store, CONFIG, MINILM)

    assert (speed.factor, speed.low, speed.high) == (pytest.approx(1.2), *FEW_RANGE)
    assert speed.source == "measured here on 23 Nov, refined by 1 run"


@pytest.mark.usefixtures("calibrated")
def test_only_the_newest_runs_count(store: Store) -> None:
    for share in [9.0] * 7 + [1.2] * NEWEST:
        finish(store, share)

    assert find_speed(store, CONFIG, MINILM).factor == pytest.approx(1.2)


def test_runs_alone_report_a_speed_that_counts_as_measured(store: Store) -> None:
    finish(store, 2.0)

    speed = find_speed(store, CONFIG, MINILM)

    assert (speed.measured, speed.factor, speed.source) == (
        True,
        pytest.approx(2.0),
        "measured here in 1 run",
    )


@pytest.mark.usefixtures("calibrated")
@pytest.mark.parametrize(
    "other",
    [
        {"base_model": "other@1"},
        {"precision": "bf16"},
        {"threads": 64},
        {"step_seconds": 0.0},
        {"cost": {}},
        {"owner": EXAMPLE_OWNER},
    ],
    ids=str,
)
def test_other_or_damaged_runs_have_no_say(store: Store, other: dict[str, Any]) -> None:
    finish(store, 3.0, **other)

    assert find_speed(store, CONFIG, MINILM).factor == 1.0


def test_a_damaged_calibration_is_as_none(
    store: Store, calibrated: MachineCosts, key: CostKey
) -> None:
    path(store.settings.home, key).write_text("damaged")

    assert not find_speed(store, CONFIG, MINILM).measured


def test_outcomes_are_those_of_this_data_and_model(store: Store) -> None:
    finish(store, 1.0)

    (outcome,) = list_outcomes(store, "data", MINILM)

    assert (outcome.rows, outcome.epochs, outcome.accuracy) == (4000, 1, 0.9)
    assert list_outcomes(store, "other data", MINILM) == []
    assert list_outcomes(store, "data", replace(MINILM, id="distilbert")) == []
