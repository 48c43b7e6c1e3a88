import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.cli import config_docs
from core.config import (
    Group,
    RunConfig,
    find_bounds,
    find_differences,
    find_display,
    list_choices,
)
from core.errors import ConfigError
from core.presets import PRESET_HELP, PRESETS, Preset, make_config, parse_assignments

FIELDS = list(RunConfig.model_fields)


def test_the_document_is_what_the_configuration_says() -> None:
    assert config_docs.TARGET.read_text(encoding="utf-8") == config_docs.render()


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_teaches_in_at_most_three_sentences(name: str) -> None:
    field = RunConfig.model_fields[name]

    assert field.title
    assert field.description
    assert 1 <= field.description.count(". ") + 1 <= 3
    assert find_display(name).group in Group


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        RunConfig().rank = 8  # type: ignore[misc]


def test_steps_round_the_last_batch_up_in_each_epoch() -> None:
    assert RunConfig(batch_size=16, epochs=3).total_steps(33) == 9


@pytest.mark.parametrize(
    ("name", "expected"),
    [("rank", (1, 1024)), ("learning_rate", (0, 1)), ("warmup", (0, 0.5)), ("dora", (None, None))],
)
def test_bounds_are_those_that_are_enforced(
    name: str, expected: tuple[float | None, float | None]
) -> None:
    assert find_bounds(name) == expected


def test_only_closed_fields_have_choices() -> None:
    assert list_choices("schedule") == ("linear", "cosine", "constant")
    assert list_choices("rank") == ()


def test_target_modules_are_read_from_a_text_with_commas() -> None:
    assert make_config(None, {"target_modules": " query, value ,"}).target_modules == (
        "query",
        "value",
    )


@pytest.mark.parametrize("preset", Preset)
def test_every_preset_is_valid_and_explained(preset: Preset) -> None:
    assert make_config(preset).model_dump().items() >= PRESETS[preset].items()
    assert PRESET_HELP[preset].endswith(".")


def test_an_override_wins_over_its_preset() -> None:
    assert make_config(Preset.TASTE, {"train_rows": "50"}).train_rows == 50


def test_the_reference_preset_is_the_notebooks_recipe() -> None:
    config = make_config(Preset.REFERENCE)

    assert (config.rank, config.alpha, config.dropout, config.target_modules) == (16, 32, 0.1, ())
    assert (config.learning_rate, config.weight_decay, config.schedule, config.warmup) == (
        2e-3,
        0.01,
        "linear",
        0,
    )
    assert (config.batch_size, config.epochs, config.max_tokens, config.precision) == (
        16,
        1,
        512,
        "fp32",
    )
    assert (config.evaluation_interval, config.base_dropout, config.train_rows) == (200, True, 0)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("rank", "0", "rank cannot be '0': enter a whole number from 1 to 1,024."),
        ("rank", "eight", "rank cannot be 'eight': enter a whole number from 1 to 1,024."),
        ("learning_rate", 0, "learning_rate cannot be 0: enter a number above 0 and at most 1."),
        ("learning_rate", float("nan"), "learning_rate cannot be nan"),
        (
            "schedule",
            "steep",
            "schedule cannot be 'steep': choose one of linear, cosine, constant.",
        ),
        ("dora", "perhaps", "dora cannot be 'perhaps': enter true or false."),
        ("rnak", 8, "Unknown field 'rnak'. Did you mean rank?"),
        ("zzz", 8, "Unknown field 'zzz'. Fields are model, "),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(
    field: str, value: object, words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        make_config(None, {field: value})

    assert words in raised.value.message


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"rank cannot be .* epochs cannot be"):
        make_config(None, {"rank": 0, "epochs": 0})


def test_assignments_are_split_at_the_first_equals_sign() -> None:
    assert parse_assignments(["rank=8", " model = a=b "]) == {"rank": "8", "model": "a=b"}


@pytest.mark.parametrize("text", ["rank", "=8", " =8"])
def test_a_text_that_assigns_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="FIELD=VALUE"):
        parse_assignments([text])


def test_differences_name_both_values() -> None:
    assert find_differences(RunConfig(rank=8), RunConfig(rank=16)) == {"rank": (8, 16)}


@given(
    st.builds(
        RunConfig,
        rank=st.integers(1, 1024),
        alpha=st.floats(0, 4096, exclude_min=True),
        learning_rate=st.floats(0, 1, exclude_min=True),
        target_modules=st.lists(st.text("abc_", min_size=1)).map(tuple),
        schedule=st.sampled_from(list_choices("schedule")),
    )
)
def test_a_configuration_survives_json(config: RunConfig) -> None:
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
