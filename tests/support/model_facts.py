"""Model shapes and data facts for arithmetic by hand."""

import numpy as np

from core.estimate.inputs import DataFacts, ModelFacts
from core.models.model_shape import Linear, ModelShape


def bert_shape(hidden: int, layers: int, parameters: int) -> ModelShape:
    """Return a BERT encoder with a feed-forward part four times as wide."""
    linears = [
        Linear(f"encoder.layer.{layer}.{name}", inputs, outputs)
        for layer in range(layers)
        for name, inputs, outputs in (
            ("attention.output.dense", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.query", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("intermediate.dense", hidden, 4 * hidden),
            ("output.dense", 4 * hidden, hidden),
        )
    ]
    return ModelShape("bert", parameters, hidden, layers, 512, tuple(linears), True)


def facts(shape: ModelShape, device: str = "cpu", name: str = "minilm") -> ModelFacts:
    """Return facts of a model with this shape."""
    return ModelFacts(name, True, "", shape, device, name, "1")


MINILM = facts(bert_shape(384, 6, 22_700_000))
BERT = facts(bert_shape(768, 6, 67_000_000), name="bert")
NEWS = DataFacts(4, 32_400, 3_600, 7_600, np.full(1000, 53))
