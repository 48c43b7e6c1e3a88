from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import RunConfig
from core.estimate.estimate import (
    LAUNCH_SECONDS,
    SAVING_SECONDS,
    estimate,
    measured_speed,
    run_cost,
    typical_speed,
)
from core.estimate.inputs import DataFacts, ModelFacts
from core.estimate.machine_costs import typical
from core.estimate.workload import CostUnit
from core.presets import PRESETS, Preset, make_config
from tests.support.model_facts import BERT, MINILM, NEWS

SPEED = measured_speed(typical(), "measured on this machine")
PER_STEP = replace(
    typical(), seconds={CostUnit.STEP: 2.0}, start_seconds=5.0, tokens_per_second=1000.0
)


def test_seconds_add_up_from_launch_to_end() -> None:
    result = estimate(RunConfig(), NEWS, MINILM, SPEED)

    parts = (
        result.start_seconds,
        result.untrained_seconds,
        result.step_seconds,
        result.validation_seconds,
        result.evaluation_seconds,
    )
    assert result.likely_seconds == pytest.approx(sum(parts))
    assert result.train_seconds == result.step_seconds + result.validation_seconds


def test_steps_validations_and_start_are_counted() -> None:
    config = RunConfig(
        train_rows=4000, batch_size=16, evaluation_interval=100, validation_rows=300, test_rows=100
    )

    result = estimate(config, NEWS, MINILM, measured_speed(PER_STEP, ""))

    assert (result.steps, result.validations) == (250, 3)  # after 100, 200 and the last step
    assert result.step_seconds == 500
    assert result.start_seconds == pytest.approx(
        LAUNCH_SECONDS + 5 + (4000 + 300 + 1000 + 200) * 53 / 1000
    )
    assert result.evaluation_seconds == pytest.approx(
        3 * SAVING_SECONDS
    )  # predictions cost nothing here


def test_every_validation_and_each_split_at_the_end_prepares_the_weights() -> None:
    costs = replace(PER_STEP, seconds={CostUnit.EVALUATION: 1.0})
    config = RunConfig(train_rows=4000, batch_size=16, evaluation_interval=100)

    result = estimate(config, NEWS, MINILM, measured_speed(costs, ""))

    weights = 6 * 12 * 384**2 / 1e6
    assert result.validation_seconds == pytest.approx(3 * weights)
    assert result.evaluation_seconds == pytest.approx(2 * weights + 3 * SAVING_SECONDS)
    assert result.untrained_seconds == pytest.approx(weights)


def test_each_epoch_costs_the_same() -> None:
    once, twice = (run_cost(RunConfig(epochs=epochs), NEWS, MINILM).work for epochs in (1, 2))

    assert twice == pytest.approx({unit: 2 * amount for unit, amount in once.items()})


def test_finished_runs_correct_time_and_memory() -> None:
    plain, slower = (
        estimate(RunConfig(), NEWS, MINILM, speed)
        for speed in (SPEED, replace(SPEED, factor=1.5, memory_factor=1.1))
    )

    assert slower.train_seconds == pytest.approx(1.5 * plain.train_seconds)
    assert slower.start_seconds == plain.start_seconds
    assert slower.memory_mb == pytest.approx(1.1 * plain.memory_mb, abs=1)


def test_a_measured_speed_has_a_narrower_range() -> None:
    measured, guessed = (
        estimate(RunConfig(), NEWS, MINILM, speed) for speed in (SPEED, typical_speed())
    )

    assert (
        measured.high_seconds / measured.low_seconds
        < 2
        < guessed.high_seconds / guessed.low_seconds
    )
    assert (measured.measured, guessed.measured) == (True, False)
    assert guessed.source == "based on a typical 2-core machine; this one has not been measured"


@pytest.mark.parametrize(
    "extra",
    [{"dora": True}, {"target_modules": ("all-linear",)}, {"base_dropout": True}, {"rank": 64}],
)
def test_what_costs_time_is_estimated_longer(extra: dict[str, object]) -> None:
    plain, costly = (
        estimate(RunConfig.model_validate({"rank": 4, **values}), NEWS, MINILM, SPEED)
        for values in ({}, extra)
    )

    assert costly.step_seconds > 1.03 * plain.step_seconds
    assert costly.memory_mb > plain.memory_mb


def test_a_wider_model_takes_longer_and_more_memory() -> None:
    small, large = (estimate(RunConfig(), NEWS, model, SPEED) for model in (MINILM, BERT))

    assert large.step_seconds > 2 * small.step_seconds
    assert large.memory_mb > small.memory_mb


def test_memory_does_not_grow_with_the_batch_once_it_is_computed_in_parts() -> None:
    small, usual, large = (
        estimate(RunConfig(batch_size=size), NEWS, MINILM, SPEED).memory_mb for size in (1, 64, 256)
    )

    assert small < usual == large  # 53 of 768 tokens; 14 rows of 53 tokens in a part, for any batch


def test_targets_that_do_not_exist_are_left_to_the_checks() -> None:
    assert estimate(RunConfig(target_modules=("nothing",)), NEWS, MINILM, SPEED).steps == 250


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_an_estimate_for_a_model_not_yet_fetched(preset: Preset) -> None:
    result = estimate(make_config(preset), NEWS, ModelFacts("any", True, "", None), typical_speed())

    assert 0 < result.low_seconds < result.likely_seconds < result.high_seconds


@pytest.mark.slow
@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 512), st.integers(1, 10), st.integers(1, 100_000))
def test_more_rows_never_take_less_time(rows: int, batch: int, epochs: int, interval: int) -> None:
    config = RunConfig(
        train_rows=rows + 1, batch_size=batch, epochs=epochs, evaluation_interval=interval
    )

    more = config.model_copy(update={"train_rows": rows + 1001})

    first, second = (estimate(item, NEWS, MINILM, SPEED) for item in (config, more))
    assert second.likely_seconds > first.likely_seconds
    assert second.memory_mb >= first.memory_mb


def test_without_known_lengths_a_usual_one_is_taken() -> None:
    unknown = replace(NEWS, token_lengths=np.array([], dtype=np.int64))

    assert estimate(RunConfig(), unknown, MINILM, SPEED) == estimate(
        RunConfig(), DataFacts(4, 32_400, 3_600, 7_600, np.full(9, 53)), MINILM, SPEED
    )
