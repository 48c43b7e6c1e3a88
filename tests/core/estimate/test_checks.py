import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.config import RunConfig
from core.data.tokenizer import UnknownTokens
from core.estimate.checks import ConfigFinding, Severity, apply_fix, blocks, check
from core.estimate.inputs import DataFacts, ModelFacts
from core.models.model_shape import Linear, ModelShape
from core.presets import PRESETS, Preset, make_config

LINEARS = tuple(
    Linear(f"encoder.layer.{layer}.attention.self.{name}", 384, 384)
    for layer in range(6)
    for name in ("query", "key", "value")
)
SHAPE = ModelShape("bert", 22_700_000, 384, 6, 512, LINEARS, True)
MODEL = ModelFacts("minilm", True, "", SHAPE)
DATA = DataFacts(
    4, 32_400, 3_600, 7_600, np.sort(np.tile(np.arange(21, 121), 324))
)  # 21 to 120 tokens, equally often


def found(
    field: str, data: DataFacts = DATA, model: ModelFacts = MODEL, **values: object
) -> ConfigFinding:
    """Return the only finding on ``field``."""
    (finding,) = [
        finding
        for finding in check(RunConfig.model_validate(values), data, model)
        if finding.field == field
    ]
    return finding


def fields(data: DataFacts = DATA, model: ModelFacts = MODEL, **values: object) -> list[str]:
    return [finding.field for finding in check(RunConfig.model_validate(values), data, model)]


def data(**changed: object) -> DataFacts:
    values = {
        name: getattr(DATA, name)
        for name in ("classes", "train_rows", "validation_rows", "test_rows", "token_lengths")
    }
    return DataFacts(**{**values, **changed})


def test_tokens_that_the_base_model_does_not_know_are_a_warning() -> None:
    finding = found("model", data(unknown=UnknownTokens(0.25, 500, ("мир",))))

    assert finding.level is Severity.WARNING and finding.fix is None
    assert finding.message.startswith("25.0 % of the tokens of the training texts are unknown")
    assert "model" not in fields(data(unknown=UnknownTokens(0.004, 500, ("мир",))))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_nothing_to_fix_on_ag_news(preset: Preset) -> None:
    assert check(make_config(preset), DATA, MODEL) == []


def test_a_model_that_is_unavailable_blocks_with_the_reason() -> None:
    finding = found(
        "model", model=ModelFacts("distilbert", False, "The Hub cannot be reached.", None)
    )

    assert finding == ConfigFinding(
        Severity.ERROR, "model", "distilbert is not available: The Hub cannot be reached."
    )
    assert blocks([finding])


def test_fp16_on_a_cpu_is_an_error_and_bf16_a_warning() -> None:
    assert (
        found("precision", precision="fp16").level,
        found("precision", precision="bf16").level,
    ) == (Severity.ERROR, Severity.WARNING)
    assert found("precision", precision="fp16").fix == {"precision": "auto"}


def test_fp16_on_a_gpu_is_fine() -> None:
    assert fields(model=ModelFacts("minilm", True, "", SHAPE, "cuda"), precision="fp16") == []


@pytest.mark.parametrize("rate", [2e-5, 0.05])
def test_a_learning_rate_far_off_for_lora_is_a_warning(rate: float) -> None:
    finding = found("learning_rate", learning_rate=rate)

    assert (finding.level, finding.fix) == (Severity.WARNING, {"learning_rate": 2e-3})
    assert not blocks([finding])


@pytest.mark.parametrize("rate", [2e-4, 5e-3])
def test_a_usual_learning_rate_is_fine(rate: float) -> None:
    assert fields(learning_rate=rate) == []


def test_the_learning_rate_is_judged_with_the_scale_of_the_adapter() -> None:
    finding = found(
        "learning_rate", rank=64, alpha=128, rslora=True
    )  # scale 128 / √64 = 16, eight times the usual 2

    assert "= 16, a learning rate of 0.002 acts like 0.016" in finding.message
    assert finding.fix == {"learning_rate": 3e-4}  # 2.5e-4 in one digit


def test_alpha_far_from_the_rank_is_a_warning() -> None:
    assert found("alpha", rank=16, alpha=1, learning_rate=5e-3).fix == {"alpha": 32}
    assert found("alpha", rank=4, alpha=64).fix == {"alpha": 8}
    assert "alpha" not in fields(rank=16, alpha=16)


def test_an_evaluation_that_never_fires_is_set_to_a_quarter_of_the_steps() -> None:
    finding = found(
        "evaluation_interval", train_rows=1600, evaluation_interval=101
    )  # 100 steps of 16

    assert "only 100 steps" in finding.message
    assert finding.fix == {"evaluation_interval": 25}
    assert finding.fix_label == "Set Evaluation interval to 25 steps"


def test_an_evaluation_at_the_last_step_fires() -> None:
    assert fields(train_rows=1600, evaluation_interval=100) == []


def test_a_rank_above_the_width_is_lowered_with_its_alpha() -> None:
    finding = found("rank", rank=512, alpha=1024)

    assert "narrowest adapted layer (384)" in finding.message
    assert finding.fix == {"rank": 32, "alpha": 64}


def test_the_rank_is_held_against_the_adapted_layers_only() -> None:
    narrow = ModelShape(
        "bert", 1, 384, 1, 512, (*LINEARS, Linear("encoder.layer.0.narrow", 384, 4)), True
    )

    assert fields(model=ModelFacts("minilm", True, "", narrow)) == []
    assert found(
        "rank", model=ModelFacts("minilm", True, "", narrow), target_modules=("narrow",)
    ).fix == {"rank": 1, "alpha": 2}


def test_max_tokens_that_cut_many_texts_say_how_many() -> None:
    finding = found("max_tokens", max_tokens=100)  # 101 to 120: 20 of 100 lengths

    assert finding.level is Severity.WARNING
    assert (
        finding.message
        == "20.0 % of the training texts are longer than 100 tokens and will be truncated."
    )
    assert finding.fix == {"max_tokens": 120}


def test_a_few_texts_cut_are_only_mentioned() -> None:
    assert found("max_tokens", max_tokens=117).level is Severity.INFO


def test_texts_longer_than_the_model_reads_have_no_fix() -> None:
    finding = found("max_tokens", data=data(token_lengths=np.array([100, 900])), max_tokens=512)

    assert (finding.level, finding.fix, finding.fix_label) == (Severity.INFO, None, "")


def test_more_tokens_than_the_model_has_positions_block() -> None:
    finding = found("max_tokens", max_tokens=1024)

    assert (finding.level, finding.fix) == (Severity.ERROR, {"max_tokens": 512})


def test_unknown_token_lengths_are_no_finding() -> None:
    assert fields(data=data(token_lengths=np.array([], dtype=np.int64)), max_tokens=4) == []


def test_target_modules_that_match_nothing_block_and_name_those_there_are() -> None:
    finding = found("target_modules", target_modules=("q_lin",))

    assert (finding.level, finding.fix) == (Severity.ERROR, {"target_modules": ()})
    assert "attention.self.query" in finding.message
    assert finding.fix_label == "Set Target modules to the model default"


def test_a_model_without_linear_layers_blocks() -> None:
    bare = ModelFacts("bare", True, "", ModelShape("bare", 1, 8, 0, 512, (), False))

    assert (found("target_modules", model=bare).level, found("target_modules", model=bare).fix) == (
        Severity.ERROR,
        None,
    )


def test_a_model_not_yet_fetched_is_not_judged_by_its_layers() -> None:
    assert fields(model=ModelFacts("any", True, "", None), target_modules=("whatever",)) == []


@pytest.mark.parametrize(
    ("field", "expected", "fix"),
    [("train_rows", 40_000, 0), ("validation_rows", 4_000, 3_600), ("test_rows", 10_000, 0)],
)
def test_more_rows_than_there_are_become_all(field: str, expected: int, fix: int) -> None:
    (finding,) = [
        each
        for each in check(RunConfig.model_validate({field: expected}), DATA, MODEL)
        if each.field == field
    ]
    assert finding.fix == {field: fix}


def test_fewer_rows_than_classes_block() -> None:
    finding = found("train_rows", train_rows=3)

    assert (finding.level, finding.fix, finding.fix_label) == (
        Severity.ERROR,
        {"train_rows": 200},
        "Set Training rows to 200 rows",
    )


def test_as_many_rows_as_classes_do_not_block() -> None:
    assert not blocks(check(RunConfig(train_rows=4), DATA, MODEL))


def test_a_batch_larger_than_all_rows_is_a_warning() -> None:
    assert found(
        "batch_size", train_rows=100, batch_size=128, evaluation_interval=1, validation_rows=10
    ).fix == {"batch_size": 8}


def test_a_warm_up_of_less_than_a_step_is_mentioned() -> None:
    assert (
        found("warmup", train_rows=64, warmup=0.1, evaluation_interval=4, validation_rows=10).level
        is Severity.INFO
    )


def test_early_stopping_needs_a_validation_more_than_its_patience() -> None:
    assert found(
        "early_stopping", train_rows=1600, evaluation_interval=25, early_stopping=3
    ).fix == {"early_stopping": 0}  # 25, 50, 75
    assert "early_stopping" not in fields(
        train_rows=1616, evaluation_interval=25, early_stopping=3
    )  # 100 comes before the end


def test_validating_more_than_training_is_a_warning() -> None:
    finding = found(
        "evaluation_interval", train_rows=1600, evaluation_interval=1
    )  # 100 × 500 rows at a third of the cost

    assert "about 10.4 times as long" in finding.message
    assert finding.fix == {"evaluation_interval": 25, "validation_rows": 200}


def test_dora_says_that_it_costs_time() -> None:
    assert found("dora", dora=True).level is Severity.INFO


def test_a_run_of_many_hours_is_a_warning_on_a_cpu_only() -> None:
    finding = found("epochs", train_rows=0, epochs=50, evaluation_interval=1000)

    assert finding.fix == {"epochs": 15}  # 15 × 32,400 = 486,000
    assert (
        fields(
            model=ModelFacts("minilm", True, "", SHAPE, "cuda"),
            train_rows=0,
            epochs=50,
            evaluation_interval=1000,
        )
        == []
    )


def test_errors_come_first() -> None:
    levels = [
        finding.level
        for finding in check(
            RunConfig(precision="fp16", learning_rate=0.5, dora=True, max_tokens=600), DATA, MODEL
        )
    ]

    assert levels == [Severity.ERROR, Severity.ERROR, Severity.WARNING, Severity.INFO]


CONFIGS = st.builds(
    RunConfig,
    train_rows=st.integers(0, 100_000),
    max_tokens=st.integers(4, 4096),
    rank=st.integers(1, 1024),
    alpha=st.floats(1e-6, 4096),
    target_modules=st.sampled_from([(), ("query",), ("nothing",), ("all-linear",), ("narrow",)]),
    rslora=st.booleans(),
    dora=st.booleans(),
    epochs=st.integers(1, 100),
    batch_size=st.integers(1, 1024),
    learning_rate=st.floats(1e-9, 1),
    warmup=st.floats(0, 0.5),
    precision=st.sampled_from(["auto", "fp32", "bf16", "fp16"]),
    evaluation_interval=st.integers(1, 1_000_000),
    validation_rows=st.integers(1, 1_000_000),
    test_rows=st.integers(0, 100_000),
    early_stopping=st.integers(0, 1000),
)
DATASETS = st.builds(
    DataFacts,
    st.integers(2, 50),
    st.one_of(st.integers(0, 100), st.integers(0, 2_000_000)),
    st.integers(0, 20_000),
    st.integers(0, 20_000),
    st.lists(st.integers(2, 6000), max_size=20).map(
        lambda lengths: np.sort(np.array(lengths, dtype=np.int64))
    ),
)
MODELS = st.builds(
    lambda width, positions, known: ModelFacts(
        "some",
        True,
        "",
        ModelShape(
            "bert",
            1,
            width,
            1,
            positions,
            (Linear("layer.0.query", width, width), Linear("layer.0.narrow", width, 4)),
            True,
        )
        if known
        else None,
    ),
    st.integers(1, 2048),
    st.one_of(st.none(), st.integers(1, 8192)),
    st.booleans(),
)


@pytest.mark.slow
@settings(max_examples=150)
@given(CONFIGS, DATASETS, MODELS)
def test_applying_a_fix_makes_its_finding_vanish(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> None:
    for finding in check(config, data, model):
        if finding.fix:
            left = check(apply_fix(config, finding), data, model)
            assert all(
                (left_one.level, left_one.field, left_one.fix)
                != (finding.level, finding.field, finding.fix)
                for left_one in left
            )
            assert finding.message not in [left_one.message for left_one in left]


@pytest.mark.slow
@settings(max_examples=150)
@given(CONFIGS, DATASETS, MODELS)
def test_applying_fixes_comes_to_an_end_with_nothing_left_that_can_be_fixed(
    config: RunConfig, data: DataFacts, model: ModelFacts
) -> None:
    for _ in range(40):
        fixable = [finding for finding in check(config, data, model) if finding.fix]
        if not fixable:
            return
        config = apply_fix(config, fixable[0])

    pytest.fail(f"still to fix after 40 fixes: {fixable}")


def test_a_base_in_4_bits_is_refused_with_the_reason_and_taught_where_it_can_be() -> None:
    none_here = ModelFacts(
        "minilm", True, "", SHAPE, no_four_bit="needs an NVIDIA GPU, and this machine has none"
    )

    refused, taught = (
        found("four_bit", model=none_here, four_bit=True),
        found("four_bit", four_bit=True),
    )

    assert (refused.level, refused.fix) == (Severity.ERROR, {"four_bit": False})
    assert refused.message == "A 4-bit base model needs an NVIDIA GPU, and this machine has none."
    assert taught.level is Severity.INFO
    assert "about 1 MB of GPU memory instead of 10" in taught.message  # 18 × 384² × 4 bytes
