"""The families of base models: where their layers, projections, norms and heads are.

A family that is not listed is computed by transformers and PEFT only. One with an ``encoder`` is
also computed by the hand-written layers of ``core.training.fast``: to add a family, describe it
here. Paths are strings that ``torch.nn.Module.get_submodule`` resolves, so the web
server can import this module. Shapes: d hidden size, C classes.
"""

import re
from dataclasses import dataclass
from typing import Literal

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
        return f"first token → dense, {ACTIVATION_NAMES[self.activation]} ({name})"


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
    positions_after_padding: bool = False
    padding_id: int = 1  # if config.json has none


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
        ),
        ModelFamily(
            "distilbert",
            "DistilBertForSequenceClassification",
            EncoderPaths(
                "distilbert.transformer", "layer", DISTILBERT_LAYER, "n_heads", "activation"
            ),
            HeadPaths("pre_classifier", "relu", "classifier"),
            ("q_lin", "v_lin"),
        ),
        ModelFamily(
            "roberta",
            "RobertaForSequenceClassification",
            ROBERTA_ENCODER,
            ROBERTA_HEAD,
            ("query", "value"),
            positions_after_padding=True,
        ),
        ModelFamily(
            "xlm-roberta",
            "XLMRobertaForSequenceClassification",
            ROBERTA_ENCODER,
            ROBERTA_HEAD,
            ("query", "value"),
            positions_after_padding=True,
        ),
        ModelFamily(
            "camembert",
            "CamembertForSequenceClassification",
            None,
            ROBERTA_HEAD,
            ("query", "value"),
            positions_after_padding=True,
        ),
        ModelFamily(
            "electra",
            "ElectraForSequenceClassification",
            None,
            HeadPaths("classifier.dense", "gelu", "classifier.out_proj"),
            ("query", "value"),
        ),
        ModelFamily(
            "mpnet",
            "MPNetForSequenceClassification",
            None,
            ROBERTA_HEAD,
            ("q", "v"),
            positions_after_padding=True,
        ),
    )
}

# for families that are not listed above: query and value projections
OTHER_TARGETS = (
    ("query", "value"),
    ("q_lin", "v_lin"),
    ("q_proj", "v_proj"),
    ("query_proj", "value_proj"),
    ("q", "v"),
    ("Wqkv",),
)
OTHER_STAGES = (
    re.compile(r"\.(query|key|value|[qkv]_lin|[qkv]_proj|(query|key|value)_proj|[qkv]|Wqkv)$"),
    re.compile(r"(attention\.output\.dense|out_lin|out_proj|o_proj|attn\.Wo|\.o)$"),
    re.compile(r"(intermediate\.dense|lin1|fc1|up_proj|Wi|wi)$"),
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


def find_stage(model_type: str, module: str) -> int:
    """Return the position of a linear module in the order of computation of its layer.

    0 for query, key and value, 1 for out, 2 for up_proj, 3 for all others. ``module`` is the path
    from the layer.
    """
    family = find_family(model_type)
    if family is not None and family.encoder is not None:
        layer = family.encoder.layer
        return {**dict.fromkeys(layer.projections[:3], 0), layer.out: 1, layer.up_proj: 2}.get(
            module, 3
        )
    return next(
        (stage for stage, names in enumerate(OTHER_STAGES) if names.search(f".{module}")),
        len(OTHER_STAGES),
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
