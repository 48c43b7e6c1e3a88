"""What a worker holds while it trains, counted from shapes: the units whose size a calibration
measures.

A batch is computed in parts, so memory grows with the largest part and not with the batch. Shapes:
N tokens of a part, d hidden, (in, out) the widths of an adapted module.
"""

from enum import StrEnum

import numpy as np

from core.config import RunConfig
from core.estimate.workload import is_fast
from core.models.architecture import ModelShape, target_modules
from core.training.microbatches import Microbatches

MILLION, MB = 1e6, 2**20
# of a trained parameter: itself, gradient, two moments, the best so far, and a checkpoint being
# packed
TRAINED_BYTES = 28
ROW_BYTES = 350  # of a row: its tokens in an array of their own
PARQUET_MB = (
    45  # pyarrow, which comes with the first Parquet file and is not there while probes are timed
)
FOUR_BITS = (
    4.127  # a weight with its share of the constants of its block (Dettmers et al. 2023, section 3)
)
# freed blocks of other sizes, which the allocator keeps; probes of one size do not meet them
HEAP_SLACK = 1.2


class MemoryUnit(StrEnum):
    """A kind of memory; the comment says what one unit is."""

    ACTIVATIONS = (
        "activations"  # a million values of (N, d) in each layer, kept for the backward pass
    )
    ADAPTER_INPUTS = "adapter inputs"  # a million values of (N, in) at each adapted module
    DORA = "dora"  # a million weights of adapted modules, whose columns DoRA measures
    PLAIN_ACTIVATIONS = (
        "plain activations"  # so many more where the layers are not written out by hand
    )
    PLAIN_ADAPTER_INPUTS = "plain adapter inputs"
    BASE_DROPOUT = "base dropout"  # a million values of (N, d) in each layer that dropout masks


def part_memory(
    config: RunConfig, shape: ModelShape, parts: Microbatches, device: str
) -> dict[MemoryUnit, float]:
    """Units that the largest of ``parts`` hold, as many as are computed at once. Raises ConfigError
    if a target module does not exist.
    """
    sizes = np.sort(parts.rows * parts.tokens)[::-1]
    tokens = float(sizes[: parts.at_once].sum())
    values = tokens * shape.hidden_size * shape.layers / MILLION
    adapters = target_modules(config, shape)
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
    """MB that so many trained parameters take, with all that belongs to them."""
    return trained * TRAINED_BYTES / MB


def data_mb(rows: int) -> float:
    """MB that so many rows take once they are encoded."""
    return PARQUET_MB + rows * ROW_BYTES / MB


def whole_mb(shape: ModelShape) -> float:
    """MB of the frozen linear layers' weights in fp32."""
    return sum(linear.inputs * linear.outputs for linear in shape.linears) * 4 / MB


def four_bit_mb(shape: ModelShape) -> float:
    """The same in NF4 with double quantisation; a worker reads them whole first, so its own memory
    does not shrink by this.
    """
    return whole_mb(shape) * FOUR_BITS / 32
