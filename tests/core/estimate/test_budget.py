from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import RunConfig
from core.errors import ConfigError
from core.estimate.budget import EVALUATION_SHARE, MIN_ROWS, Outcome, propose
from core.estimate.estimate import estimate, measured_speed, typical_speed
from core.estimate.inputs import DataFacts
from core.estimate.machine_costs import typical
from tests.support.model_facts import BERT, MINILM, NEWS

SPEED = measured_speed(typical(), "measured here")
SMALL = DataFacts(4, 400, 40, 80, np.full(400, 53))


@pytest.mark.slow
@settings(max_examples=25)
@given(st.floats(3, 300), st.sampled_from([4, 64]), st.sampled_from([32, 128, 512]))
def test_what_is_proposed_fits_at_its_high_estimate(
    minutes: float, rank: int, max_tokens: int
) -> None:
    result = propose(minutes, RunConfig(rank=rank, max_tokens=max_tokens), NEWS, MINILM, SPEED)

    assert result.estimate.high_seconds <= 60 * minutes
    assert result.estimate == estimate(result.config, NEWS, MINILM, SPEED)
    assert MIN_ROWS <= result.config.train_rows <= NEWS.train_rows
    assert (result.config.rank, result.config.max_tokens) == (rank, max_tokens)


def test_more_minutes_take_more_rows_and_then_more_epochs() -> None:
    proposals = [
        propose(minutes, RunConfig(), NEWS, MINILM, SPEED).config
        for minutes in (5, 15, 45, 90, 600)
    ]

    passes = [config.train_rows * config.epochs for config in proposals]
    assert passes == sorted(passes)
    assert [config.epochs for config in proposals[:2]] == [1, 1]
    assert (proposals[-1].train_rows, proposals[-1].epochs) == (32_400, 3)


@pytest.mark.parametrize("minutes", [5, 15, 45])
def test_validations_come_about_ten_times(minutes: int) -> None:
    assert 8 <= propose(minutes, RunConfig(), NEWS, MINILM, SPEED).estimate.validations <= 15


def test_a_long_final_evaluation_is_cut_to_a_quarter_of_the_budget() -> None:
    short, long = (propose(minutes, RunConfig(), NEWS, MINILM, SPEED) for minutes in (5, 600))

    assert 0 < short.config.test_rows < 7600
    assert short.estimate.evaluation_seconds <= EVALUATION_SHARE * 300 + 5
    assert long.config.test_rows == 0  # all


def test_fewer_test_rows_than_proposed_stay_as_they_were_asked_for() -> None:
    assert propose(45, RunConfig(test_rows=300), NEWS, MINILM, SPEED).config.test_rows == 300


def test_a_small_dataset_is_used_whole_in_small_batches() -> None:
    result = propose(15, RunConfig(), SMALL, MINILM, SPEED)

    assert (result.config.train_rows, result.config.epochs, result.config.batch_size) == (
        400,
        3,
        16,
    )
    assert "3 epochs over all 400 rows" in result.note


def test_if_nothing_fits_the_error_names_minutes_that_do() -> None:
    with pytest.raises(ConfigError, match="0.1 minutes cannot hold a run on 100 rows") as caught:
        propose(0.1, RunConfig(), NEWS, BERT, SPEED)

    enough = int(caught.value.fix.split()[3])
    assert propose(enough, RunConfig(), NEWS, BERT, SPEED).config.train_rows >= MIN_ROWS


def test_a_speed_that_is_not_measured_fits_with_the_likely_time_and_says_so() -> None:
    result = propose(15, RunConfig(), NEWS, MINILM, typical_speed())

    assert result.estimate.likely_seconds <= 900 < result.estimate.high_seconds
    assert "has not been measured" in result.note


def test_earlier_runs_with_about_as_many_rows_report_the_accuracy() -> None:
    rows = propose(5, RunConfig(), NEWS, MINILM, SPEED).config.train_rows
    history = [
        Outcome(rows, 1, 0.88),
        Outcome(round(rows * 1.5), 1, 0.9),
        Outcome(rows * 8, 1, 0.95),
        Outcome(rows // 8, 1, 0.5),
    ]

    result = propose(5, RunConfig(), NEWS, MINILM, SPEED, history)

    assert result.accuracy == (0.88, 0.9)
    assert "2 earlier runs with about as many rows reached 88.0% to 90.0%." in result.note


def test_without_earlier_runs_no_accuracy_is_promised() -> None:
    far = [Outcome(10, 1, 0.5), Outcome(0, 1, 0.2)]

    assert propose(5, RunConfig(), NEWS, MINILM, SPEED).accuracy is None
    assert propose(5, RunConfig(), NEWS, MINILM, SPEED, far).accuracy is None
    assert propose(5, RunConfig(), replace(NEWS, classes=2), MINILM, SPEED, far).note.endswith(
        "to predict accuracy from."
    )
