import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.presets import (
    FITTED,
    MOST_EPOCHS,
    PRESETS,
    STEPS,
    USUAL_TOKENS,
    DataSize,
    Limits,
    Preset,
    describe_preset,
    fit_to_data,
    list_unset,
    make_config,
)

AG_NEWS = DataSize(108_000, 12_000, 7_600, 4, 90)
INTENTS = DataSize(235, 27, 66, 6, 12)


@pytest.mark.parametrize("preset", Preset)
def test_nothing_changes_on_ag_news(preset: Preset) -> None:
    assert make_config(preset, None, AG_NEWS) == make_config(preset)


def test_quick_repeats_few_rows_until_it_has_as_many_steps() -> None:
    config = make_config(Preset.QUICK, None, INTENTS)

    assert (config.train_rows, config.validation_rows, config.test_rows) == (0, 27, 0)
    assert config.epochs == 20  # of 15 steps
    assert config.total_steps(235) == 300
    assert config.evaluation_interval == 30


def test_a_value_of_the_user_is_never_changed() -> None:
    config = make_config(Preset.QUICK, {"epochs": 1, "train_rows": 100}, INTENTS)

    assert (config.epochs, config.train_rows) == (1, 100)


def test_long_texts_raise_the_limit_of_tokens_up_to_a_bound() -> None:
    assert fit_to_data(Preset.QUICK, DataSize(7000, 900, 900, 2, 130))["max_tokens"] == 136
    assert fit_to_data(Preset.QUICK, DataSize(9000, 900, 900, 2, 700))["max_tokens"] == 256


def test_many_long_texts_are_sampled_for_training_and_test() -> None:
    reviews = DataSize(22_500, 2_500, 25_000, 2, 590)

    config = make_config(Preset.QUICK, None, reviews)

    assert (config.max_tokens, config.train_rows, config.test_rows) == (256, 2800, 2800)
    assert (config.batch_size, config.epochs, config.total_steps(2800)) == (8, 1, 350)
    assert describe_preset(Preset.QUICK, reviews).endswith(
        "On this data: 2,800 of the 22,500 training rows, once, which are 350 steps, and 2,800 of"
        " the 25,000 test rows. Texts are truncated to 256 tokens."
    )


def test_a_large_test_split_is_sampled() -> None:
    size = DataSize(900_000, 100_000, 200_000, 4, 20)

    assert fit_to_data(Preset.QUICK, size) == {"test_rows": 36_000}
    assert fit_to_data(Preset.STANDARD, size) == {}


def test_few_long_texts_are_trained_in_small_batches_and_in_every_layer() -> None:
    config = make_config(Preset.QUICK, None, DataSize(270, 30, 400, 2, 330))

    assert (config.max_tokens, config.batch_size, config.epochs) == (256, 8, 9)
    assert config.total_steps(270) == 306
    assert (config.target_modules, config.learning_rate) == (("all-linear",), 1e-3)


def test_the_limits_of_a_class_bound_a_preset_and_are_named() -> None:
    size = DataSize(720, 80, 400, 2, 300, 36, Limits(rows=3_000, tokens=128, batch_size=4))

    config = make_config(Preset.QUICK, None, size)

    assert (config.max_tokens, config.batch_size, config.epochs) == (128, 4, 3)
    assert describe_preset(Preset.QUICK, size).endswith(
        " Texts are truncated to 128 tokens. The limits of this class reduce epochs from 4 to 3,"
        " max tokens from 256 to 128, batch size from 8 to 4."
    )


def test_all_rows_are_reduced_to_those_that_a_class_allows() -> None:
    size = DataSize(20_000, 2_000, 2_000, 4, 40, 0, Limits(12_000, 256, 32))

    assert make_config(Preset.STANDARD, None, size).train_rows == 6_000
    assert describe_preset(Preset.STANDARD, size).endswith(
        " The limits of this class reduce training rows from 20,000 to 6,000."
    )


def test_many_classes_take_more_steps() -> None:
    few, many = (
        make_config(Preset.QUICK, None, DataSize(2_000, 200, 500, classes, 20))
        for classes in (4, 77)
    )

    assert (few.epochs, many.epochs) == (2, 6)  # of 125 steps


def test_a_rare_class_takes_twice_the_steps() -> None:
    even, rare = (
        make_config(Preset.QUICK, None, DataSize(720, 80, 400, 2, 19, rarest))
        for rarest in (360, 36)
    )

    assert (even.epochs, rare.epochs) == (7, 13)  # of 45 steps
    assert (even.target_modules, rare.target_modules) == ((), ("all-linear",))


def test_the_reference_recipe_is_the_same_for_any_data() -> None:
    assert fit_to_data(Preset.REFERENCE, INTENTS) == {}


@given(
    st.sampled_from(list(STEPS)),
    st.integers(20, 300_000),
    st.integers(2, 200),
    st.integers(0, 2_000),
    st.none()
    | st.builds(Limits, st.integers(100, 20_000), st.integers(8, 512), st.integers(1, 64)),
)
def test_a_preset_fits_any_data(
    preset: Preset, rows: int, classes: int, tokens: int, limits: Limits | None
) -> None:
    size = DataSize(rows, max(1, rows // 9), rows // 4, classes, tokens, limits=limits)

    fitted = fit_to_data(preset, size)

    config, plain = make_config(preset, None, size), make_config(preset)
    used = min(config.train_rows or rows, rows)
    assert set(fitted) <= set(FITTED)
    assert plain.epochs <= config.epochs <= MOST_EPOCHS
    assert config.evaluation_interval <= max(config.total_steps(used), plain.evaluation_interval)
    assert config.validation_rows <= max(size.validation_rows, 1)
    if limits:
        assert used * config.epochs <= limits.rows
        assert config.max_tokens <= limits.tokens
        assert config.batch_size <= limits.batch_size
    if plain.train_rows:
        length = min(tokens or config.max_tokens, config.max_tokens)
        assert used * config.epochs * length <= 2 * plain.train_rows * USUAL_TOKENS


@pytest.mark.parametrize("preset", Preset)
def test_a_preset_describes_itself_on_the_chosen_data_only(preset: Preset) -> None:
    for size in (None, AG_NEWS, INTENTS):
        assert "AG News" not in describe_preset(preset, size)


def test_the_description_counts_rows_and_steps() -> None:
    assert describe_preset(Preset.QUICK, INTENTS).endswith(
        "On this data: all 235 training rows, 20 times, which are 300 steps."
    )
    assert describe_preset(Preset.QUICK, AG_NEWS).endswith(
        "On this data: 8,000 of the 108,000 training rows, once, which are 500 steps."
    )


def test_fields_that_were_not_set_are_listed() -> None:
    unset = list_unset(["epochs=3", "rank=4"])

    assert "epochs" not in unset
    assert set(unset) == set(FITTED) - {"epochs"}
    assert set(PRESETS[Preset.QUICK]) <= set(FITTED)
