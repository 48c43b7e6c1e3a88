"""What a training has to compute, counted from shapes alone: the units whose cost a calibration
measures.

Only what is executed counts: in the last layer of BERT and DistilBERT just the first token goes
through query, output and feed-forward, and no gradient is taken with respect to the inputs below
the first adapter. Shapes: B rows and T tokens of a part, N = B T, d hidden, r rank, (in, out) the
widths of a linear module.
"""

from collections.abc import Mapping
from enum import StrEnum

from core.config import RunConfig
from core.models.architecture import (
    IN_A_LAYER,
    Linear,
    ModelShape,
    count_trainable,
    needs_plain_layers,
    target_modules,
)
from core.models.families import find_stage
from core.training.microbatches import Microbatches

GIGA, MEGA = 1e9, 1e6


class CostUnit(StrEnum):
    """A kind of work; the comment says what one unit is."""

    STEP = "step"  # an optimiser step
    TRAINED = "trained"  # a million trained parameters in a step
    PART = "part"  # forward and backward over a part
    WEIGHTS = "weights"  # a million frozen weights, read once a part
    MODULE = "module"  # an adapted module in a part
    PRODUCTS = "products"  # 1e9 operations in products with frozen weights, forward and backward
    ATTENTION = "attention"  # 1e9 operations between tokens
    ADAPTER = "adapter"  # a million values into and out of adapters
    ADAPTER_PRODUCTS = "adapter products"  # 1e9 operations with A and B
    DORA = "dora"  # a million weights whose columns are measured in a part
    DORA_PRODUCTS = "dora products"  # 1e9 operations of the second product with the frozen weights
    BASE_DROPOUT = "base dropout"  # a million values that the frozen base's dropout may set to zero
    # a part where the layers are not written out by hand; the next two: what is dearer there
    PLAIN_PART = "plain part"
    PLAIN_VALUES = "plain values"  # a million values of (N, d) in each layer
    PLAIN_ADAPTER = "plain adapter"  # a million values into and out of adapters
    EVALUATED_PART = "evaluated part"
    EVALUATED_WEIGHTS = "evaluated weights"
    EVALUATED_PRODUCTS = "evaluated products"
    EVALUATED_ATTENTION = "evaluated attention"
    EVALUATED_PLAIN_VALUES = "evaluated plain values"


Work = Mapping[CostUnit, float]


def is_fast(config: RunConfig, shape: ModelShape, device: str) -> bool:
    """Whether the hand-written encoder applies, as ``core.training.model`` decides."""
    fp32 = config.precision in ("auto", "fp32")
    return device == "cpu" and shape.is_hand_written and fp32 and not needs_plain_layers(config)


def train_work(
    config: RunConfig,
    shape: ModelShape,
    classes: int,
    parts: Microbatches,
    steps: float,
    device: str,
) -> dict[CostUnit, float]:
    """Units of ``steps`` optimiser steps over ``parts``. Raises ConfigError if a target module does
    not exist.
    """
    adapters, fast = target_modules(config, shape), is_fast(config, shape, device)
    first = min((_place(linear, shape) for linear in adapters), default=(0, 0))
    trained = sum(count.parameters for count in count_trainable(shape, config, classes))
    texts, tokens, squares = _sums(parts)
    cut = len(parts.rows) * parts.weight
    work = {
        CostUnit.STEP: steps,
        CostUnit.TRAINED: steps * trained / MEGA,
        CostUnit.PART: cut,
        CostUnit.WEIGHTS: cut * _weights(shape),
        CostUnit.MODULE: cut * len(adapters),
        CostUnit.PRODUCTS: 0.0,
        CostUnit.ATTENTION: 3 * _attention(shape, tokens, squares),
    }
    for linear in shape.linears:
        passes = 2 if _place(linear, shape) > first else 1  # forward, and backward to its inputs
        work[CostUnit.PRODUCTS] += (
            2
            * passes
            * _rows_through(linear, shape, fast, texts, tokens)
            * linear.inputs
            * linear.outputs
            / GIGA
        )
    read = [(linear, _rows_through(linear, shape, False, texts, tokens)) for linear in adapters]
    work[CostUnit.ADAPTER] = (
        sum(rows * (linear.inputs + linear.outputs) for linear, rows in read) / MEGA
    )
    work[CostUnit.ADAPTER_PRODUCTS] = (
        sum(6 * rows * config.rank * (linear.inputs + linear.outputs) for linear, rows in read)
        / GIGA
    )
    if not fast:
        work |= {
            CostUnit.PLAIN_PART: cut,
            CostUnit.PLAIN_VALUES: _values(shape, tokens),
            CostUnit.PLAIN_ADAPTER: work[CostUnit.ADAPTER],
        }
    if config.dora:
        work |= _dora(config, read, cut)
    if config.base_dropout:
        work[CostUnit.BASE_DROPOUT] = (
            (2 * shape.layers + 1) * tokens * shape.hidden_size
            + shape.layers * _heads(shape) * squares
        ) / MEGA
    return work


def evaluation_work(
    config: RunConfig, shape: ModelShape, parts: Microbatches, device: str
) -> dict[CostUnit, float]:
    """Units of predicting ``parts``, the adapter merged into the weights."""
    texts, tokens, squares = _sums(parts)
    cut, fast = len(parts.rows) * parts.weight, is_fast(config, shape, device)
    through = (
        _rows_through(linear, shape, fast, texts, tokens) * linear.inputs * linear.outputs
        for linear in shape.linears
    )
    return {
        CostUnit.EVALUATED_PART: cut,
        CostUnit.EVALUATED_WEIGHTS: cut * _weights(shape),
        CostUnit.EVALUATED_PRODUCTS: 2 * sum(through) / GIGA,
        CostUnit.EVALUATED_ATTENTION: _attention(shape, tokens, squares),
        CostUnit.EVALUATED_PLAIN_VALUES: 0.0 if fast else _values(shape, tokens),
    }


def scaled(work: Work, factor: float) -> dict[CostUnit, float]:
    """The same work ``factor`` times."""
    return {unit: amount * factor for unit, amount in work.items()}


def _dora(config: RunConfig, read: list[tuple[Linear, float]], cut: float) -> dict[CostUnit, float]:
    """W + B A and the length of its columns once a part, and a second product with W because
    dropout changes the inputs.
    """
    weights = sum(linear.inputs * linear.outputs for linear, _ in read)
    merged = sum(
        2 * config.rank * linear.inputs * (linear.inputs + linear.outputs) for linear, _ in read
    )
    again = sum(4 * rows * linear.inputs * linear.outputs for linear, rows in read)
    return {
        CostUnit.DORA: cut * weights / MEGA,
        CostUnit.DORA_PRODUCTS: (cut * merged + again) / GIGA,
    }


def _values(shape: ModelShape, tokens: float) -> float:
    return tokens * shape.hidden_size * shape.layers / MEGA


def _weights(shape: ModelShape) -> float:
    return sum(linear.inputs * linear.outputs for linear in shape.linears) / MEGA


def _sums(parts: Microbatches) -> tuple[float, float, float]:
    """Rows, tokens and squared lengths of all parts together."""
    texts, tokens = parts.rows, parts.rows * parts.tokens
    return tuple(
        parts.weight * float(values.sum()) for values in (texts, tokens, tokens * parts.tokens)
    )  # type: ignore[return-value]


def _attention(shape: ModelShape, tokens: float, squares: float) -> float:
    """1e9 operations of scores and sums, forward: 4 T² d a text and layer; the last layer asks for
    the first token only.
    """
    short = shape.encoder is not None
    return 4 * shape.hidden_size * ((shape.layers - short) * squares + short * tokens) / GIGA


def _heads(shape: ModelShape) -> int:
    """Attention heads of a layer; of width 32 in small models and 64 in others where the model
    does not say.
    """
    return shape.heads or max(1, shape.hidden_size // (32 if shape.hidden_size < 768 else 64))


def _place(linear: Linear, shape: ModelShape) -> tuple[int, int]:
    """Layer, and stage within it."""
    layer = IN_A_LAYER.search(linear.name)
    stage = find_stage(shape.model_type, linear.within_layer)
    return int(layer.group(1)) if layer else 0, stage


def _rows_through(
    linear: Linear, shape: ModelShape, fast: bool, texts: float, tokens: float
) -> float:
    """In the last layer only first tokens, but for keys and values; written out by hand, it forms
    neither of these.
    """
    if shape.encoder is None or _place(linear, shape)[0] < shape.layers - 1:
        return tokens
    paths = shape.encoder.layer
    reads_all = linear.within_layer in (paths.key, paths.value)
    return tokens if reads_all and not fast else texts
