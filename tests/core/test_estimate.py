import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import RunConfig
from core.estimate import Speed, Timing, estimate, measured_speed, row_work, typical_speed
from core.facts import DataFacts, ModelFacts
from core.model_shape import Linear, ModelShape
from core.presets import PRESETS, Preset, make_config


def shape(hidden: int, layers: int, parameters: int) -> ModelShape:
    """A BERT encoder whose feed-forward part is four times as wide."""
    linears = [
        Linear(f"encoder.layer.{layer}.{name}", inputs, outputs)
        for layer in range(layers)
        for name, inputs, outputs in (
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", hidden, 4 * hidden),
            ("output.dense", 4 * hidden, hidden),
        )
    ]
    return ModelShape("bert", parameters, hidden, layers, 512, tuple(linears), True)


MINILM = ModelFacts("minilm", True, "", shape(384, 6, 22_700_000))
BERT = ModelFacts("bert", True, "", shape(768, 6, 67_000_000))
DATA = DataFacts(4, 32_400, 3_600, 7_600, np.full(1000, 53))
SPEED = Speed(50, 150, True, "measured")
FEW_TESTS = {"test_rows": 100}


def test_a_reference_row_is_a_unit_of_work() -> None:
    assert row_work(RunConfig(), DATA, MINILM) == 1


def test_work_grows_with_weights_and_tokens() -> None:
    longer = DataFacts(4, 32_400, 3_600, 7_600, np.full(1000, 106))

    assert row_work(RunConfig(), DATA, BERT) == 4
    assert row_work(RunConfig(), longer, MINILM) == 2
    assert row_work(RunConfig(max_tokens=53), longer, MINILM) == 1


def test_seconds_add_up_start_training_and_evaluation() -> None:
    config = RunConfig(train_rows=4000, batch_size=16, evaluation_interval=100, validation_rows=300, test_rows=100)

    found = estimate(config, DATA, MINILM, SPEED)

    assert found.steps == 250
    evaluated = 3 * 300 + 100 + 100 + 1000  # after 100, 200 and the last step; validation and test; untrained
    assert found.likely_seconds == pytest.approx(12 + 4200 / 4000 + 4000 / 50 + evaluated / 150)


def test_a_measured_speed_has_a_narrower_range() -> None:
    measured, typical = (estimate(RunConfig(), DATA, MINILM, speed) for speed in (SPEED, typical_speed()))

    assert measured.high_seconds / measured.low_seconds == pytest.approx(1.75)
    assert typical.high_seconds / typical.low_seconds == pytest.approx(5)


def test_without_a_finished_run_the_speed_says_that_it_is_not_measured_here() -> None:
    speed = measured_speed([])

    assert (speed.measured, speed.source) == (False, "typical for 2 cores, not measured here")


def test_a_run_on_a_larger_model_tells_the_speed_on_a_smaller_one() -> None:
    timing = Timing(rows_per_second=10, work=row_work(RunConfig(), DATA, BERT), finished_at=1)

    assert measured_speed([timing]) == Speed(40, 120, True, "measured in the last run on this machine")


def test_the_newest_runs_count_and_one_odd_run_does_not() -> None:
    old = [Timing(1, 1, finished_at=day) for day in range(10)]
    new = [Timing(rate, 1, finished_at=100 + rate) for rate in (38, 40, 42, 39, 5)]

    speed = measured_speed([*new, *old])

    assert (speed.rows_per_second_train, speed.source) == (39, "measured in the last 5 runs on this machine")


def test_a_run_without_a_step_tells_nothing() -> None:
    assert not measured_speed([Timing(0, 1, 1)]).measured


@pytest.mark.parametrize("extra", [{"dora": True}, {"target_modules": ("all-linear",)}, {"base_dropout": True}])
def test_what_costs_time_is_estimated_longer(extra: dict[str, object]) -> None:
    plain, costly = (estimate(RunConfig.model_validate(FEW_TESTS | values), DATA, MINILM, SPEED) for values in ({}, extra))

    assert costly.likely_seconds > 1.2 * plain.likely_seconds


def test_larger_batches_of_longer_texts_need_more_memory() -> None:
    small, large = (estimate(RunConfig(batch_size=size), DATA, MINILM, SPEED).memory_mb for size in (16, 256))

    assert large > small + 500


def test_memory_of_taste_is_near_the_1261_mb_that_such_a_run_reported() -> None:
    lengths = np.append(DATA.token_lengths, 348)  # the longest text of AG News, cut at 128

    found = estimate(make_config(Preset.TASTE), DataFacts(4, 32_400, 3_600, 7_600, lengths), MINILM, typical_speed())

    assert found.memory_mb == pytest.approx(1261, rel=0.05)


def test_targets_that_do_not_exist_are_left_to_the_checks() -> None:
    assert estimate(RunConfig(target_modules=("nothing",)), DATA, MINILM, SPEED).steps == 250


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_has_an_estimate_for_a_model_not_yet_fetched(preset: Preset) -> None:
    found = estimate(make_config(preset), DATA, ModelFacts("any", True, "", None), typical_speed())

    assert 0 < found.low_seconds < found.likely_seconds < found.high_seconds


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 512), st.integers(1, 10), st.integers(1, 100_000))
def test_more_rows_never_take_less_time(rows: int, batch: int, epochs: int, interval: int) -> None:
    config = RunConfig(train_rows=rows + 1, batch_size=batch, epochs=epochs, evaluation_interval=interval)

    more = config.model_copy(update={"train_rows": rows + 1001})

    first, second = (estimate(one, DATA, MINILM, SPEED) for one in (config, more))
    assert second.likely_seconds > first.likely_seconds
    assert second.memory_mb >= first.memory_mb
