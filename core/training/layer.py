"""One encoder layer with its adapters as one autograd function: forward and backward written out, frozen weights without gradients.

Post-norm, as in BERT and DistilBERT: a = norm1(x + out(attention(x))), y = norm2(a + down(gelu(up(a)))). An adapted module
gives W x + c · B A (m ∘ x), with m the dropout mask and c = scale / (1 - dropout); its gradients follow from the chain rule,
e.g. ∂A = c · (∂y B)' (m ∘ x). Shapes: B texts, T tokens, N = B·T, d hidden, h heads, w = d / h, r rank.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

attend = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
attend_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True, slots=True)
class Frozen:
    """A frozen linear module: weight (out, in), bias (out,)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True, slots=True)
class Norm:
    """A frozen layer norm over d: weight (d,), bias (d,)."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The normed x (N, d), and the mean and inverse deviation (N, 1) that ``backward`` needs."""
        normed: tuple[Tensor, Tensor, Tensor] = torch.native_layer_norm(x, (x.shape[-1],), self.weight, self.bias, self.epsilon)
        return normed

    def backward(self, grad: Tensor, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        """The gradient of x (N, d)."""
        shape = (x.shape[-1],)
        wanted = (True, False, False)
        given: Tensor = torch.ops.aten.native_layer_norm_backward(grad, x, shape, mean, deviation, self.weight, self.bias, wanted)[0]
        return given


@dataclass(frozen=True, slots=True)
class Adapter:
    """A (r, in) and B (out, r) of one module, with its scale and its dropout module (an identity where there is none)."""

    down: Tensor
    up: Tensor
    scale: float
    dropout: nn.Module

    @property
    def drops(self) -> float:
        """Share of the inputs that are dropped now."""
        return self.dropout.p if self.dropout.training and isinstance(self.dropout, nn.Dropout) else 0.0


@dataclass(frozen=True, slots=True)
class Block:
    """The weights of a layer. ``qkv`` holds query, key and value below one another, (3 d, d).

    ``adapters`` are named by what they adapt: query, key, value, out, rise (d to the wide one), fall (back to d).
    """

    qkv: Frozen
    out: Frozen
    rise: Frozen
    fall: Frozen
    norm1: Norm
    norm2: Norm
    heads: int
    adapters: Mapping[str, Adapter]


@dataclass(slots=True)
class Low:
    """What one adapter leaves behind for its backward pass: its input (N, in) once dropped, that times c · A' (N, r), mask, c."""

    x: Tensor
    z: Tensor
    mask: Tensor | None
    c: float


Masks = Mapping[str, Tensor | None]


def add_low(y: Tensor, x: Tensor, adapter: Adapter, mask: Tensor | None) -> Low:
    """Add the adapter's share to ``y`` (N, out) in place; ``mask`` (N, in) of ones and zeros drops inputs."""
    c = adapter.scale / (1 - adapter.drops)
    dropped = x if mask is None else x * mask
    z = (dropped @ adapter.down.T).mul_(c)
    y.addmm_(z, adapter.up.T)
    return Low(dropped, z, mask, c)


def low_backward(grad: Tensor, low: Low, adapter: Adapter, into: Tensor | None) -> tuple[Tensor, Tensor]:
    """Gradients of A and B from that of y (N, out); that of x is added to ``into`` unless it is None."""
    inner = (grad @ adapter.up).mul_(low.c)  # (N, r)
    if into is not None:
        if low.mask is None:
            into.addmm_(inner, adapter.down)
        else:
            into.addcmul_(inner @ adapter.down, low.mask)
    return inner.T @ low.x, grad.T @ low.z


class Layer(torch.autograd.Function):
    """``Layer.apply(x, bias, block, tokens, masks, *parameters)``: x (N, d) to (N, d).

    ``bias`` (B, 1, 1, T) is added to attention scores; ``parameters`` are A and B of each adapter in order, so that autograd sees them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor | None, block: Block, tokens: int, masks: Masks, *parameters: Tensor) -> Tensor:
        """See the class."""
        y, kept = run(x, bias, block, tokens, masks)
        ctx.kept, ctx.bias, ctx.block, ctx.tokens, ctx.wanted = kept, bias, block, tokens, ctx.needs_input_grad[0]
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of x, if anything below is trained, and of each A and B."""
        x_grad, found = run_backward(grad.contiguous(), ctx.kept, ctx.bias, ctx.block, ctx.tokens, ctx.wanted)
        ctx.kept = None  # a layer's activations go as soon as they are used
        parameters = [part for name in ctx.block.adapters for part in found[name]]
        return (x_grad, None, None, None, None, *parameters)


@dataclass(slots=True)
class Kept:
    """What the backward pass of a layer reads; ``attended`` and ``fallen`` are the inputs of its norms with their mean and deviation."""

    qkv: Tensor
    context: Tensor
    spread: Tensor
    attended: tuple[Tensor, ...]
    risen: Tensor
    fallen: tuple[Tensor, ...]
    lows: dict[str, Low]


def run(x: Tensor, bias: Tensor | None, block: Block, tokens: int, masks: Masks) -> tuple[Tensor, Kept]:
    """The layer's output (N, d) and what its backward pass needs."""
    lows: dict[str, Low] = {}

    def adapt(name: str, y: Tensor, inputs: Tensor) -> None:
        if name in block.adapters:
            lows[name] = add_low(y, inputs, block.adapters[name], masks.get(name))

    d = x.shape[1]
    qkv = torch.addmm(block.qkv.bias, x, block.qkv.weight.T)  # (N, 3 d)
    for index, name in enumerate(("query", "key", "value")):
        adapt(name, qkv[:, index * d : (index + 1) * d], x)
    context, spread = attend(*_heads(qkv, tokens, block.heads), attn_mask=bias)  # (B, h, T, w), (B, h, T)
    flat = context.transpose(1, 2).reshape(-1, d)
    a = torch.addmm(block.out.bias, flat, block.out.weight.T)
    adapt("out", a, flat)
    a += x
    normed, *moments1 = block.norm1.forward(a)
    risen = torch.addmm(block.rise.bias, normed, block.rise.weight.T)  # (N, wide)
    adapt("rise", risen, normed)
    wide = torch.nn.functional.gelu(risen)
    o = torch.addmm(block.fall.bias, wide, block.fall.weight.T)
    adapt("fall", o, wide)
    o += normed
    y, *moments2 = block.norm2.forward(o)
    return y, Kept(qkv, context, spread, (a, *moments1), risen, (o, *moments2), lows)


def run_backward(
    grad: Tensor, kept: Kept, bias: Tensor | None, block: Block, tokens: int, wanted: bool
) -> tuple[Tensor | None, dict[str, tuple[Tensor, Tensor]]]:
    """Gradient of x (N, d) if ``wanted``, and of A and B by module name."""
    found: dict[str, tuple[Tensor, Tensor]] = {}

    def adapted(name: str, given: Tensor, into: Tensor | None) -> None:
        if name in block.adapters:
            found[name] = low_backward(given, kept.lows[name], block.adapters[name], into)

    d = grad.shape[1]
    o = block.norm2.backward(grad, *kept.fallen)
    wide = o @ block.fall.weight
    adapted("fall", o, wide)
    risen = torch.ops.aten.gelu_backward(wide, kept.risen)
    normed = torch.addmm(o, risen, block.rise.weight)
    adapted("rise", risen, normed)
    a = block.norm1.backward(normed, *kept.attended)
    flat = a @ block.out.weight
    adapted("out", a, flat)
    context = flat.view(-1, tokens, block.heads, d // block.heads).transpose(1, 2)
    parts = attend_backward(context, *_heads(kept.qkv, tokens, block.heads), kept.context, kept.spread, 0.0, False, attn_mask=bias)
    qkv = torch.stack([part.transpose(1, 2).reshape(-1, d) for part in parts], dim=1).view(-1, 3 * d)  # (N, 3 d)
    x = torch.addmm(a, qkv, block.qkv.weight) if wanted else None
    for index, name in enumerate(("query", "key", "value")):
        adapted(name, qkv[:, index * d : (index + 1) * d], x)
    return x, found


def first_token(x: Tensor, bias: Tensor | None, block: Block, masks: Masks) -> Tensor:
    """The layer's output for the first token alone: x (B, T, d) gives (B, d). For autograd, which finds little to do here.

    softmax(q K') V with K = X Wk' and V = X Wv' is computed as (softmax((q Wk) X') X) Wv', so that neither K nor V is formed.
    """
    texts, _tokens, d = x.shape
    heads, first = block.heads, x[:, 0]
    query_weight, key_weight, value_weight = block.qkv.weight.view(3, d, d)
    query_bias, key_bias, value_bias = block.qkv.bias.view(3, d)
    q = _adapted(first, Frozen(query_weight, query_bias), block, "query", masks).view(texts, heads, -1)  # (B, h, w)
    keys = torch.einsum("bhw,hwd->bhd", q, key_weight.view(heads, -1, d))
    scores = keys @ x.transpose(1, 2) + torch.einsum("bhw,hw->bh", q, key_bias.view(heads, -1))[..., None]  # (B, h, T)
    if "key" in block.adapters:
        adapter = block.adapters["key"]
        z, up = _inner(x, adapter, masks.get("key")), adapter.up.view(heads, d // heads, -1)  # (B, T, r), (h, w, r)
        scores = scores + torch.einsum("bhw,hwr->bhr", q, up) @ z.transpose(1, 2)
    scores = scores / math.sqrt(d // heads)
    share = torch.softmax(scores if bias is None else scores + bias[:, 0], dim=-1)  # (B, h, T)
    context = torch.einsum("bhd,hwd->bhw", share @ x, value_weight.view(heads, -1, d)).reshape(texts, d) + value_bias
    if "value" in block.adapters:
        adapter = block.adapters["value"]
        z, up = _inner(x, adapter, masks.get("value")), adapter.up.view(heads, d // heads, -1)
        context = context + torch.einsum("bhr,hwr->bhw", share @ z, up).reshape(texts, d)
    a = block.norm1.forward(_adapted(context, block.out, block, "out", masks) + first)[0]
    wide = torch.nn.functional.gelu(_adapted(a, block.rise, block, "rise", masks))
    return block.norm2.forward(_adapted(wide, block.fall, block, "fall", masks) + a)[0]


def _adapted(x: Tensor, frozen: Frozen, block: Block, name: str, masks: Masks) -> Tensor:
    y = torch.nn.functional.linear(x, frozen.weight, frozen.bias)
    adapter = block.adapters.get(name)
    return y if adapter is None else y + _inner(x, adapter, masks.get(name)) @ adapter.up.T


def _inner(x: Tensor, adapter: Adapter, mask: Tensor | None) -> Tensor:
    """c · A (m ∘ x), (…, r)."""
    return adapter.scale / (1 - adapter.drops) * ((x if mask is None else x * mask) @ adapter.down.T)


def _heads(qkv: Tensor, tokens: int, heads: int) -> tuple[Tensor, Tensor, Tensor]:
    """Views (B, h, T, w) of query, key and value."""
    parts = qkv.view(-1, tokens, 3, heads, qkv.shape[1] // (3 * heads))
    query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
    return query, key, value
