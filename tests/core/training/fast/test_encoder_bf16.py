"""The hand-written encoder in bf16, compared with itself in fp32 on the same batches and masks."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel

from core.config import RunConfig
from core.training.adapted_model import ALL_ON, list_trainable
from core.training.fast.encoder import convert_to_bf16, fast_encoder
from core.training.fast.layer import run, run_backward
from tests.core.training.fast.test_encoder import (
    PADDED,
    build,
    each_family,
    either_library,
    gradients,
    padded,
)
from tests.support.tiny_models import WRITERS, write_bert
from tests.support.training_lab import Lab

STEPS = 20
LOSS_TOLERANCE = 0.02  # nats, in each of the 20 first steps
LOGIT_TOLERANCE = 0.05  # of the length of all logits


def distance(result: torch.Tensor, expected: torch.Tensor) -> float:
    """Return the length of the difference, relative to the expected length."""
    return float((result - expected).norm() / expected.norm())


def join(gradients: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([gradients[name].flatten() for name in sorted(gradients)])


def build_both(folder: Path, **choices: object) -> tuple[PeftModel, PeftModel]:
    exact, half = (build(folder, **choices) for _ in range(2))
    assert fast_encoder(exact, onednn=False) is not None
    assert fast_encoder(half, False, "bf16") is not None
    return exact, half


def test_losses_of_20_steps_are_those_of_fp32(lab: Lab, config: RunConfig) -> None:
    losses: dict[str, list[float]] = {}
    for precision in ("fp32", "bf16"):
        changes = {"precision": precision, "train_rows": 40, "epochs": 4, "dropout": 0.1}
        loop = lab.make_loop(config.model_copy(update=changes), ALL_ON)
        assert loop.network.fast is not None
        losses[precision] = []
        for step in range(STEPS):
            loop.position.step = step
            losses[precision].append(loop.add_gradients(loop._rows_of(step % 3)))
            loop.optimizer.step()
            loop.optimizer.zero_grad()

    assert losses["bf16"] != losses["fp32"]
    assert losses["bf16"] == pytest.approx(losses["fp32"], abs=LOSS_TOLERANCE)
    assert losses["fp32"][-1] < losses["fp32"][0]


@each_family
@pytest.mark.parametrize(
    "choices",
    # seed 5: no input of the ReLU in DistilBERT's head is so small that rounding changes its sign
    [{}, {"target_modules": ("all-linear",)}, {"layers": "last third", "seed": 5}],
    ids=["usual", "all", "last layer"],
)
def test_gradients_are_as_close_to_fp32_as_those_of_autocast(
    tmp_path: Path, family: str, choices: dict[str, object]
) -> None:
    plain = build(WRITERS[family](tmp_path / "plain", layers=3), **choices).train(False)
    exact, half = build_both(WRITERS[family](tmp_path / "fast", layers=3), **choices)

    (logits, expected), (given, result) = gradients(exact, PADDED), gradients(half, PADDED)
    with torch.autocast("cpu", torch.bfloat16):
        _, autocast = gradients(plain, PADDED)

    assert distance(given, logits) < LOGIT_TOLERANCE
    error = distance(join(result), join(expected))
    assert 0 < error < 0.01 + 2 * distance(join(autocast), join(expected))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_of_a_step_have_the_memory_layout_of_their_parameters(
    precision: str, lab: Lab, config: RunConfig
) -> None:
    loop = lab.make_loop(config.model_copy(update={"precision": precision}), ALL_ON)

    loop.add_gradients(loop._rows_of(0))

    # the fused AdamW would take the values of any other layout in the wrong order
    for name, weight in loop.weights.items():
        assert weight.grad is not None
        assert weight.grad.stride() == weight.stride(), name


def test_gradients_are_sums_in_fp32(tmp_path: Path) -> None:
    _, half = build_both(write_bert(tmp_path / "model", layers=3))

    _, result = gradients(half, PADDED)

    for name, gradient in result.items():
        assert gradient.dtype == torch.float32, name
        assert not torch.equal(gradient.bfloat16().float(), gradient), f"{name} is rounded to bf16"


@either_library
def test_a_layer_in_bf16_is_close_to_fp32_with_either_library(tmp_path: Path, onednn: bool) -> None:
    fast = fast_encoder(build(write_bert(tmp_path / "model", layers=2)), onednn=False)
    assert fast is not None
    torch.manual_seed(0)
    x, grad = torch.randn(2, 64, fast.blocks[0].qkv.weight.shape[1])
    outputs, x_grads = [], []
    for block, dtype in (
        (fast.blocks[0], torch.float32),
        (convert_to_bf16(fast.blocks[0], onednn), torch.bfloat16),
    ):
        with torch.no_grad():
            y, saved = run(x.to(dtype), None, block, (4, 16), {})
            x_grad, _ = run_backward(grad.to(dtype), saved, None, block, (4, 16), needs_x=True)
        assert x_grad is not None
        assert y.dtype == x_grad.dtype == dtype
        outputs.append(y.float())
        x_grads.append(x_grad.float())

    assert 0 < distance(outputs[1], outputs[0]) < 0.01
    assert 0 < distance(x_grads[1], x_grads[0]) < 0.02


@either_library
@each_family
def test_merged_predictions_in_bf16_are_close_to_fp32_and_end_with_their_context(
    tmp_path: Path, family: str, onednn: bool
) -> None:
    model = build(WRITERS[family](tmp_path / "model", layers=3), target_modules=("all-linear",))
    fast = fast_encoder(model, onednn)
    assert fast is not None

    def predict() -> torch.Tensor:
        logits: torch.Tensor = model(input_ids=padded(model), attention_mask=PADDED).logits
        return logits

    with torch.inference_mode():
        before = predict()
        with fast.merged():
            exact = predict()
        with fast.merged("bf16"):
            half = predict()

        assert torch.allclose(exact, before, atol=1e-6)
        assert 0 < distance(half, exact) < LOGIT_TOLERANCE
        assert torch.equal(predict(), before)


@pytest.mark.parametrize(
    ("targets", "copied"),
    [(("query", "value"), {"qkv"}), (("all-linear",), {"qkv", "out", "up_proj", "down_proj"})],
    ids=["query and value", "all"],
)
def test_merging_copies_only_weights_of_adapted_modules(
    tmp_path: Path, targets: tuple[str, ...], copied: set[str]
) -> None:
    folder = write_bert(tmp_path / "model", layers=3)
    model, reference = (build(folder, target_modules=targets) for _ in range(2))
    fast, other = fast_encoder(model, False, "bf16"), fast_encoder(reference, onednn=False)
    assert fast is not None
    assert other is not None

    with torch.inference_mode():
        with fast.merged("bf16"):
            result = model(input_ids=padded(model), attention_mask=PADDED).logits
            merged = fast.blocks[0]
        with other.merged("bf16"):  # converts every weight after merging
            expected = reference(input_ids=padded(reference), attention_mask=PADDED).logits

    different = {
        name
        for name in ("qkv", "out", "up_proj", "down_proj")
        if getattr(merged, name) is not getattr(fast.bf16[0], name)
    }
    assert different == copied
    assert torch.equal(result, expected)


def test_the_last_layer_is_exact_in_bf16_too(tmp_path: Path) -> None:
    model = build(write_bert(tmp_path / "model", layers=1))
    fast = fast_encoder(model, onednn=False)
    assert fast is not None

    with torch.inference_mode(), fast.merged("bf16"):
        merged = fast.blocks[-1]

    assert merged.qkv.weight.dtype == merged.up_proj.weight.dtype == torch.float32


def test_predictions_are_exactly_those_in_fp32(tmp_path: Path) -> None:
    models = build_both(write_bert(tmp_path / "model", layers=3))

    with torch.inference_mode():
        exact, half = (
            model(input_ids=padded(model), attention_mask=PADDED).logits for model in models
        )

    assert torch.equal(exact, half)
    assert all(weight.dtype == torch.float32 for weight in list_trainable(models[1]).values())
