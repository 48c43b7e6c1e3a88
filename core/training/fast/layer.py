"""One encoder layer with its adapters as one autograd function: forward and backward written out,
frozen weights without gradients.

Post-norm, as in BERT: a = norm1(x + out(attention(x))), y = norm2(a + down_proj(gelu(up_proj(a)))).
An adapted module gives W x + c · B A (m ∘ x), with m the dropout mask and c = scale / (1 -
dropout); its gradients follow from the chain rule, e.g. ∂A = c · (∂y B)' (m ∘ x).
Shapes: B texts, T tokens, N ≥ B·T rows, those past B·T filling that nothing reads, d hidden, h
heads, w = d / h, r rank.

The frozen modules of an encoder layer. Shapes: N rows, d hidden.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from core.training.fast.matmul import onednn_product


@dataclass(frozen=True, slots=True)
class Frozen:
    """A frozen linear module: weight (out, in), bias (out,). Its products are oneDNN's, or those of
    the library torch itself uses.
    """

    weight: Tensor
    bias: Tensor
    onednn: bool

    def forward(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """x (N, in) to (N, out), added to ``onto`` (N, out) if there is one."""
        if self.onednn:
            return onednn_product(x, self.weight, self.bias, onto)
        y = torch.addmm(self.bias, x, self.weight.T)
        return y if onto is None else y.add_(onto)

    def gelu(self, x: Tensor) -> Tensor:
        """The GELU of what ``forward`` gives; oneDNN computes it while a product is still at
        hand.
        """
        return (
            onednn_product(x, self.weight, self.bias, gelu=True)
            if self.onednn
            else torch.nn.functional.gelu(self.forward(x))
        )

    def backward(self, grad: Tensor, onto: Tensor | None = None) -> Tensor:
        """The gradient of x (N, in) from that of its result (N, out), added to ``onto`` (N, in) if
        there is one.
        """
        if self.onednn:
            return onednn_product(grad, self.weight.T, None, onto)
        return grad @ self.weight if onto is None else torch.addmm(onto, grad, self.weight)


@dataclass(frozen=True, slots=True)
class Norm:
    """A frozen layer norm over d: weight (d,), bias (d,)."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The normed x (N, d), and the mean and inverse deviation (N, 1) that ``backward``
        needs.
        """
        normed: tuple[Tensor, Tensor, Tensor] = torch.native_layer_norm(
            x, (x.shape[-1],), self.weight, self.bias, self.epsilon
        )
        return normed

    def backward(self, grad: Tensor, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """The gradient of x (N, d)."""
        shape = (x.shape[-1],)
        wanted = (True, False, False)
        given: Tensor = torch.ops.aten.native_layer_norm_backward(
            grad, x, shape, mean, deviation, self.weight, self.bias, wanted
        )[0]
        return given


attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
attend_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True, slots=True)
class Adapter:
    """A (r, in) and B (out, r) of one module, with its scale and its dropout module (an identity
    where there is none).
    """

    down: Tensor
    up: Tensor
    scale: float
    dropout: nn.Module

    @property
    def drops(self) -> float:
        """Share of the inputs that are dropped now."""
        return (
            self.dropout.p
            if self.dropout.training and isinstance(self.dropout, nn.Dropout)
            else 0.0
        )


@dataclass(frozen=True, slots=True)
class Block:
    """The weights of a layer. ``qkv`` holds query, key and value below one another, (3 d, d).

    ``adapters`` are named by what they adapt: query, key, value, out, up_proj (to the wide
    hidden size), down_proj (back to d).
    """

    qkv: Frozen
    out: Frozen
    up_proj: Frozen
    down_proj: Frozen
    norm1: Norm
    norm2: Norm
    heads: int
    adapters: Mapping[str, Adapter]


@dataclass(slots=True)
class LoraActivations:
    """What one adapter leaves behind for its backward pass: its input (N, in), which others share,
    c · A (m ∘ x) (N, r), mask, c.
    """

    x: Tensor
    z: Tensor
    mask: Tensor | None
    c: float


Masks = Mapping[str, Tensor | None]
Size = tuple[int, int]  # texts and tokens


def add_low(y: Tensor, x: Tensor, adapter: Adapter, mask: Tensor | None) -> LoraActivations:
    """Add the adapter's share to ``y`` (N, out) in place; ``mask`` (N, in) of ones and zeros drops
    inputs.
    """
    c = adapter.scale / (1 - adapter.drops)
    z = (_dropped(x, mask) @ adapter.down.T).mul_(c)
    y.addmm_(z, adapter.up.T)
    return LoraActivations(x, z, mask, c)


def _dropped(x: Tensor, mask: Tensor | None) -> Tensor:
    return x if mask is None else x * mask


def low_backward(
    grad: Tensor, low: LoraActivations, adapter: Adapter, into: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Gradients of A and B from that of y (N, out); that of x is added to ``into`` unless it is
    None.
    """
    inner = (grad @ adapter.up).mul_(low.c)  # (N, r)
    if into is not None:
        if low.mask is None:
            into.addmm_(inner, adapter.down)
        else:
            into.addcmul_(inner @ adapter.down, low.mask)
    return inner.T @ _dropped(low.x, low.mask), grad.T @ low.z


class Layer(torch.autograd.Function):
    """``Layer.apply(x, bias, block, size, masks, *parameters)``: x (N, d) to (N, d).

    ``bias`` (B, 1, 1, T) is added to attention scores; ``parameters`` are A and B of each adapter
    in order, so that autograd sees them.
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
        y, kept = run(x, bias, block, size, masks)
        ctx.kept, ctx.bias, ctx.block, ctx.size, ctx.wanted = (
            kept,
            bias,
            block,
            size,
            ctx.needs_input_grad[0],
        )
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, if anything below is trained, and of each A and B."""
        x_grad, found = run_backward(
            grad.contiguous(), ctx.kept, ctx.bias, ctx.block, ctx.size, ctx.wanted
        )
        ctx.kept = None  # a layer's activations go as soon as they are used
        parameters = [part for name in ctx.block.adapters for part in found[name]]
        return (x_grad, None, None, None, None, *parameters)


@dataclass(slots=True)
class SavedTensors:
    """What the backward pass of a layer reads; ``attended`` and ``fallen`` are the inputs of its
    norms with their mean and deviation.
    """

    qkv: Tensor
    context: Tensor
    spread: Tensor
    attended: tuple[Tensor, ...]
    risen: Tensor
    fallen: tuple[Tensor, ...]
    lows: dict[str, LoraActivations]


def run(
    x: Tensor, bias: Tensor | None, block: Block, size: Size, masks: Masks
) -> tuple[Tensor, SavedTensors]:
    """The layer's output (N, d) and what its backward pass needs."""
    lows: dict[str, LoraActivations] = {}

    def adapt(name: str, y: Tensor, inputs: Tensor) -> None:
        if name in block.adapters:
            lows[name] = add_low(y, inputs, block.adapters[name], masks.get(name))

    d = x.shape[1]
    qkv = block.qkv.forward(x)  # (N, 3 d)
    for index, name in enumerate(("query", "key", "value")):
        adapt(name, qkv[:, index * d : (index + 1) * d], x)
    context, spread = attend(
        *_heads(qkv, size, block.heads, d // block.heads), attn_mask=bias
    )  # (B, h, T, w), (B, h, T)
    flat = _join_heads([context], len(x))
    a = block.out.forward(flat, x)
    adapt("out", a, flat)
    normed, *moments1 = block.norm1.forward(a)
    risen = block.up_proj.forward(normed)  # (N, wide)
    adapt("up_proj", risen, normed)
    wide = torch.nn.functional.gelu(risen)
    o = block.down_proj.forward(wide, normed)
    adapt("down_proj", o, wide)
    y, *moments2 = block.norm2.forward(o)
    return y, SavedTensors(qkv, context, spread, (a, *moments1), risen, (o, *moments2), lows)


def run_merged(x: Tensor, bias: Tensor | None, block: Block, size: Size) -> Tensor:
    """The output (N, d) of a layer whose adapters are part of its weights; nothing is kept for a
    backward pass.
    """
    heads = _heads(block.qkv.forward(x), size, block.heads, x.shape[1] // block.heads)
    context = attend(*heads, attn_mask=bias)[0]  # (B, h, T, w)
    a = block.norm1.forward(block.out.forward(_join_heads([context], len(x)), x))[0]
    return block.norm2.forward(block.down_proj.forward(block.up_proj.gelu(a), a))[0]


def run_backward(
    grad: Tensor, kept: SavedTensors, bias: Tensor | None, block: Block, size: Size, wanted: bool
) -> tuple[Tensor | None, dict[str, tuple[Tensor, Tensor]]]:
    """Gradient of x (N, d) if ``wanted``, and of A and B by module name."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def adapted(name: str, given: Tensor, into: Tensor | None) -> None:
        if name in block.adapters:
            found[name] = low_backward(given, kept.lows[name], block.adapters[name], into)

    d = grad.shape[1]
    o = block.norm2.backward(grad, *kept.fallen)
    wide = block.down_proj.backward(o)
    adapted("down_proj", o, wide)
    risen = torch.ops.aten.gelu_backward.grad_input(
        wide, kept.risen, grad_input=wide
    )  # in the place of wide
    normed = block.up_proj.backward(risen, o)
    adapted("up_proj", risen, normed)
    a = block.norm1.backward(normed, *kept.attended)
    del wide, risen, o, normed  # 6 d a token, beside the attention's gradients
    flat = block.out.backward(a)
    adapted("out", a, flat)
    (context,) = _heads(flat, size, block.heads, d // block.heads)
    parts = attend_backward(
        context,
        *_heads(kept.qkv, size, block.heads, d // block.heads),
        kept.context,
        kept.spread,
        0.0,
        False,
        attn_mask=bias,
    )
    qkv = _join_heads(parts, len(grad))  # (N, 3 d)
    x = block.qkv.backward(qkv, a) if wanted else None
    for index, name in enumerate(("query", "key", "value")):
        adapted(name, qkv[:, index * d : (index + 1) * d], x)
    return x, found


def _heads(joined: Tensor, size: Size, heads: int, width: int) -> tuple[Tensor, ...]:
    """Views (B, h, T, w) of what stands side by side in (N, k·d): query, key and value, or one
    alone.
    """
    texts, tokens = size
    parts = joined[: texts * tokens].view(texts, tokens, -1, heads, width)
    return parts.permute(2, 0, 3, 1, 4).unbind(0)


def _join_heads(parts: Sequence[Tensor], rows: int) -> Tensor:
    """(B, h, T, w) each, side by side: (``rows``, k·d), zeros in the filling."""
    texts, heads, tokens, width = parts[0].shape
    joined = parts[0].new_empty(rows, len(parts) * heads * width)
    joined[texts * tokens :] = 0
    view = joined[: texts * tokens].view(texts, tokens, len(parts), heads, width)
    for index, part in enumerate(parts):
        view[:, :, index] = part.transpose(1, 2)
    return joined
