import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.calibration import typical
from core.config import RunConfig
from core.estimate import estimate, measured_speed, typical_speed
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
SPEED = measured_speed(typical(), "measured on this machine")
FEW_TESTS = {"test_rows": 100}


def test_seconds_add_up_from_launch_to_end() -> None:
    found = estimate(RunConfig(), DATA, MINILM, SPEED)

    parts = (found.start_seconds, found.untrained_seconds, found.step_seconds, found.validation_seconds, found.evaluation_seconds)
    assert found.likely_seconds == pytest.approx(sum(parts))
    assert found.train_seconds == found.step_seconds + found.validation_seconds


def test_a_measured_speed_has_a_narrower_range() -> None:
    measured, guessed = (estimate(RunConfig(), DATA, MINILM, speed) for speed in (SPEED, typical_speed()))

    assert measured.high_seconds / measured.low_seconds < 2 < guessed.high_seconds / guessed.low_seconds
    assert (measured.measured, guessed.measured) == (True, False)
    assert guessed.source == "typical for 2 cores, not measured here"


@pytest.mark.parametrize("extra", [{"dora": True}, {"target_modules": ("all-linear",)}, {"base_dropout": True}])
def test_what_costs_time_is_estimated_longer(extra: dict[str, object]) -> None:
    plain, costly = (estimate(RunConfig.model_validate(FEW_TESTS | values), DATA, MINILM, SPEED) for values in ({}, extra))

    assert costly.step_seconds > 1.1 * plain.step_seconds


def test_memory_does_not_grow_with_the_batch_once_it_is_computed_in_parts() -> None:
    small, usual, large = (estimate(RunConfig(batch_size=size), DATA, MINILM, SPEED).memory_mb for size in (1, 64, 256))

    assert small < usual == large  # 53 of 768 tokens; 14 rows of 53 tokens in a part, for any batch


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
