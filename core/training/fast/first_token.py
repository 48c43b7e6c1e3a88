"""Skip what nobody reads: BERT's and DistilBERT's heads take the first token of the last layer, so
only that one is computed there.

The result is the same; a sixth of a six-layer encoder nearly vanishes (14 % of all products).
Shapes: B rows, T tokens, d hidden.
"""

from functools import partial

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    BertForSequenceClassification,
    DistilBertForSequenceClassification,
    PreTrainedModel,
)
from transformers.models.bert.modeling_bert import BertLayer, BertSelfAttention
from transformers.models.distilbert.modeling_distilbert import (
    DistilBertSelfAttention,
    TransformerBlock,
)


def read_first_token_only(model: PreTrainedModel) -> None:
    """Let the last layer of ``model`` give the first token alone, (B, 1, d). Other architectures
    stay as they are.

    Not for a model whose hidden states are looked at.
    """
    if type(model) is BertForSequenceClassification and not model.config.is_decoder:
        layer = model.bert.encoder.layer[-1]
        layer.forward = partial(_bert_layer, layer)
    elif type(model) is DistilBertForSequenceClassification:
        layer = model.distilbert.transformer.layer[-1]
        layer.forward = partial(_distilbert_layer, layer)


def _bert_layer(
    layer: BertLayer, hidden: Tensor, attention_mask: Tensor | None = None, *_: object, **__: object
) -> Tensor:
    attention = layer.attention.self
    context = _attend(
        attention,
        attention.query(hidden[:, :1]),
        attention.key(hidden),
        attention.value(hidden),
        attention_mask,
    )
    attended = layer.attention.output(context, hidden[:, :1])  # (B, 1, d)
    first: Tensor = layer.feed_forward_chunk(attended)
    return first


def _distilbert_layer(
    layer: TransformerBlock, hidden: Tensor, attention_mask: Tensor | None = None, **_: object
) -> Tensor:
    attention = layer.attention
    context = _attend(
        attention,
        attention.q_lin(hidden[:, :1]),
        attention.k_lin(hidden),
        attention.v_lin(hidden),
        attention_mask,
    )
    attended = layer.sa_layer_norm(attention.out_lin(context) + hidden[:, :1])  # (B, 1, d)
    first: Tensor = layer.output_layer_norm(layer.ffn(attended) + attended)
    return first


def _attend(
    attention: BertSelfAttention | DistilBertSelfAttention,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
) -> Tensor:
    """What the first token draws from all: query (B, 1, d), key and value (B, T, d) give (B, 1, d).
    ``mask`` is (B, 1, T or 1, T).
    """
    rows, width = len(query), attention.attention_head_size
    first, keys, values = (
        part.view(rows, -1, part.shape[-1] // width, width).transpose(1, 2)
        for part in (query, key, value)
    )
    share = attention.dropout.p if attention.training else 0.0
    seen = None if mask is None else mask[:, :, :1]
    context = scaled_dot_product_attention(
        first, keys, values, attn_mask=seen, dropout_p=share
    )  # (B, heads, 1, width)
    return context.transpose(1, 2).flatten(2)
