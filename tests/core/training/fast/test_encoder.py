from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import PeftModel

from core.config import RunConfig
from core.models.families import FAMILIES
from core.training.adapted_model import (
    add_adapter,
    list_modules,
    list_trainable,
    set_training,
)
from core.training.fast.adapter import Adapter, Frozen, Magnitude, add_lora, lora_backward
from core.training.fast.encoder import DropoutMasks, fast_encoder
from core.training.fast.last_layer import compute_first_token
from core.training.fast.layer import find_paths, list_layers, run
from core.training.load_model import load_base
from tests.support.tiny_models import WRITERS, write_bert

CLASSES = ("a", "b")
IDS = torch.tensor([[2, 57, 121, 125, 34, 3], [2, 60, 70, 3, 0, 0], [2, 61, 3, 0, 0, 0]])
WHOLE, PADDED = torch.ones_like(IDS), (IDS > 0).long()
either_library = pytest.mark.parametrize(
    "onednn",
    [
        False,
        pytest.param(
            True,
            marks=pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="no oneDNN"),
        ),
    ],
)
TARGETS = [(), ("all-linear",), ("query",), ("key", "output.dense")]
each_family = pytest.mark.parametrize("family", WRITERS)


def build(folder: Path, **choices: object) -> PeftModel:
    config = RunConfig.model_validate({"rank": 4, "alpha": 8, "dropout": 0.0, **choices})
    model = add_adapter(load_base(folder, CLASSES, 0), config, "x", None)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in list_trainable(model).values():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


def padded(model: torch.nn.Module) -> torch.Tensor:
    """Return ``IDS`` with the padding id of the model's family."""
    padding = model.config.pad_token_id  # type: ignore[union-attr]
    return torch.where(IDS == 0, padding, IDS)  # type: ignore[arg-type]


def gradients(
    model: torch.nn.Module, mask: torch.Tensor
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    logits = model(input_ids=padded(model), attention_mask=mask).logits
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 1])).backward()
    return logits.detach(), {
        name: gradient_of(parameter) for name, parameter in list_trainable(model).items()
    }


def gradient_of(parameter: torch.Tensor) -> torch.Tensor:
    assert parameter.grad is not None
    return parameter.grad


@either_library
@pytest.mark.parametrize("mask", [WHOLE, PADDED], ids=["whole", "padded"])
@pytest.mark.parametrize("targets", TARGETS, ids=lambda names: "+".join(names) or "usual")
def test_bert_gives_the_logits_and_gradients_of_transformers_and_peft(
    tmp_path: Path, targets: tuple[str, ...], mask: torch.Tensor, onednn: bool
) -> None:
    folder = write_bert(tmp_path / "model", layers=3)
    plain, quick = (build(folder, target_modules=targets) for _ in range(2))
    assert fast_encoder(quick, onednn) is not None

    (logits, required), (given, result) = gradients(plain, mask), gradients(quick, mask)

    assert torch.allclose(given, logits, atol=1e-6)
    for name, gradient in required.items():
        assert torch.allclose(result[name], gradient, atol=1e-6), name


@either_library
@each_family
@pytest.mark.parametrize("mask", [WHOLE, PADDED], ids=["whole", "padded"])
@pytest.mark.parametrize("targets", [(), ("all-linear",)], ids=["usual", "all"])
def test_each_family_gives_the_logits_and_gradients_of_transformers_and_peft(
    tmp_path: Path, family: str, targets: tuple[str, ...], mask: torch.Tensor, onednn: bool
) -> None:
    folder = WRITERS[family](tmp_path / "model", layers=3)
    plain, quick = (build(folder, target_modules=targets).train(False) for _ in range(2))
    assert fast_encoder(quick, onednn) is not None

    (logits, required), (given, result) = gradients(plain, mask), gradients(quick, mask)

    assert torch.allclose(given, logits, atol=1e-6)
    for name, gradient in required.items():
        assert torch.allclose(result[name], gradient, atol=1e-6), name


@either_library
@each_family
@pytest.mark.parametrize(("layers", "adapted"), [("last half", {1, 2}), ("last third", {2})])
def test_adapters_in_the_last_layers_give_the_gradients_of_transformers_and_peft(
    tmp_path: Path, family: str, layers: str, adapted: set[int], onednn: bool
) -> None:
    folder = WRITERS[family](tmp_path / "model", layers=3)
    plain, quick = (build(folder, layers=layers).train(False) for _ in range(2))
    fast = fast_encoder(quick, onednn)
    assert fast is not None
    assert {number for number, block in enumerate(fast.blocks) if block.adapters} == adapted

    (logits, required), (given, result) = gradients(plain, PADDED), gradients(quick, PADDED)

    assert torch.allclose(given, logits, atol=1e-6)
    assert required.keys() == result.keys()
    for name, gradient in required.items():
        assert torch.allclose(result[name], gradient, atol=1e-6), name


@either_library
@each_family
@pytest.mark.parametrize("targets", [(), ("all-linear",)], ids=["usual", "all"])
def test_dora_gives_the_logits_and_gradients_of_transformers_and_peft(
    tmp_path: Path, family: str, targets: tuple[str, ...], onednn: bool
) -> None:
    folder = WRITERS[family](tmp_path / "model", layers=3)
    plain, quick = (build(folder, target_modules=targets, dora=True).train(False) for _ in range(2))
    fast = fast_encoder(quick, onednn)
    assert fast is not None

    (logits, required), (given, result) = gradients(plain, PADDED), gradients(quick, PADDED)

    assert torch.allclose(given, logits, atol=1e-6)
    assert sum("magnitude" in name for name in required) >= 6
    for name, gradient in required.items():
        assert torch.allclose(result[name], gradient, atol=1e-6), name
    with torch.inference_mode(), fast.merged():
        merged = quick(input_ids=padded(quick), attention_mask=PADDED).logits
    assert torch.allclose(merged, logits, atol=1e-6)


@each_family
def test_a_text_at_the_length_limit_is_read_to_its_end(tmp_path: Path, family: str) -> None:
    folder = WRITERS[family](tmp_path / "model", layers=2)
    limit = load_base(folder, CLASSES, 0).shape.max_positions
    assert limit == 128
    plain, quick = (build(folder) for _ in range(2))
    assert fast_encoder(quick, onednn=False) is not None
    ids = torch.arange(5, 5 + limit)[None].repeat(2, 1)
    mask = torch.ones_like(ids)
    ids[1, 7:], mask[1, 7:] = plain.config.pad_token_id, 0

    with torch.inference_mode():
        expected = plain(input_ids=ids, attention_mask=mask).logits
        logits = quick(input_ids=ids, attention_mask=mask).logits

    assert torch.allclose(logits, expected, atol=1e-6)


def test_every_hand_written_family_has_a_tiny_model() -> None:
    assert list(WRITERS) == [name for name, family in FAMILIES.items() if family.encoder]


@either_library
@each_family
def test_a_single_layer_is_the_last_one(tmp_path: Path, family: str, onednn: bool) -> None:
    folder = WRITERS[family](tmp_path / "model", layers=1)
    plain, quick = build(folder), build(folder)
    fast_encoder(quick, onednn)

    assert torch.allclose(gradients(quick, PADDED)[0], gradients(plain, PADDED)[0], atol=1e-6)


@each_family
def test_merged_adapters_change_no_logit_and_come_off_again(tmp_path: Path, family: str) -> None:
    model = build(WRITERS[family](tmp_path / "model", layers=3), target_modules=("all-linear",))
    fast = fast_encoder(model, onednn=False)
    assert fast is not None
    with torch.inference_mode():
        before = model(input_ids=padded(model), attention_mask=PADDED).logits

        with fast.merged():
            assert not any(block.adapters for block in fast.blocks)
            inside = model(input_ids=padded(model), attention_mask=PADDED).logits

        assert torch.allclose(inside, before, atol=1e-6)
        assert torch.equal(model(input_ids=padded(model), attention_mask=PADDED).logits, before)


def draw_from(bits: DropoutMasks) -> Callable[..., torch.Tensor]:
    """Return a replacement for torch's dropout that draws its masks from ``bits``."""

    def dropout(
        x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        return x * bits.mask(x.shape, p) / (1 - p) if training and p else x

    return dropout


@each_family
@pytest.mark.parametrize("choices", [{}, {"target_modules": ("all-linear",), "dora": True}])
def test_the_dropout_of_the_base_is_that_of_transformers_with_the_same_masks(
    tmp_path: Path, family: str, choices: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = WRITERS[family](tmp_path / "model", layers=3)
    plain, quick = (build(folder, **choices).train() for _ in range(2))
    plain.base_model.model.set_attn_implementation("eager")  # it calls torch's dropout
    fast = fast_encoder(quick, onednn=False)
    assert fast is not None
    for model in (plain, quick):  # whose last layer here draws masks for the first token alone
        paths = find_paths(model.base_model.model)
        assert paths is not None
        for module in list_layers(model.base_model.model, paths)[-1].modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    fast.bits.restart(1, 2, 3)
    given, result = gradients(quick, PADDED)
    fast.bits.restart(1, 2, 3)
    monkeypatch.setattr(torch.nn.functional, "dropout", draw_from(fast.bits))
    logits, required = gradients(plain, PADDED)

    undropped = gradients(build(folder, **choices).train(False), PADDED)[0]
    assert not torch.allclose(given, undropped, atol=1e-3)
    assert torch.allclose(given, logits, atol=1e-5)
    for name, gradient in required.items():
        assert torch.allclose(result[name], gradient, atol=1e-5), name


@each_family
@pytest.mark.parametrize("base_dropout", [False, True])
@pytest.mark.parametrize("targets", [("all-linear",), ()], ids=["all", "usual"])
def test_dropped_inputs_have_no_part_in_output_and_gradient(
    tmp_path: Path, family: str, targets: tuple[str, ...], base_dropout: bool
) -> None:
    """With dropout the fast encoder's gradient is that of its own loss: a step along it changes the
    loss as the gradient predicts.
    """
    model = build(
        WRITERS[family](tmp_path / "model", layers=3), target_modules=targets, dropout=0.5
    )
    fast = fast_encoder(model, onednn=False)
    assert fast is not None
    weights = list_trainable(model)
    set_training(list_modules(model), base_dropout)

    def loss() -> torch.Tensor:
        fast.bits.restart(3, 7, 0)
        logits = model(input_ids=padded(model), attention_mask=PADDED).logits
        return torch.nn.functional.cross_entropy(logits.double(), torch.tensor([0, 1, 1]))

    loss().backward()
    step = {name: gradient_of(parameter).clone() for name, parameter in weights.items()}
    length, size = sum(float((grad**2).sum()) for grad in step.values()), 2e-4
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            for name, parameter in weights.items():
                parameter.add_(step[name], alpha=sign * size * (1 if sign == 1 else 2))
            ends.append(loss().item())

    assert (ends[0] - ends[1]) / (2 * size) == pytest.approx(length, rel=0.02)


def test_the_adapter_of_a_module_is_the_formula_of_the_paper() -> None:
    """y = x W' + c (m ∘ x) A' B', by hand: x = (1, 2), A = (3, 4), B = (5, 6)', scale 2, half of
    the inputs dropped.
    """
    dropout = torch.nn.Dropout(0.5)
    adapter = Adapter(torch.tensor([[3.0, 4.0]]), torch.tensor([[5.0], [6.0]]), 2.0, dropout)
    x, y = torch.tensor([[1.0, 2.0]]), torch.zeros(1, 2)

    low = add_lora(y, x, adapter, torch.tensor([[0, 1]], dtype=torch.int16))
    into = torch.zeros(1, 2)
    down, up = lora_backward(torch.tensor([[1.0, 1.0]]), low, adapter, into)

    assert y.tolist() == [[160.0, 192.0]]  # c = 4, A (m ∘ x) = 8
    assert up.tolist() == [[32.0], [32.0]]  # 4 · 8
    assert down.tolist() == [[0.0, 88.0]]  # 4 · (5 + 6) · (0, 2)
    assert into.tolist() == [[0.0, 176.0]]  # 4 · 11 · (3, 4), the first one dropped


@pytest.mark.parametrize("drops", [0.0, 0.5])
def test_dora_computes_the_formula_of_the_paper_with_constant_lengths(drops: float) -> None:
    """y = W x + b + (g - 1) ∘ W x̃ + g ∘ s B A x̃, differentiated by autograd."""
    random = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random)

    weight, mask = draw(5, 3), (draw(7, 3) > 0).short() if drops else None
    x, a, b, lengths = (
        part.requires_grad_() for part in (draw(7, 3), draw(2, 3), draw(5, 2), draw(5))
    )
    dropped = x if mask is None else x * mask / (1 - drops)
    rows = (weight + 2 * b @ a).norm(dim=1).detach()
    factor, grad = lengths / rows, draw(7, 5)
    expected = (
        x @ weight.T + (factor - 1) * (dropped @ weight.T) + factor * 2 * (dropped @ a.T @ b.T)
    )
    expected.backward(grad)
    magnitude = Magnitude(lengths.detach(), weight, Frozen(weight, torch.zeros(5), onednn=False))
    adapter = Adapter(a.detach(), b.detach(), 2.0, torch.nn.Dropout(drops), magnitude)

    y, x_grad = x.detach() @ weight.T, grad @ weight
    low = add_lora(y, x.detach(), adapter, mask)
    results = (x_grad, *reversed(lora_backward(grad, low, adapter, x_grad)))

    assert torch.allclose(y, expected, atol=1e-5)
    for result, part in zip(results, (x, lengths, b, a), strict=True):
        assert torch.allclose(result, gradient_of(part), atol=1e-5)


@pytest.mark.parametrize("dora", [False, True])
def test_the_last_layer_computes_what_the_others_do_with_the_same_masks(
    tmp_path: Path, dora: bool
) -> None:
    choices = {"target_modules": ("all-linear",), "dropout": 0.5, "dora": dora}
    model = build(write_bert(tmp_path / "model", layers=1), **choices).train()
    fast = fast_encoder(model, onednn=False)
    assert fast is not None
    (block,) = fast.blocks
    texts, tokens, width = 2, 5, model.config.hidden_size
    x = torch.randn(texts, tokens, width, generator=torch.Generator().manual_seed(0))
    whole = {
        name: fast.bits.mask(torch.Size((texts, tokens, adapter.lora_a.shape[1])), 0.5)
        for name, adapter in block.adapters.items()
    }
    first = {name: mask if name in ("key", "value") else mask[:, 0] for name, mask in whole.items()}

    with torch.no_grad():
        expected = run(
            x.view(-1, width),
            None,
            block,
            (texts, tokens),
            {name: mask.flatten(0, 1) for name, mask in whole.items()},
        )[0].view(texts, tokens, width)[:, 0]
        result = compute_first_token(x, None, block, first)

    assert torch.allclose(result, expected, atol=1e-5)


def test_masks_depend_on_seed_and_step_alone() -> None:
    bits = DropoutMasks()

    def draw(seed: int, step: int) -> list[bool]:
        bits.restart(seed, step, 0)
        return bits.mask(torch.Size((4, 8)), 0.5).flatten().tolist()

    assert draw(1, 2) == draw(1, 2)
    assert draw(1, 2) != draw(1, 3) != draw(2, 3)


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_masks_drop_the_share_that_is_asked_for(dropout: float) -> None:
    bits = DropoutMasks()
    bits.restart(0, 0, 0)

    mask = bits.mask(torch.Size((401, 999)), dropout)

    assert 1 - float(mask.float().mean()) == pytest.approx(
        dropout, abs=4 * np.sqrt(dropout * (1 - dropout) / mask.numel())
    )


def test_another_activation_is_left_alone(tmp_path: Path) -> None:
    model = build(write_bert(tmp_path / "model"))
    model.config.hidden_act = "relu"
    forward = model.base_model.model.bert.encoder.forward

    assert fast_encoder(model, onednn=False) is None
    assert model.base_model.model.bert.encoder.forward == forward
