"""Work and memory of a training, counted from shapes: the units whose cost is calibrated.

Only what is executed counts: in the last layer of BERT and DistilBERT just the first token goes
through query, output and feed-forward, and no gradient is computed for the inputs below the first
adapter. A batch is computed in micro-batches, so memory grows with the largest micro-batch and not
with the batch. Shapes: B rows and T tokens of a micro-batch, N = B T, d hidden, r rank, (in, out)
the widths of a linear module.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from core.config import RunConfig
from core.models.families import POOLER, find_stage
from core.models.model_shape import (
    OUTSIDE,
    Linear,
    ModelShape,
    count_trainable,
    list_target_modules,
    needs_plain_layers,
)

if TYPE_CHECKING:
    from core.training.microbatches import Microbatches

GIGA, MEGA = 1e9, 1e6


class CostUnit(StrEnum):
    """A kind of work; the comment defines one unit."""

    STEP = "step"  # an optimizer step
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
    # a part without the hand-written encoder; the next two: what is more expensive there
    PLAIN_PART = "plain part"
    PLAIN_VALUES = "plain values"  # a million values of (N, d) in each layer
    PLAIN_ADAPTER = "plain adapter"  # a million values into and out of adapters
    EVALUATION = "evaluation"  # a million weights, made ready once for texts of any number
    EVALUATED_PART = "evaluated part"
    EVALUATED_WEIGHTS = "evaluated weights"
    EVALUATED_PRODUCTS = "evaluated products"
    EVALUATED_ATTENTION = "evaluated attention"
    EVALUATED_PLAIN_VALUES = "evaluated plain values"


Work = Mapping[CostUnit, float]


def is_fast(config: RunConfig, shape: ModelShape, device: str) -> bool:
    """Return whether the hand-written encoder applies; ``core.training`` decides the same."""
    return device == "cpu" and shape.is_hand_written and not needs_plain_layers(config)


def train_work(
    config: RunConfig,
    shape: ModelShape,
    classes: int,
    microbatches: "Microbatches",
    steps: float,
    device: str,
) -> dict[CostUnit, float]:
    """Count the units of ``steps`` optimizer steps over ``microbatches``.

    Raises ConfigError if a target module does not exist.
    """
    adapters, fast = list_target_modules(config, shape), is_fast(config, shape, device)
    first = min((_place(linear, shape) for linear in adapters), default=(0, 0))
    trained = sum(count.parameters for count in count_trainable(shape, config, classes))
    texts, tokens, squares = _sums(microbatches)
    cut = len(microbatches.rows) * microbatches.weight
    work = {
        CostUnit.STEP: steps,
        CostUnit.TRAINED: steps * trained / MEGA,
        CostUnit.PART: cut,
        CostUnit.WEIGHTS: cut * _weights(shape),
        CostUnit.MODULE: cut * len(adapters),
        CostUnit.PRODUCTS: 0.0,
        # forward, and backward from the first adapted layer on, which takes twice as long
        CostUnit.ATTENTION: (3 - 2 * first[0] / shape.layers) * _attention(shape, tokens, squares),
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
    config: RunConfig, shape: ModelShape, microbatches: "Microbatches", device: str
) -> dict[CostUnit, float]:
    """Count the units of predicting ``microbatches`` once: the adapter is merged into the weights,
    which are read and in bf16 reordered, and then each micro-batch is computed.
    """
    texts, tokens, squares = _sums(microbatches)
    cut, fast = len(microbatches.rows) * microbatches.weight, is_fast(config, shape, device)
    through = (
        _rows_through(linear, shape, fast, texts, tokens) * linear.inputs * linear.outputs
        for linear in shape.linears
    )
    return {
        CostUnit.EVALUATION: _weights(shape) if texts else 0.0,
        CostUnit.EVALUATED_PART: cut,
        CostUnit.EVALUATED_WEIGHTS: cut * _weights(shape),
        CostUnit.EVALUATED_PRODUCTS: 2 * sum(through) / GIGA,
        CostUnit.EVALUATED_ATTENTION: _attention(shape, tokens, squares),
        CostUnit.EVALUATED_PLAIN_VALUES: 0.0 if fast else _values(shape, tokens),
    }


def scaled(work: Work, factor: float) -> dict[CostUnit, float]:
    """Multiply the work by ``factor``."""
    return {unit: amount * factor for unit, amount in work.items()}


def _dora(config: RunConfig, read: list[tuple[Linear, float]], cut: float) -> dict[CostUnit, float]:
    """Count the units of DoRA: the lengths of the rows of W + B A once per part, and a second
    product with W, because dropout changes the inputs.
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


def _sums(microbatches: "Microbatches") -> tuple[float, float, float]:
    """Sum rows, tokens and squared lengths over all micro-batches."""
    texts, tokens = microbatches.rows, microbatches.rows * microbatches.tokens
    return tuple(
        microbatches.weight * float(values.sum())
        for values in (texts, tokens, tokens * microbatches.tokens)
    )  # type: ignore[return-value]


def _attention(shape: ModelShape, tokens: float, squares: float) -> float:
    """Count 1e9 operations of attention, forward: 4 T² d per text and layer; the last layer
    computes the first token only.
    """
    short = shape.encoder is not None
    return 4 * shape.hidden_size * ((shape.layers - short) * squares + short * tokens) / GIGA


def _heads(shape: ModelShape) -> int:
    """Return the attention heads of a layer; without a number in the model, of width 32 in small
    models and 64 in others.
    """
    return shape.heads or max(1, shape.hidden_size // (32 if shape.hidden_size < 768 else 64))


def _place(linear: Linear, shape: ModelShape) -> tuple[int, int]:
    """Return the layer, and the stage within it."""
    if linear.layer == OUTSIDE:  # before the layers, or after them
        return (shape.layers if linear.name == POOLER else OUTSIDE), 0
    return linear.layer, find_stage(linear.within_layer)


def _rows_through(
    linear: Linear, shape: ModelShape, fast: bool, texts: float, tokens: float
) -> float:
    """Count the rows that go through a linear layer.

    In the last layer these are only the first tokens, except for keys and values; the hand-written
    encoder computes neither keys nor values there.
    """
    if shape.encoder is None or _place(linear, shape)[0] < shape.layers - 1:
        return tokens
    paths = shape.encoder.layer
    reads_all = linear.within_layer in (paths.key, paths.value)
    return tokens if reads_all and not fast else texts


MILLION, MB = 1e6, 2**20
# per trained parameter: value, gradient, two moments, best value, and a checkpoint that is written
TRAINED_BYTES = 28
ROW_BYTES = 350  # per row: an array of its tokens
PARQUET_MB = 45  # pyarrow, loaded with the first Parquet file but not while probes are timed
# bits per weight, including the constants of its block (Dettmers et al. 2023, section 3)
FOUR_BITS = 4.127


class MemoryUnit(StrEnum):
    """A kind of memory; the comment defines one unit."""

    ACTIVATIONS = "activations"  # a million values of (N, d) in each layer, for the backward pass
    ADAPTER_INPUTS = "adapter inputs"  # a million values of (N, in) at each adapted module
    DORA = "dora"  # a million weights of adapted modules, whose columns DoRA measures
    PLAIN_ACTIVATIONS = "plain activations"  # more of them without the hand-written encoder
    PLAIN_ADAPTER_INPUTS = "plain adapter inputs"
    BASE_DROPOUT = "base dropout"  # a million values of (N, d) in each layer that dropout masks


@dataclass(frozen=True, slots=True)
class Cost:
    """The work and memory of a run in units. ``fixed_mb`` is the memory of data and trained
    parameters.
    """

    work: dict[CostUnit, float]
    held: dict[MemoryUnit, float]
    fixed_mb: float
    trained: int


def count_microbatch_memory(
    config: RunConfig, shape: ModelShape, microbatches: "Microbatches", device: str
) -> dict[MemoryUnit, float]:
    """Count the units of the largest of ``microbatches``, as many as are computed in parallel.

    Raises ConfigError if a target module does not exist.
    """
    sizes = sorted((microbatches.rows * microbatches.tokens).tolist(), reverse=True)
    tokens = float(sum(sizes[: microbatches.parallel]))
    adapters = list_target_modules(config, shape)
    # nothing is stored below the first adapter
    layers = shape.layers - min((linear.layer for linear in adapters), default=0)
    values = tokens * shape.hidden_size * layers / MILLION
    held = {
        MemoryUnit.ACTIVATIONS: values,
        MemoryUnit.ADAPTER_INPUTS: tokens * sum(linear.inputs for linear in adapters) / MILLION,
    }
    if not is_fast(config, shape, device):
        held |= {
            MemoryUnit.PLAIN_ACTIVATIONS: values,
            MemoryUnit.PLAIN_ADAPTER_INPUTS: held[MemoryUnit.ADAPTER_INPUTS],
        }
    if config.dora:
        held[MemoryUnit.DORA] = sum(linear.inputs * linear.outputs for linear in adapters) / MILLION
    if config.base_dropout:
        held[MemoryUnit.BASE_DROPOUT] = values
    return held


def trained_mb(trained: int) -> float:
    """Return the MB of ``trained`` parameters with gradients, moments and copies."""
    return trained * TRAINED_BYTES / MB


def data_mb(rows: int) -> float:
    """Return the MB of ``rows`` encoded rows."""
    return PARQUET_MB + rows * ROW_BYTES / MB


def whole_mb(shape: ModelShape) -> float:
    """Return the MB of the frozen linear layers' weights in fp32."""
    return sum(linear.inputs * linear.outputs for linear in shape.linears) * 4 / MB


def four_bit_mb(shape: ModelShape) -> float:
    """Return the MB of the frozen linear layers in NF4 with double quantization.

    A worker first reads them in fp32, so its own memory does not shrink by the difference.
    """
    return whole_mb(shape) * FOUR_BITS / 32
