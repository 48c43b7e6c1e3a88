import numpy as np
import pytest
from shapes import bert_shape

from core.config import RunConfig
from core.memory import Held, part_memory, trained_mb
from core.packing import Parts

SHAPE = bert_shape(10, 2, 0)
PARTS = Parts(np.array([2.0, 3.0]), np.array([5.0, 4.0]))  # 10 and 12 tokens


def test_the_largest_part_counts() -> None:
    held = part_memory(RunConfig(), SHAPE, PARTS, "cpu")

    assert held == {Held.ACTIVATIONS: pytest.approx(12 * 10 * 2 / 1e6), Held.ADAPTER_INPUTS: pytest.approx(12 * 4 * 10 / 1e6)}


def test_dora_holds_copies_of_the_adapted_weights() -> None:
    assert part_memory(RunConfig(dora=True), SHAPE, PARTS, "cpu")[Held.DORA] == pytest.approx(4 * 100 / 1e6)


def test_a_million_trained_parameters_take_some_27_mb() -> None:
    assert trained_mb(1_000_000) == pytest.approx(28e6 / 2**20)
