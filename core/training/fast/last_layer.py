"""The last encoder layer for the first token alone, because the head reads no other.

The result is the same, without 14 % of all products of a six-layer encoder.
``compute_first_token`` is part of the hand-written encoder: softmax(q K') V with K = X Wk' and V =
X Wv' is computed as (softmax((q Wk) X') X) Wv', so that neither K nor V is formed.
``read_first_token_only`` changes a model of transformers. Shapes: B texts, T tokens, d hidden, h
heads, w = d / h, r rank.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import PreTrainedModel

from core.models.families import LayerPaths
from core.training.fast.adapter import Adapter, Frozen
from core.training.fast.layer import Block, Masks, drop, find_paths, list_layers


def compute_first_token(x: Tensor, bias: Tensor | None, block: Block, masks: Masks) -> Tensor:
    """Compute the layer's output for the first token: x (B, T, d) to (B, d).

    Autograd differentiates it, because it is a small part of the work.
    """
    first = x[:, 0]  # (B, d)
    scores = _score_tokens(first, x, block, masks)
    attention = torch.softmax(scores if bias is None else scores + bias[:, 0], dim=-1)
    context = _sum_values(drop(attention, block, "attention", masks), x, block, masks)
    mixed = _adapted(context, block.out, block, "out", masks)
    a = block.norm1.forward(drop(mixed, block, "out", masks) + first)[0]
    wide = torch.nn.functional.gelu(_adapted(a, block.up_proj, block, "up_proj", masks))
    narrow = _adapted(wide, block.down_proj, block, "down_proj", masks)
    return block.norm2.forward(drop(narrow, block, "down_proj", masks) + a)[0]


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
        factor = _factor(adapter)
        scaled = q if factor is None else q * factor.view(heads, -1)
        scores = scores + torch.einsum("bhw,hwr->bhr", scaled, lora_b) @ z.transpose(1, 2)
        if factor is not None:
            key_rows = torch.einsum("bhw,hwd->bhd", scaled - q, key.weight.view(heads, -1, d))
            scores = scores + key_rows @ _dropped(x, adapter, masks.get("key")).transpose(1, 2)
    return scores / math.sqrt(d // heads)


def _sum_values(attention: Tensor, x: Tensor, block: Block, masks: Masks) -> Tensor:
    """Context (B, d) of the first token from attention (B, h, T), without forming V."""
    texts, _, d = x.shape
    heads, value = block.heads, block.projection("value")
    mixed = attention @ x  # (B, h, d)
    context = torch.einsum("bhd,hwd->bhw", mixed, value.weight.view(heads, -1, d))
    # with dropout the proportions of attention do not sum to one
    context = context + attention.sum(-1)[..., None] * value.bias.view(heads, -1)
    context = context.reshape(texts, d)
    if adapter := block.adapters.get("value"):
        z = _inner(x, adapter, masks.get("value"))
        lora_b = adapter.lora_b.view(heads, d // heads, -1)  # (h, w, r)
        change = torch.einsum("bhr,hwr->bhw", attention @ z, lora_b).reshape(texts, d)
        if (factor := _factor(adapter)) is not None:
            mixed = attention @ _dropped(x, adapter, masks.get("value"))
            frozen = torch.einsum("bhd,hwd->bhw", mixed, value.weight.view(heads, -1, d))
            change = factor * change + (factor - 1) * frozen.reshape(texts, d)
        context = context + change
    return context


def _adapted(x: Tensor, frozen: Frozen, block: Block, name: str, masks: Masks) -> Tensor:
    y = torch.nn.functional.linear(x, frozen.weight, frozen.bias)
    adapter = block.adapters.get(name)
    if adapter is None:
        return y
    change = _inner(x, adapter, masks.get(name)) @ adapter.lora_b.T
    if (factor := _factor(adapter)) is not None:
        dropped = _dropped(x, adapter, masks.get(name))
        change = factor * change + (factor - 1) * (dropped @ frozen.weight.T)
    return y + change


def _factor(adapter: Adapter) -> Tensor | None:
    """Return DoRA's magnitudes over the lengths of the rows (out,); None without DoRA."""
    if adapter.magnitude is None:
        return None
    return adapter.magnitude.lengths / adapter.measure_rows()


def _dropped(x: Tensor, adapter: Adapter, mask: Tensor | None) -> Tensor:
    """Compute x̃ = m ∘ x / (1 - dropout)."""
    return x if mask is None else x * mask / (1 - adapter.drops)


def _inner(x: Tensor, adapter: Adapter, mask: Tensor | None) -> Tensor:
    """Compute c · A (m ∘ x), (…, r)."""
    return (
        adapter.scale / (1 - adapter.drops) * ((x if mask is None else x * mask) @ adapter.lora_a.T)
    )


def read_first_token_only(model: PreTrainedModel) -> None:
    """Make the last layer of ``model`` return only the first token, (B, 1, d). A model of a family
    that is not listed in ``core.models.families`` is not changed.

    Do not use it for a model whose hidden states are read.
    """
    if paths := find_paths(model):
        layer = list_layers(model, paths)[-1]
        heads = getattr(model.config, paths.heads)
        layer.forward = partial(_compute_layer, layer, paths.layer, heads)


def _compute_layer(
    layer: nn.Module,
    paths: LayerPaths,
    heads: int,
    hidden: Tensor,
    attention_mask: Tensor | None = None,
    *_: object,
    **__: object,
) -> Tensor:
    """Compute the layer's output for the first token, (B, 1, d); ``hidden`` is (B, T, d)."""
    context = _attend(
        layer.get_submodule(paths.query)(hidden[:, :1]),
        layer.get_submodule(paths.key)(hidden),
        layer.get_submodule(paths.value)(hidden),
        attention_mask,
        heads,
        layer.get_submodule(paths.attention).get_submodule("dropout"),
    )
    mixed = layer.get_submodule(paths.out)(context)
    if paths.out_dropout is not None:
        mixed = layer.get_submodule(paths.out_dropout)(mixed)
    attended = layer.get_submodule(paths.attention_norm)(mixed + hidden[:, :1])  # (B, 1, d)
    wide = layer.get_submodule(paths.activation)(layer.get_submodule(paths.up_proj)(attended))
    narrow = layer.get_submodule(paths.down_dropout)(layer.get_submodule(paths.down_proj)(wide))
    output: Tensor = layer.get_submodule(paths.output_norm)(narrow + attended)
    return output


def _attend(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, heads: int, dropout: nn.Module
) -> Tensor:
    """Compute the attention of the first token to all tokens: query (B, 1, d), key and value (B, T,
    d) to (B, 1, d). ``mask`` is (B, 1, T or 1, T).
    """
    rows, width = len(query), query.shape[-1] // heads
    # (B, h, 1 or T, w)
    first, keys, values = (
        tensor.view(rows, -1, heads, width).transpose(1, 2) for tensor in (query, key, value)
    )
    probability = dropout.p if dropout.training else 0.0
    context = scaled_dot_product_attention(
        first,
        keys,
        values,
        attn_mask=None if mask is None else mask[:, :, :1],
        dropout_p=probability,  # type: ignore[arg-type]
    )  # (B, h, 1, w)
    return context.transpose(1, 2).flatten(2)
