"""The last encoder layer for the first token alone, which is all that the head reads.

softmax(q K') V with K = X Wk' and V = X Wv' is computed as (softmax((q Wk) X') X) Wv', so that
neither K nor V is formed. Shapes: B texts, T tokens, d hidden, h heads, w = d / h, r rank.
"""

import math

import torch
from torch import Tensor

from core.training.fast.layer import Adapter, Block, Frozen, Masks


def first_token(x: Tensor, bias: Tensor | None, block: Block, masks: Masks) -> Tensor:
    """Compute the layer's output for the first token: x (B, T, d) to (B, d).

    Differentiated by autograd, because little is left to compute.
    """
    first = x[:, 0]  # (B, d)
    scores = _score_tokens(first, x, block, masks)
    attention = torch.softmax(scores if bias is None else scores + bias[:, 0], dim=-1)
    context = _sum_values(attention, x, block, masks)
    a = block.norm1.forward(_adapted(context, block.out, block, "out", masks) + first)[0]
    wide = torch.nn.functional.gelu(_adapted(a, block.up_proj, block, "up_proj", masks))
    return block.norm2.forward(_adapted(wide, block.down_proj, block, "down_proj", masks) + a)[0]


def _score_tokens(first: Tensor, x: Tensor, block: Block, masks: Masks) -> Tensor:
    """Attention scores (B, h, T) of the first token (B, d) for all tokens x (B, T, d), q K' / √w,
    without forming K.
    """
    texts, _, d = x.shape
    heads, key = block.heads, block.projection("key")
    q = _adapted(first, block.projection("query"), block, "query", masks)
    q = q.view(texts, heads, -1)  # (B, h, w)
    key_rows = torch.einsum("bhw,hwd->bhd", q, key.weight.view(heads, -1, d))
    shift = torch.einsum("bhw,hw->bh", q, key.bias.view(heads, -1))
    scores = key_rows @ x.transpose(1, 2) + shift[..., None]
    if adapter := block.adapters.get("key"):
        z, lora_b = _inner(x, adapter, masks.get("key")), adapter.lora_b.view(heads, d // heads, -1)
        scores = scores + torch.einsum("bhw,hwr->bhr", q, lora_b) @ z.transpose(1, 2)
    return scores / math.sqrt(d // heads)


def _sum_values(attention: Tensor, x: Tensor, block: Block, masks: Masks) -> Tensor:
    """Context (B, d) of the first token from attention (B, h, T), without forming V."""
    texts, _, d = x.shape
    heads, value = block.heads, block.projection("value")
    mixed = attention @ x  # (B, h, d)
    context = torch.einsum("bhd,hwd->bhw", mixed, value.weight.view(heads, -1, d))
    context = context.reshape(texts, d) + value.bias
    if adapter := block.adapters.get("value"):
        z = _inner(x, adapter, masks.get("value"))
        lora_b = adapter.lora_b.view(heads, d // heads, -1)  # (h, w, r)
        context = context + torch.einsum("bhr,hwr->bhw", attention @ z, lora_b).reshape(texts, d)
    return context


def _adapted(x: Tensor, frozen: Frozen, block: Block, name: str, masks: Masks) -> Tensor:
    y = torch.nn.functional.linear(x, frozen.weight, frozen.bias)
    adapter = block.adapters.get(name)
    return y if adapter is None else y + _inner(x, adapter, masks.get(name)) @ adapter.lora_b.T


def _inner(x: Tensor, adapter: Adapter, mask: Tensor | None) -> Tensor:
    """Compute c · A (m ∘ x), (…, r)."""
    return (
        adapter.scale / (1 - adapter.drops) * ((x if mask is None else x * mask) @ adapter.lora_a.T)
    )
