"""The last layer of a fast encoder, for the first token alone: the heads of BERT and DistilBERT
read nothing else.

softmax(q K') V with K = X Wk' and V = X Wv' is computed as (softmax((q Wk) X') X) Wv', so that
neither K nor V is formed. Shapes: B texts, T tokens, d hidden, h heads, w = d / h, r rank.
"""

import math

import torch
from torch import Tensor

from core.training.fast.layer import Adapter, Block, Frozen, Masks


def first_token(x: Tensor, bias: Tensor | None, block: Block, masks: Masks) -> Tensor:
    """The layer's output for the first token alone: x (B, T, d) gives (B, d). Left to autograd,
    which finds little to do here.
    """
    texts, _tokens, d = x.shape
    heads, first = block.heads, x[:, 0]
    query_weight, key_weight, value_weight = block.qkv.weight.view(3, d, d)
    query_bias, key_bias, value_bias = block.qkv.bias.view(3, d)
    q = _adapted(first, Frozen(query_weight, query_bias, onednn=False), block, "query", masks).view(
        texts, heads, -1
    )  # (B, h, w)
    keys = torch.einsum("bhw,hwd->bhd", q, key_weight.view(heads, -1, d))
    scores = (
        keys @ x.transpose(1, 2)
        + torch.einsum("bhw,hw->bh", q, key_bias.view(heads, -1))[..., None]
    )  # (B, h, T)
    if "key" in block.adapters:
        adapter = block.adapters["key"]
        z, up = (
            _inner(x, adapter, masks.get("key")),
            adapter.up.view(heads, d // heads, -1),
        )  # (B, T, r), (h, w, r)
        scores = scores + torch.einsum("bhw,hwr->bhr", q, up) @ z.transpose(1, 2)
    scores = scores / math.sqrt(d // heads)
    share = torch.softmax(scores if bias is None else scores + bias[:, 0], dim=-1)  # (B, h, T)
    context = (
        torch.einsum("bhd,hwd->bhw", share @ x, value_weight.view(heads, -1, d)).reshape(texts, d)
        + value_bias
    )
    if "value" in block.adapters:
        adapter = block.adapters["value"]
        z, up = _inner(x, adapter, masks.get("value")), adapter.up.view(heads, d // heads, -1)
        context = context + torch.einsum("bhr,hwr->bhw", share @ z, up).reshape(texts, d)
    a = block.norm1.forward(_adapted(context, block.out, block, "out", masks) + first)[0]
    wide = torch.nn.functional.gelu(_adapted(a, block.up_proj, block, "up_proj", masks))
    return block.norm2.forward(_adapted(wide, block.down_proj, block, "down_proj", masks) + a)[0]


def _adapted(x: Tensor, frozen: Frozen, block: Block, name: str, masks: Masks) -> Tensor:
    y = torch.nn.functional.linear(x, frozen.weight, frozen.bias)
    adapter = block.adapters.get(name)
    return y if adapter is None else y + _inner(x, adapter, masks.get(name)) @ adapter.up.T


def _inner(x: Tensor, adapter: Adapter, mask: Tensor | None) -> Tensor:
    """c · A (m ∘ x), (…, r)."""
    return (
        adapter.scale / (1 - adapter.drops) * ((x if mask is None else x * mask) @ adapter.down.T)
    )
