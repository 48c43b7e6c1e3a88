"""Compare each listed family with the classes of transformers: paths, head, positions."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
import transformers
from transformers import AutoConfig, PreTrainedModel

from core.models.families import (
    FAMILIES,
    PROJECTIONS,
    ModelFamily,
    find_encoder,
    find_projection,
    find_stage,
)
from core.models.model_shape import build_shape, default_targets, head_linears
from core.training.fast.encoder import is_known
from core.training.fast.last_layer import read_first_token_only
from core.training.fast.layer import find_paths, list_layer_modules

WIDTH = 32
all_families = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
hand_written = pytest.mark.parametrize(
    "family",
    [family for family in FAMILIES.values() if family.encoder],
    ids=[name for name, family in FAMILIES.items() if family.encoder],
)


def build(family: ModelFamily, **changes: object) -> PreTrainedModel:
    """Return a classifier of the family with random weights and two layers."""
    sizes = {"intermediate_size": 64, "hidden_dim": 64, "embedding_size": WIDTH, "vocab_size": 90}
    config = AutoConfig.for_model(
        family.model_type,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=3,
        **(sizes | changes),
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return getattr(transformers, family.classifier)(config).eval()


@all_families
def test_the_head_is_two_linear_modules_at_its_paths(family: ModelFamily) -> None:
    model = build(family)

    dense, output = (model.get_submodule(path) for path in (family.head.dense, family.head.output))

    assert dense.weight.shape == (WIDTH, WIDTH)
    assert output.weight.shape == (3, WIDTH)


@all_families
def test_the_head_computes_the_logits_from_the_first_token(family: ModelFamily) -> None:
    model = build(family)
    ids = torch.tensor([[5, 17, 42, 6]])
    activate = {"tanh": torch.tanh, "relu": torch.relu, "gelu": torch.nn.functional.gelu}
    with torch.inference_mode():
        logits = model(input_ids=ids).logits
        first = model.base_model(input_ids=ids).last_hidden_state[:, 0]
        dense = activate[family.head.activation](model.get_submodule(family.head.dense)(first))

        assert torch.allclose(model.get_submodule(family.head.output)(dense), logits, atol=1e-6)


@all_families
def test_positions_start_where_the_family_says(family: ModelFamily) -> None:
    """The embeddings of a text hold one position more than the model may read, or none."""
    model = build(family, max_position_embeddings=20)
    unused = family.padding_id + 1 if family.positions_after_padding else 0
    with torch.inference_mode():
        model(input_ids=torch.full((1, 20 - unused), 7))

        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, 21 - unused), 7))


@all_families
def test_the_tensors_are_those_of_the_pretrained_encoder(family: ModelFamily) -> None:
    """ELECTRA has a projection between embeddings and encoder if their widths differ."""
    for width in (WIDTH, 16) if family.model_type == "electra" else (WIDTH,):
        model = build(family, embedding_size=width)
        names = family.checkpoint
        sizes = {letter: getattr(model.config, field) for letter, field in names.sizes.items()}
        stored = {
            name: tuple(tensor.shape)
            for name, tensor in model.base_model.state_dict().items()
            if not name.startswith("pooler.")
        }

        assert dict(names.list_tensors(sizes)) == stored
        assert model.base_model_prefix == names.prefix


@all_families
def test_the_fields_are_those_of_the_configuration(family: ModelFamily) -> None:
    fields = set(type(AutoConfig.for_model(family.model_type)).__annotations__)

    assert family.checkpoint.fields | set(family.checkpoint.sizes.values()) == fields


@hand_written
def test_every_path_is_a_module_of_the_expected_type(family: ModelFamily) -> None:
    model = build(family)

    layers = list(list_layer_modules(model))

    assert len(layers) == 2
    assert is_known(model)
    for layer in layers:
        assert list(layer.linears) == list(PROJECTIONS)
        assert [tuple(linear.weight.shape) for linear in layer.linears.values()] == [
            *[(WIDTH, WIDTH)] * 4,
            (64, WIDTH),
            (WIDTH, 64),
        ]
        assert layer.attention_norm.weight.shape == layer.output_norm.weight.shape == (WIDTH,)
        assert layer.heads == 4


@hand_written
@pytest.mark.parametrize("dropped", [False, True], ids=["eval", "dropout"])
def test_the_last_layer_for_the_first_token_is_the_whole_one(
    family: ModelFamily, dropped: bool
) -> None:
    """With everything dropped in one place at a time, each place drops as in transformers."""
    whole, short = build(family), build(family)
    read_first_token_only(short)
    ids = torch.tensor([[5, 17, 42, 6], [9, 8, 7, 11]])
    names = [
        name
        for name, module in whole.named_modules()
        if isinstance(module, torch.nn.Dropout) and ".layer.1." in name
    ]
    assert names
    for name in names if dropped else names[:1]:
        logits = []
        for model in (whole, short):
            model.eval()
            if dropped:
                module = model.get_submodule(name)
                module.train()
                module.p = 1.0
                attention = model.get_submodule(name.rsplit(".", 1)[0])
                attention.training = True
            with torch.inference_mode():
                logits.append(model(input_ids=ids).logits)
            if dropped:
                module.p = 0.1

        assert torch.allclose(logits[0], logits[1], atol=1e-6), name


@hand_written
def test_a_decoder_and_another_activation_are_left_to_transformers(family: ModelFamily) -> None:
    assert find_encoder(family.model_type, is_decoder=True) is None
    assert family.encoder is not None
    other = build(family, **{family.encoder.activation: "relu"})
    assert find_paths(other) is not None
    assert not is_known(other)


@hand_written
def test_the_table_answers_for_a_shape(family: ModelFamily) -> None:
    shape = build_shape(family.model_type, "encoder.layer", 1, 64, 2, 4, pooler=True)

    assert default_targets(shape) == family.default_targets
    assert shape.is_hand_written
    assert [find_stage(linear.within_layer) for linear in shape.linears] == [0, 0, 0, 1, 2, 3] * 2
    assert [find_projection(linear.within_layer) for linear in shape.linears] == list(range(6)) * 2


@all_families
def test_the_trained_head_is_the_one_of_the_table(family: ModelFamily) -> None:
    shape = build_shape("bert", "encoder.layer", 1, WIDTH, 1, 4, pooler=True)
    names = [name for name, *_ in head_linears(replace(shape, model_type=family.model_type), 3)]

    assert names == (
        [family.head.output] if family.head.is_pooler else [family.head.dense, family.head.output]
    )


@all_families
def test_each_linear_module_of_a_layer_has_a_stage(family: ModelFamily) -> None:
    prefix = re.compile(r"^(encoder|transformer)\.layer\.#\.")
    linears = [
        prefix.sub("", path)
        for path in family.checkpoint.modules
        if prefix.match(path) and not path.lower().endswith("norm")
    ]

    assert [find_stage(module) for module in linears] == [0, 0, 0, 1, 2, 3]


def test_a_module_outside_the_layers_is_no_projection_of_one() -> None:
    assert find_projection("pooler.dense") == len(PROJECTIONS)


def test_the_table_needs_no_torch() -> None:
    code = "import sys, core.models.families; assert 'torch' not in sys.modules"

    subprocess.run([sys.executable, "-c", code], check=True)
