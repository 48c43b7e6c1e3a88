import sys
from dataclasses import replace

import numpy as np
import pytest

from core.config import RunConfig
from core.estimate.workload import MemoryUnit, count_microbatch_memory, data_mb, trained_mb
from core.training.microbatches import Microbatches
from tests.support.model_facts import bert_shape

SHAPE = bert_shape(10, 2, 0)
PARTS = Microbatches(np.array([2.0, 3.0]), np.array([5.0, 4.0]))  # 10 and 12 tokens


def test_the_largest_part_counts() -> None:
    held = count_microbatch_memory(RunConfig(), SHAPE, PARTS, "cpu")

    assert held == {
        MemoryUnit.ACTIVATIONS: pytest.approx(12 * 10 * 2 / 1e6),
        MemoryUnit.ADAPTER_INPUTS: pytest.approx(12 * 4 * 10 / 1e6),
    }


def test_nothing_is_stored_below_the_adapted_layers() -> None:
    held = count_microbatch_memory(RunConfig(layers="last half"), SHAPE, PARTS, "cpu")

    assert held[MemoryUnit.ACTIVATIONS] == pytest.approx(12 * 10 * 1 / 1e6)
    assert held[MemoryUnit.ADAPTER_INPUTS] == pytest.approx(12 * 2 * 10 / 1e6)


def test_dora_holds_copies_of_the_adapted_weights() -> None:
    assert count_microbatch_memory(RunConfig(dora=True), SHAPE, PARTS, "cpu")[
        MemoryUnit.DORA
    ] == pytest.approx(4 * 100 / 1e6)


def test_a_million_trained_parameters_take_some_27_mb() -> None:
    assert trained_mb(1_000_000) == pytest.approx(28e6 / 2**20)


def test_a_row_takes_what_its_tokens_take() -> None:
    row = sys.getsizeof(np.zeros(53, dtype=np.int32)) + 8  # and its place in the list

    assert data_mb(10_000) - data_mb(0) == pytest.approx(10_000 * row / 2**20, rel=0.1)


def test_parts_that_are_computed_side_by_side_are_held_together() -> None:
    parts = Microbatches(np.array([2.0, 4.0, 3.0]), np.array([10.0, 10.0, 10.0]))
    alone, together = (
        count_microbatch_memory(RunConfig(), SHAPE, replace(parts, parallel=count), "cpu")
        for count in (1, 2)
    )

    assert together[MemoryUnit.ACTIVATIONS] / alone[MemoryUnit.ACTIVATIONS] == pytest.approx(
        70 / 40
    )
