"""One encoder layer with its adapters as one autograd function with a hand-written backward pass.

Post-norm, as in BERT: a = norm1(x + out(attention(x))), y = norm2(a + down_proj(gelu(up_proj(a)))).
``core.training.fast.adapter`` has the adapted modules.

In bf16, x and the frozen weights are bf16, and products, sums and norms round their results to it.
Computed in fp32 are the sums within a product, the statistics of norms, attention (its backward
pass in bf16 takes five times as long in torch), and products with A and B and their gradients.

Shapes: B texts, T tokens, N ≥ B·T rows, of which those past B·T are padding, d hidden, h
heads, w = d / h, r rank.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel

from core.models.families import PROJECTIONS, EncoderPaths, find_encoder, find_family
from core.training.fast.adapter import Adapter, Frozen, LoraActivations, add_lora, lora_backward


@dataclass(frozen=True, slots=True)
class Norm:
    """A frozen layer norm over d: weight (d,), bias (d,)."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalize x (N, d). Also returns the mean and inverse standard deviation (N, 1) that
        ``backward`` needs.
        """
        normed: tuple[Tensor, Tensor, Tensor] = torch.native_layer_norm(
            x, (x.shape[-1],), self.weight, self.bias, self.epsilon
        )
        return normed

    def backward(self, grad: Tensor, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """Compute the gradient of the input x (N, d) from the one of the output."""
        shape = (x.shape[-1],)
        needs = (True, False, False)
        x_grad: Tensor = torch.ops.aten.native_layer_norm_backward(
            grad, x, shape, mean, deviation, self.weight, self.bias, needs
        )[0]
        return x_grad


attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
attend_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True, slots=True)
class Block:
    """The weights of a layer. ``qkv`` stacks query, key and value, (3 d, d).

    ``adapters`` are named by what they adapt: query, key, value, out, up_proj (to the wide
    hidden size), down_proj (back to d). ``dropouts`` are the frozen base's own, named by what they
    follow: the softmax of attention, out or down_proj.
    """

    qkv: Frozen
    out: Frozen
    up_proj: Frozen
    down_proj: Frozen
    norm1: Norm
    norm2: Norm
    heads: int
    adapters: Mapping[str, Adapter]
    dropouts: Mapping[str, nn.Module]

    def drops(self, name: str) -> float:
        """Dropout probability after ``name``: 0 unless the base is trained with its dropout."""
        module = self.dropouts.get(name)
        return module.p if isinstance(module, nn.Dropout) and module.training else 0.0

    def projection(self, name: str) -> Frozen:
        """Return query, key or value as a separate module, a view of ``qkv``."""
        index, d = ("query", "key", "value").index(name), self.qkv.weight.shape[1]
        weight, bias = self.qkv.weight.view(3, d, d)[index], self.qkv.bias.view(3, d)[index]
        return Frozen(weight, bias, onednn=False)


Masks = Mapping[str, Tensor | None]  # by adapter, and by ``name_base_mask`` of a base's dropout
Size = tuple[int, int]  # B, T


class Layer(torch.autograd.Function):
    """``Layer.apply(x, bias, block, size, masks, *parameters)``: x (N, d) to (N, d).

    ``bias`` (B, 1, 1, T) is added to attention scores; ``parameters`` are those of each adapter in
    order, so that autograd sees them.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        bias: Tensor | None,
        block: Block,
        size: Size,
        masks: Masks,
        *parameters: Tensor,
    ) -> Tensor:
        """See the class."""
        y, saved = run(x, bias, block, size, masks)
        ctx.saved, ctx.bias, ctx.block, ctx.size, ctx.needs_x = (
            saved,
            bias,
            block,
            size,
            ctx.needs_input_grad[0],
        )
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of x, if an earlier layer needs it, and of each parameter."""
        x_grad, gradients = run_backward(
            grad.contiguous(), ctx.saved, ctx.bias, ctx.block, ctx.size, ctx.needs_x
        )
        ctx.saved = None  # frees the layer's activations
        parameters = [part for name in ctx.block.adapters for part in gradients[name]]
        return (x_grad, None, None, None, None, *parameters)


@dataclass(slots=True)
class SavedTensors:
    """Tensors for the backward pass of a layer; ``norm1_inputs`` and ``norm2_inputs`` are the
    input, mean and inverse deviation of its norms. ``attention`` is (context, logarithms of sums),
    or with dropout the probabilities alone.
    """

    qkv: Tensor
    attention: tuple[Tensor, ...]
    norm1_inputs: tuple[Tensor, ...]
    up: Tensor
    norm2_inputs: tuple[Tensor, ...]
    lora: dict[str, LoraActivations]
    masks: Masks


def run(
    x: Tensor, bias: Tensor | None, block: Block, size: Size, masks: Masks
) -> tuple[Tensor, SavedTensors]:
    """Compute the layer's output (N, d); also returns what its backward pass needs."""
    lora: dict[str, LoraActivations] = {}

    def adapt(name: str, y: Tensor, inputs: Tensor) -> None:
        if name in block.adapters:
            lora[name] = add_lora(y, inputs, block.adapters[name], masks.get(name))

    def project(name: str, inputs: Tensor, residual: Tensor) -> Tensor:
        frozen: Frozen = getattr(block, name)
        if masks.get(name_base_mask(name)) is None:
            y = frozen.forward(inputs, residual)
            adapt(name, y, inputs)
            return y
        y = frozen.forward(inputs)
        adapt(name, y, inputs)
        return drop(y, block, name, masks).add_(residual)

    d = x.shape[1]
    qkv = block.qkv.forward(x)  # (N, 3 d)
    for index, name in enumerate(("query", "key", "value")):
        adapt(name, qkv[:, index * d : (index + 1) * d], x)
    heads = _heads(qkv.float(), size, block.heads, d // block.heads)
    context, attention = _attend(heads, bias, block, masks)  # (B, h, T, w)
    flat = _join_heads([context], x)
    a = project("out", flat, x)
    normed, *moments1 = block.norm1.forward(a)
    up = block.up_proj.forward(normed)  # (N, wide)
    adapt("up_proj", up, normed)
    wide = torch.nn.functional.gelu(up)
    o = project("down_proj", wide, normed)
    y, *moments2 = block.norm2.forward(o)
    return y, SavedTensors(qkv, attention, (a, *moments1), up, (o, *moments2), lora, masks)


def name_base_mask(name: str) -> str:
    """Return the key in ``Masks`` of the frozen base's dropout after ``name``."""
    return f"{name} of the base"


def drop(y: Tensor, block: Block, name: str, masks: Masks) -> Tensor:
    """Apply the frozen base's dropout after ``name`` to a copy of ``y``, if it has a mask."""
    mask = masks.get(name_base_mask(name))
    return y if mask is None else (y * mask).mul_(1 / (1 - block.drops(name)))


def _attend(
    heads: tuple[Tensor, ...], bias: Tensor | None, block: Block, masks: Masks
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Compute attention of query, key and value, each (B, h, T, w), and what its backward pass
    needs. torch's attention on a CPU has no dropout.
    """
    if masks.get(name_base_mask("attention")) is None:
        context, log_sum = attend(*heads, attn_mask=bias)
        return context, (context, log_sum)
    query, key, value = heads
    scores = (query @ key.transpose(2, 3)).mul_(query.shape[-1] ** -0.5)  # (B, h, T, T)
    probabilities = torch.softmax(scores if bias is None else scores.add_(bias), dim=-1)
    return drop(probabilities, block, "attention", masks) @ value, (probabilities,)


def _attend_backward(
    grad: Tensor, heads: tuple[Tensor, ...], saved: SavedTensors, bias: Tensor | None, block: Block
) -> tuple[Tensor, ...]:
    """Compute the gradients of query, key and value from the one of the context (B, h, T, w)."""
    if saved.masks.get(name_base_mask("attention")) is None:
        parts: tuple[Tensor, ...] = attend_backward(
            grad, *heads, *saved.attention, 0.0, False, attn_mask=bias
        )
        return parts
    query, key, value = heads
    (probabilities,) = saved.attention
    value_grad = drop(probabilities, block, "attention", saved.masks).transpose(2, 3) @ grad
    kept_grad = drop(grad @ value.transpose(2, 3), block, "attention", saved.masks)
    scores_grad = torch.ops.aten._softmax_backward_data(
        kept_grad, probabilities, -1, torch.float32
    ).mul_(query.shape[-1] ** -0.5)
    return scores_grad @ key, scores_grad.transpose(2, 3) @ query, value_grad


def run_merged(x: Tensor, bias: Tensor | None, block: Block, size: Size) -> Tensor:
    """Compute the output (N, d) of a layer whose adapters are merged into its weights, without a
    backward pass.
    """
    heads = _heads(block.qkv.forward(x).float(), size, block.heads, x.shape[1] // block.heads)
    context = attend(*heads, attn_mask=bias)[0]  # (B, h, T, w)
    a = block.norm1.forward(block.out.forward(_join_heads([context], x), x))[0]
    return block.norm2.forward(block.down_proj.forward(block.up_proj.gelu(a), a))[0]


def run_backward(
    grad: Tensor, saved: SavedTensors, bias: Tensor | None, block: Block, size: Size, needs_x: bool
) -> tuple[Tensor | None, dict[str, tuple[Tensor, ...]]]:
    """Compute the gradient of x (N, d) if ``needs_x``, and those of parameters by module name."""
    gradients: dict[str, tuple[Tensor, ...]] = {}

    def adapted(name: str, output_grad: Tensor, x_grad: Tensor | None) -> None:
        if name in block.adapters:
            gradients[name] = lora_backward(
                output_grad, saved.lora[name], block.adapters[name], x_grad
            )

    d = grad.shape[1]
    o = block.norm2.backward(grad, *saved.norm2_inputs)
    narrow = drop(o, block, "down_proj", saved.masks)
    wide = block.down_proj.backward(narrow)
    adapted("down_proj", narrow, wide)
    up = torch.ops.aten.gelu_backward.grad_input(wide, saved.up, grad_input=wide)  # overwrites wide
    normed = block.up_proj.backward(up, o)
    adapted("up_proj", up, normed)
    a = block.norm1.backward(normed, *saved.norm1_inputs)
    del wide, up, o, narrow, normed  # frees 6 d values per token before attention's gradients
    mixed = drop(a, block, "out", saved.masks)
    flat = block.out.backward(mixed)
    adapted("out", mixed, flat)
    width = d // block.heads
    (context,) = _heads(flat.float(), size, block.heads, width)
    heads = _heads(saved.qkv.float(), size, block.heads, width)
    qkv = _join_heads(_attend_backward(context, heads, saved, bias, block), grad)  # (N, 3 d)
    x = block.qkv.backward(qkv, a) if needs_x else None
    for index, name in enumerate(("query", "key", "value")):
        adapted(name, qkv[:, index * d : (index + 1) * d], x)
    return x, gradients


def _heads(joined: Tensor, size: Size, heads: int, width: int) -> tuple[Tensor, ...]:
    """Split (N, k·d) into k views (B, h, T, w), e.g. query, key and value."""
    texts, tokens = size
    parts = joined[: texts * tokens].view(texts, tokens, -1, heads, width)
    return parts.permute(2, 0, 3, 1, 4).unbind(0)


def _join_heads(parts: Sequence[Tensor], like: Tensor) -> Tensor:
    """Join k tensors (B, h, T, w) into (N, k·d) in the type of ``like`` (N, d), with zeros in the
    padding rows.
    """
    texts, heads, tokens, width = parts[0].shape
    joined = like.new_empty(len(like), len(parts) * heads * width)
    joined[texts * tokens :] = 0
    view = joined[: texts * tokens].view(texts, tokens, len(parts), heads, width)
    for index, part in enumerate(parts):
        view[:, :, index] = part.transpose(1, 2)
    return joined


@dataclass(frozen=True, slots=True)
class LayerModules:
    """The modules of an encoder layer: linear ones by their name in ``PROJECTIONS``, adapted or
    not, dropouts by what they follow, and its norms.
    """

    linears: dict[str, Any]  # torch types submodules too widely to be useful
    dropouts: dict[str, nn.Module]
    attention_norm: nn.LayerNorm
    output_norm: nn.LayerNorm
    heads: int


def find_paths(base: PreTrainedModel) -> EncoderPaths | None:
    """Find the paths of the encoder of ``base``; None for a model that is not listed."""
    family = find_family(base.config.model_type)
    if family is None or type(base).__name__ != family.classifier:
        return None
    return find_encoder(family.model_type, getattr(base.config, "is_decoder", False))


def list_layers(base: PreTrainedModel, paths: EncoderPaths) -> list[nn.Module]:
    """List the encoder's layers, from the first to the last."""
    return list(base.get_submodule(f"{paths.path}.{paths.layers}").children())


def list_layer_modules(base: PreTrainedModel) -> Iterator[LayerModules]:
    """List the modules of each layer. ``base`` must be of a listed family."""
    paths = find_paths(base)
    assert paths is not None, type(base)
    heads, names = getattr(base.config, paths.heads), paths.layer
    for layer in list_layers(base, paths):
        linears = [layer.get_submodule(path) for path in names.projections]
        attention_norm, output_norm = (
            layer.get_submodule(path) for path in (names.attention_norm, names.output_norm)
        )
        dropouts = {
            "attention": f"{names.attention}.dropout",
            "out": names.out_dropout,
            "down_proj": names.down_dropout,
        }
        yield LayerModules(
            dict(zip(PROJECTIONS, linears, strict=True)),
            {name: layer.get_submodule(path) for name, path in dropouts.items() if path},
            attention_norm,  # type: ignore[arg-type]
            output_norm,  # type: ignore[arg-type]
            heads,
        )
