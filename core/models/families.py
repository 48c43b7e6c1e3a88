"""The families of base models: their configuration, tensors, layers and heads.

A model of another family is refused. One with an ``encoder`` is computed by the hand-written layers
of ``core.training.fast``, others by transformers and PEFT: to add a family, describe it here. Paths
are strings that ``torch.nn.Module.get_submodule`` resolves, so the web server can import this
module. Shapes: d hidden size, C classes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from core.translation import mark

PROJECTIONS = ("query", "key", "value", "out", "up_proj", "down_proj")
GELU = "gelu"  # the only activation that the hand-written layers compute
Activation = Literal["tanh", "relu", "gelu"]
ACTIVATION_NAMES: dict[Activation, str] = {"tanh": "tanh", "relu": "ReLU", "gelu": "GELU"}


@dataclass(frozen=True, slots=True)
class LayerPaths:
    """Paths of an encoder layer's modules, from the layer.

    The layer must be post-norm: a = attention_norm(x + out(attention(x))), y = output_norm(a +
    down_proj(gelu(up_proj(a)))). ``attention`` is the module whose ``dropout`` drops attention
    probabilities; ``out_dropout`` is None where nothing is dropped after ``out``.
    """

    attention: str
    query: str
    key: str
    value: str
    out: str
    out_dropout: str | None
    attention_norm: str
    up_proj: str
    activation: str
    down_proj: str
    down_dropout: str
    output_norm: str

    @property
    def projections(self) -> tuple[str, ...]:
        """Paths of the linear modules, in the order of ``PROJECTIONS``."""
        return (self.query, self.key, self.value, self.out, self.up_proj, self.down_proj)


@dataclass(frozen=True, slots=True)
class EncoderPaths:
    """Path of an encoder in its classifier, and names of its settings.

    ``path`` is the module that maps hidden states to hidden states, ``layers`` the list of its
    layers from there. ``heads`` and ``activation`` are the fields of ``config.json`` with the
    number of attention heads and the activation.
    """

    path: str
    layers: str
    layer: LayerPaths
    heads: str
    activation: str


POOLING = mark("first token → dense, {activation} ({name})")


@dataclass(frozen=True, slots=True)
class HeadPaths:
    """A head on the first token: ``dense`` (d to d), ``activation``, and ``output`` (d to C).

    With ``is_pooler``, ``dense`` is part of the pretrained model and is trained only if it is
    missing in the checkpoint.
    """

    dense: str
    activation: Activation
    output: str
    is_pooler: bool = False

    @property
    def description(self) -> str:
        """Description of the steps between the last layer and ``output``, for users."""
        name = "the pooler" if self.is_pooler else self.dense
        return POOLING.format(activation=ACTIVATION_NAMES[self.activation], name=name)


@dataclass(frozen=True, slots=True)
class CheckpointNames:
    """Names in the files of a pretrained encoder.

    Args:
        prefix: What a checkpoint with a head writes before the name of each encoder tensor.
        sizes: Field of ``config.json`` with each size, by letter.
        modules: Sizes of each module's weight by path. ``#`` stands for the number of the layer. A
            module with ``TABLE`` in its name has no bias.
        fields: Other fields of ``config.json`` that change what transformers computes, or that
            every such configuration has.
        tokenizer: The tokenizer's class in transformers if ``tokenizer_config.json`` has none.
    """

    prefix: str
    sizes: Mapping[str, str]
    modules: Mapping[str, str]
    fields: frozenset[str]
    tokenizer: str

    def list_tensors(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, tuple[int, ...]]]:
        """List name, without prefix, and shape of each tensor; ``sizes`` is by letter."""
        for path, letters in self.modules.items():
            shape = tuple(sizes[letter] for letter in letters)
            if path == PROJECTED_EMBEDDINGS and shape[0] == shape[1]:
                continue
            for layer in range(sizes[LAYERS] if "#" in path else 1):
                name = path.replace("#", str(layer))
                yield f"{name}.weight", shape
                if not TABLE.search(name):
                    yield f"{name}.bias", shape[:1]


@dataclass(frozen=True, slots=True)
class ModelFamily:
    """A type of base model, by ``model_type`` in ``config.json``.

    ``classifier`` is the classifier's class in transformers. ``encoder`` is None if the
    hand-written layers do not support it. With ``positions_after_padding``, positions are counted
    from the padding id + 1, so the first ones are never used.
    """

    model_type: str
    classifier: str
    encoder: EncoderPaths | None
    head: HeadPaths
    default_targets: tuple[str, ...]
    checkpoint: CheckpointNames
    positions_after_padding: bool = False
    padding_id: int = 1  # if config.json has none
    other_padding: bool = True  # whether transformers reads pad_token_id for the positions


BERT_LAYER = LayerPaths(
    attention="attention.self",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    out="attention.output.dense",
    out_dropout="attention.output.dropout",
    attention_norm="attention.output.LayerNorm",
    up_proj="intermediate.dense",
    activation="intermediate.intermediate_act_fn",
    down_proj="output.dense",
    down_dropout="output.dropout",
    output_norm="output.LayerNorm",
)
DISTILBERT_LAYER = LayerPaths(
    attention="attention",
    query="attention.q_lin",
    key="attention.k_lin",
    value="attention.v_lin",
    out="attention.out_lin",
    out_dropout=None,
    attention_norm="sa_layer_norm",
    up_proj="ffn.lin1",
    activation="ffn.activation",
    down_proj="ffn.lin2",
    down_dropout="ffn.dropout",
    output_norm="output_layer_norm",
)
LAYERS, HEADS = "n", "h"  # letters of the number of layers and of attention heads
TABLE = re.compile(r"_embeddings$|attention_bias$")
POOLER = "pooler.dense"
PROJECTED_EMBEDDINGS = "embeddings_project"  # exists only if its widths differ
# linear modules of an encoder outside its layers; only adapters that name them have LoRA there
OUTER_MODULES = (POOLER, PROJECTED_EMBEDDINGS)
BERT_SIZES = {
    "v": "vocab_size",
    "p": "max_position_embeddings",
    "t": "type_vocab_size",
    "e": "hidden_size",
    "d": "hidden_size",
    "m": "intermediate_size",
    LAYERS: "num_hidden_layers",
    HEADS: "num_attention_heads",
}
TOKEN_FIELDS = {"pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings"}
BERT_FIELDS = TOKEN_FIELDS | {
    "add_cross_attention",
    "attention_probs_dropout_prob",
    "classifier_dropout",
    "hidden_act",
    "hidden_dropout_prob",
    "initializer_range",
    "is_decoder",
    "layer_norm_eps",
    "use_cache",
}
EMBEDDING_MODULES = {
    "embeddings.word_embeddings": "ve",
    "embeddings.position_embeddings": "pe",
    "embeddings.LayerNorm": "e",
}
FEED_FORWARD_MODULES = {
    "encoder.layer.#.intermediate.dense": "md",
    "encoder.layer.#.output.dense": "dm",
    "encoder.layer.#.output.LayerNorm": "d",
}
BERT_MODULES = {
    **EMBEDDING_MODULES,
    "embeddings.token_type_embeddings": "te",
    **{f"encoder.layer.#.attention.self.{name}": "dd" for name in ("query", "key", "value")},
    "encoder.layer.#.attention.output.dense": "dd",
    "encoder.layer.#.attention.output.LayerNorm": "d",
    **FEED_FORWARD_MODULES,
}
DISTILBERT_MODULES = {
    **EMBEDDING_MODULES,
    **{
        f"transformer.layer.#.attention.{name}": "dd"
        for name in ("q_lin", "k_lin", "v_lin", "out_lin")
    },
    "transformer.layer.#.sa_layer_norm": "d",
    "transformer.layer.#.ffn.lin1": "md",
    "transformer.layer.#.ffn.lin2": "dm",
    "transformer.layer.#.output_layer_norm": "d",
}
MPNET_MODULES = {
    **EMBEDDING_MODULES,
    **{f"encoder.layer.#.attention.attn.{name}": "dd" for name in ("q", "k", "v", "o")},
    "encoder.layer.#.attention.LayerNorm": "d",
    **FEED_FORWARD_MODULES,
    "encoder.relative_attention_bias": "bh",
}


def _describe_roberta(tokenizer: str) -> CheckpointNames:
    return CheckpointNames("roberta", BERT_SIZES, BERT_MODULES, frozenset(BERT_FIELDS), tokenizer)


ROBERTA_ENCODER = EncoderPaths(
    "roberta.encoder", "layer", BERT_LAYER, "num_attention_heads", "hidden_act"
)
ROBERTA_HEAD = HeadPaths("classifier.dense", "tanh", "classifier.out_proj")
FAMILIES = {
    family.model_type: family
    for family in (
        ModelFamily(
            "bert",
            "BertForSequenceClassification",
            EncoderPaths("bert.encoder", "layer", BERT_LAYER, "num_attention_heads", "hidden_act"),
            HeadPaths("bert.pooler.dense", "tanh", "classifier", is_pooler=True),
            ("query", "value"),
            CheckpointNames(
                "bert", BERT_SIZES, BERT_MODULES, frozenset(BERT_FIELDS), "BertTokenizer"
            ),
        ),
        ModelFamily(
            "distilbert",
            "DistilBertForSequenceClassification",
            EncoderPaths(
                "distilbert.transformer", "layer", DISTILBERT_LAYER, "n_heads", "activation"
            ),
            HeadPaths("pre_classifier", "relu", "classifier"),
            ("q_lin", "v_lin"),
            CheckpointNames(
                "distilbert",
                {
                    "v": "vocab_size",
                    "p": "max_position_embeddings",
                    "e": "dim",
                    "d": "dim",
                    "m": "hidden_dim",
                    LAYERS: "n_layers",
                    HEADS: "n_heads",
                },
                DISTILBERT_MODULES,
                frozenset(TOKEN_FIELDS)
                | {"activation", "attention_dropout", "dropout", "initializer_range"}
                | {"qa_dropout", "seq_classif_dropout", "sinusoidal_pos_embds"},
                "BertTokenizer",
            ),
        ),
        ModelFamily(
            "roberta",
            "RobertaForSequenceClassification",
            ROBERTA_ENCODER,
            ROBERTA_HEAD,
            ("query", "value"),
            _describe_roberta("RobertaTokenizer"),
            positions_after_padding=True,
        ),
        ModelFamily(
            "xlm-roberta",
            "XLMRobertaForSequenceClassification",
            ROBERTA_ENCODER,
            ROBERTA_HEAD,
            ("query", "value"),
            _describe_roberta("XLMRobertaTokenizer"),
            positions_after_padding=True,
        ),
        ModelFamily(
            "camembert",
            "CamembertForSequenceClassification",
            None,
            ROBERTA_HEAD,
            ("query", "value"),
            _describe_roberta("CamembertTokenizer"),
            positions_after_padding=True,
        ),
        ModelFamily(
            "electra",
            "ElectraForSequenceClassification",
            None,
            HeadPaths("classifier.dense", "gelu", "classifier.out_proj"),
            ("query", "value"),
            CheckpointNames(
                "electra",
                {**BERT_SIZES, "e": "embedding_size"},
                {**BERT_MODULES, PROJECTED_EMBEDDINGS: "de"},
                frozenset(BERT_FIELDS)
                | {"summary_activation", "summary_last_dropout", "summary_type"}
                | {"summary_use_proj"},
                "BertTokenizer",
            ),
        ),
        ModelFamily(
            "mpnet",
            "MPNetForSequenceClassification",
            None,
            ROBERTA_HEAD,
            ("q", "v"),
            CheckpointNames(
                "mpnet",
                {
                    **{letter: field for letter, field in BERT_SIZES.items() if letter != "t"},
                    "b": "relative_attention_num_buckets",
                },
                MPNET_MODULES,
                frozenset(BERT_FIELDS)
                - {"add_cross_attention", "classifier_dropout", "is_decoder", "use_cache"},
                "MPNetTokenizer",
            ),
            positions_after_padding=True,
            other_padding=False,
        ),
    )
}

# linear modules of all families by stage of their layer's computation; all others are the last one
STAGES = (
    re.compile(r"\.(query|key|value|[qkv]_lin|[qkv])$"),
    re.compile(r"(attention\.output\.dense|\.out_lin|\.o)$"),
    re.compile(r"(intermediate\.dense|\.lin1)$"),
)


def find_family(model_type: str) -> ModelFamily | None:
    """Return the family of a model type; None if it is not listed."""
    return FAMILIES.get(model_type)


def find_encoder(model_type: str, is_decoder: bool) -> EncoderPaths | None:
    """Return the encoder whose last layer is needed for the first token only.

    None for other families, and for decoders, in which a token attends only to earlier ones.
    """
    family = find_family(model_type)
    return None if family is None or is_decoder else family.encoder


def find_stage(module: str) -> int:
    """Return the position of a linear module in the order of computation of its layer.

    0 for query, key and value, 1 for out, 2 for up_proj, 3 for all others. ``module`` is the path
    from the layer, in any family.
    """
    return next(
        (stage for stage, names in enumerate(STAGES) if names.search(f".{module}")), len(STAGES)
    )


def find_projection(module: str) -> int:
    """Return the index of a linear module in ``PROJECTIONS``; its length for an unknown name.

    ``module`` is the path from the layer, in any family.
    """
    for family in FAMILIES.values():
        if family.encoder is not None:
            for index, path in enumerate(family.encoder.layer.projections):
                name = path if path.endswith(".dense") else path.rsplit(".", 1)[-1]
                if f".{module}".endswith(f".{name}"):
                    return index
    return len(PROJECTIONS)
