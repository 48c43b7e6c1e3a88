"""A forward pass over rows with different adapters.

Products with the frozen weights are shared, low-rank products are batched. A module computes W x +
scale · B A x with each row's own A and B; the A and B of all rows are stacked, with zeros for lower
ranks. Chen et al. 2024, "Punica: Multi-Tenant LoRA Serving". Supports the families that
``core.training.fast`` supports, on a CPU in fp32. Shapes: B rows, T tokens, d hidden, h heads, w =
d / h, r rank, C classes.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention
from transformers import PreTrainedModel

from core.config import Precision
from core.inference.messages import AS_TRAINED, Matrix, Variant
from core.models.families import OUTER_MODULES, HeadPaths, find_family
from core.models.model_shape import IN_A_LAYER, OUTSIDE
from core.training.fast.adapter import Adapter
from core.training.fast.encoder import QKV, frozen_block, is_known, merge, pack
from core.training.fast.last_layer import compute_first_token
from core.training.fast.layer import Block, list_layer_modules, run_merged
from core.training.fast.matmul import pad_rows

Place = tuple[int, str]
ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "gelu": gelu}
LoraFactors = tuple[Tensor, Tensor]  # A (B, r, in) and scale · B (B, out, r)


@dataclass(frozen=True, slots=True)
class AdapterRow:
    """The adapter of a row by its name in PEFT, changed by ``variant``.

    With ``name`` None it is the base model with the untrained head that ``seed`` initializes.
    """

    name: str | None
    seed: int = 0
    variant: Variant = AS_TRAINED


def find_lora_layers(model: nn.Module) -> Iterator[tuple[Place, LoraLayer]]:
    """Yield each adapted module with its layer from 0 and its name within the layer.

    A module of ``OUTER_MODULES`` has the layer ``OUTSIDE``.
    """
    for name, module in model.named_modules():
        if not isinstance(module, LoraLayer):
            continue
        if number := IN_A_LAYER.findall(name):
            yield (int(number[0]), IN_A_LAYER.split(name)[-1]), module
        for outer in OUTER_MODULES:
            if not number and f".{name}".endswith(f".{outer}"):
                yield (OUTSIDE, outer), module


class BatchedLora:
    """A base model with several adapters, which PEFT may add to ``base`` later.

    ``heads`` are the parameters of the untrained heads, by seed and name. ``onednn`` selects the
    library of matrix products: see ``core.training.fast.matmul``.
    """

    def __init__(
        self, base: PreTrainedModel, heads: Mapping[int, Mapping[str, Tensor]], onednn: bool
    ) -> None:
        self._base, self._heads, self._onednn = base, heads, onednn
        self._blocks = [frozen_block(layer, self._onednn) for layer in list_layer_modules(base)]
        self._head_paths = _find_head(base)
        self._module_places: dict[int, Place] | None = None

    @staticmethod
    def fits(base: PreTrainedModel) -> bool:
        """Whether this class supports the model and its adapters, which are LoRA and not DoRA."""
        dora = any(
            any(module.use_dora.values())
            for module in base.modules()
            if isinstance(module, LoraLayer)
        )
        return is_known(base) and not dora

    def read(
        self, ids: Tensor, mask: Tensor, choices: Sequence[AdapterRow]
    ) -> tuple[Tensor, Tensor]:
        """Compute each row with its own adapter: logits (B, C) and input of the head (B, d).

        ``ids`` and ``mask`` are (B, T). The head reads the first token after the last layer.
        """
        bias, x = _bias(mask), self.embed(ids)
        for number, (block, factors) in enumerate(self._stack_layers(choices)):
            x = _layer(x, bias, block, factors, first_only=number == len(self._blocks) - 1)
        first = x[:, 0]
        logits = [self.classify(row, choice) for row, choice in zip(first, choices, strict=True)]
        return torch.stack(logits), first

    def merge(self, choice: AdapterRow, precision: Precision = "fp32") -> "MergedAdapter":
        """Merge one adapter into copies of the weights, to classify many texts: in ``precision``,
        the last layer always in fp32.
        """
        blocks: list[Block] = []
        for block, factors in self._stack_layers([choice]):
            adapters = {
                name: Adapter(a[0], b[0], 1.0, nn.Identity()) for name, (a, b) in factors.items()
            }
            merged = merge(replace(block, adapters=adapters))
            is_last = len(blocks) == len(self._blocks) - 1
            # packed layer by layer, so that unpacked copies do not add up
            blocks.append(merged if is_last else pack(merged, precision))
        return MergedAdapter(self, choice, tuple(blocks), precision)

    def _stack_layers(
        self, choices: Sequence[AdapterRow]
    ) -> Iterator[tuple[Block, dict[str, LoraFactors]]]:
        """Yield each layer with the LoRA factors of its adapted modules, by the module's name."""
        places = self._places()
        for block, layer in zip(self._blocks, list_layer_modules(self._base), strict=True):
            stacked = {
                name: _stack(module, places.get(id(module)), choices)
                for name, module in layer.linears.items()
            }
            yield block, {name: factors for name, factors in stacked.items() if factors}

    def embed(self, ids: Tensor) -> Tensor:
        """Compute the input (B, T, d) of the first layer from ids (B, T)."""
        embedded: Tensor = self._base.base_model.embeddings(input_ids=ids)
        return embedded

    def adapters_changed(self) -> None:
        """Forget cached modules; call it after adapters were added to the base or removed."""
        self._module_places = None

    def _places(self) -> dict[int, Place]:
        if self._module_places is None:  # iterating over all modules takes 10 ms
            self._module_places = {
                id(module): place for place, module in find_lora_layers(self._base)
            }
        return self._module_places

    def classify(self, first: Tensor, choice: AdapterRow) -> Tensor:
        """Compute logits (…, C) from the first token (…, d) with the head of ``choice``."""
        head = self._head_paths
        hidden = ACTIVATIONS[head.activation](self._linear(first, head.dense, choice))
        return self._linear(hidden, head.output, choice)

    def _linear(self, x: Tensor, name: str, choice: AdapterRow) -> Tensor:
        untrained = self._heads[choice.seed] if choice.name is None else {}
        if f"{name}.weight" in untrained:
            return linear(x, untrained[f"{name}.weight"], untrained[f"{name}.bias"])
        module: Any = self._base
        for part in name.split("."):
            module = getattr(module, part)
            if isinstance(module, ModulesToSaveWrapper):
                trained: nn.ModuleDict = module.modules_to_save
                module = (
                    trained[choice.name]
                    if choice.name is not None and choice.name in trained
                    else module.original_module
                )  # noqa: SIM401 - it has no get
        y = linear(x, module.weight, module.bias)
        if factors := _stack(module, self._places().get(id(module)), [choice]):
            down, up = (factor[0] for factor in factors)  # (r, d) and (d, r)
            y = y + x @ down.T @ up.T
        return y


@dataclass(frozen=True, eq=False, slots=True)
class MergedAdapter:
    """A model with one adapter merged into the weights of ``blocks``, all but the last of them in
    ``precision``.
    """

    model: BatchedLora
    choice: AdapterRow
    blocks: tuple[Block, ...]
    precision: Precision

    def read(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits (B, C) and first tokens (B, d), as ``BatchedLora.read`` does."""
        bias, x = _bias(mask), self.model.embed(ids)
        texts, tokens, d = x.shape
        *others, last = self.blocks
        bf16 = self.precision == "bf16" and others
        x = x.reshape(-1, d).to(torch.bfloat16 if bf16 else torch.float32)
        x = pad_rows(x) if any(block.qkv.onednn for block in others) else x  # (N, d)
        for block in others:
            x = run_merged(x, bias, block, (texts, tokens))
        x = x[: texts * tokens].view(texts, tokens, d).float()
        first = compute_first_token(x, bias, last, {})
        return self.model.classify(first, self.choice), first


def _find_head(base: PreTrainedModel) -> HeadPaths:
    family = find_family(base.config.model_type)
    assert family is not None, base.config.model_type
    return family.head


def _bias(mask: Tensor) -> Tensor | None:
    """Return the bias (B, 1, 1, T) of the attention scores; None without padding.

    ``mask`` is (B, T).
    """
    if bool(mask.all()):
        return None
    return torch.zeros(mask.shape).masked_fill_(mask == 0, -torch.inf)[:, None, None]


def _stack(module: Any, place: Place | None, choices: Sequence[AdapterRow]) -> LoraFactors | None:
    """Stack A and B of each row, zeros for a row without adapter; None if no row has one."""
    if place is None:
        return None
    used = [
        choice.name
        if choice.name in module.lora_A and place not in choice.variant.off and choice.variant.scale
        else None
        for choice in choices
    ]
    rank = max((len(module.lora_A[name].weight) for name in used if name is not None), default=0)
    if not rank:
        return None
    down = torch.empty(len(used), rank, module.in_features)
    up = torch.empty(len(used), module.out_features, rank)
    for row, (name, choice) in enumerate(zip(used, choices, strict=True)):
        own = 0 if name is None else len(module.lora_A[name].weight)
        if own < rank:
            down[row, own:], up[row, :, own:] = 0.0, 0.0
        if name is not None:
            down[row, :own] = module.lora_A[name].weight.detach()
            torch.mul(
                module.lora_B[name].weight.detach(),
                module.scaling[name] * choice.variant.scale,
                out=up[row, :, :own],
            )
    return down, up


def _layer(
    x: Tensor,
    bias: Tensor | None,
    block: Block,
    factors: Mapping[str, LoraFactors],
    first_only: bool,
) -> Tensor:
    """Compute a layer (B, T, d), or only its first token (B, 1, d) with ``first_only``."""

    def adapted(name: str, inputs: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
        y = linear(inputs, weight, shift)
        if name in factors:
            down, up = factors[name]
            y += inputs @ down.transpose(1, 2) @ up.transpose(1, 2)
        return y

    rows, _tokens, d = x.shape
    seen = x[:, :1] if first_only else x
    weights, biases = block.qkv.weight.view(3, d, d), block.qkv.bias.view(3, d)
    query, key, value = (
        adapted(name, seen if name == "query" else x, weight, shift)
        .view(rows, -1, block.heads, d // block.heads)
        .transpose(1, 2)
        for name, weight, shift in zip(QKV, weights, biases, strict=True)
    )
    # (B, T or 1, d)
    context = (
        scaled_dot_product_attention(query, key, value, attn_mask=bias)
        .transpose(1, 2)
        .reshape(rows, -1, d)
    )
    a = block.norm1.forward(adapted("out", context, block.out.weight, block.out.bias) + seen)[0]
    wide = gelu(adapted("up_proj", a, block.up_proj.weight, block.up_proj.bias))
    return block.norm2.forward(
        adapted("down_proj", wide, block.down_proj.weight, block.down_proj.bias) + a
    )[0]


def read_plain(
    model: torch.nn.Module, encoder: torch.nn.Module, ids: Tensor, mask: Tensor
) -> tuple[Tensor, Tensor]:
    """Compute logits (B, C) and first tokens (B, d) with the layers of transformers and PEFT.

    ``encoder`` is the part of ``model`` whose output has the first tokens.
    """
    seen: list[Tensor] = []
    hook = encoder.register_forward_hook(
        lambda module, inputs, output: seen.append(output[0][:, 0])
    )
    try:
        logits: Tensor = model(input_ids=ids, attention_mask=mask).logits
    finally:
        hook.remove()
    return logits, seen[0]


def compute_spectrum(place: Place, module: LoraLayer, name: str) -> Matrix:
    """Compute the spectrum of the change that adapter ``name`` makes to its module.

    With QR decompositions of B and A', B A = Qb (Rb Ra') Qa' has the singular values of the small
    matrix Rb Ra'.
    """
    a = module.lora_A[name].weight.detach()  # (r, in)
    b = module.lora_B[name].weight.detach()  # (out, r)
    small = torch.linalg.qr(b)[1] @ torch.linalg.qr(a.T)[1].T  # (r, r)
    values = torch.linalg.svdvals(small) * abs(module.scaling[name])
    total = float(values.sum())
    proportions = (values / total)[values > 0] if total else values[:0]
    entropy = float(-(proportions * proportions.log()).sum())
    effective = math.exp(entropy) if total else 0.0
    change = float(values.norm() / module.get_base_layer().weight.norm())
    singular, scale = tuple(map(float, values)), float(module.scaling[name])
    return Matrix(*place, a.shape[1], b.shape[0], change, singular, effective, len(a), scale)


@contextmanager
def scale_adapters(model: nn.Module, choice: AdapterRow) -> Iterator[None]:
    """Context in which each adapted module computes W x + scale · (W' x - W x).

    W' is the trained weight, so a scale of 0 gives the base model, also with DoRA.
    """
    scales = [
        (layer, 0.0 if place in choice.variant.off else choice.variant.scale)
        for place, layer in find_lora_layers(model)
    ]
    hooks = [
        layer.register_forward_hook(partial(_interpolate, scale))
        for layer, scale in scales
        if scale != 1.0
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _interpolate(scale: float, layer: Any, inputs: tuple[Tensor, ...], trained: Tensor) -> Tensor:
    frozen: Tensor = layer.get_base_layer()(inputs[0])
    return frozen + scale * (trained - frozen)
