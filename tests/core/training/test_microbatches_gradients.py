import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.training.batches import draw_epoch_batches, split_by_tokens
from core.training.loop import compute_lr_factor

lengths = st.lists(st.integers(2, 60), min_size=1, max_size=200).map(
    lambda values: np.array(values, dtype=np.int64)
)


def test_a_rate_rises_and_falls_in_straight_lines() -> None:
    assert [compute_lr_factor(step, 6, 1 / 3, "linear") for step in range(6)] == [
        0.5,
        1.0,
        1.0,
        0.75,
        0.5,
        0.25,
    ]


def test_without_warm_up_the_first_step_takes_the_whole_rate() -> None:
    assert [compute_lr_factor(step, 4, 0.0, "linear") for step in range(4)] == [
        1.0,
        0.75,
        0.5,
        0.25,
    ]


def test_a_cosine_is_half_way_down_in_the_middle() -> None:
    assert compute_lr_factor(50, 100, 0.0, "cosine") == pytest.approx(0.5)
    assert compute_lr_factor(25, 100, 0.0, "cosine") == pytest.approx(
        (1 + math.cos(math.pi / 4)) / 2
    )


def test_a_constant_rate_stays() -> None:
    assert {compute_lr_factor(step, 9, 0.0, "constant") for step in range(9)} == {1.0}


@given(lengths, st.integers(1, 20), st.integers(0, 5))
def test_an_epoch_takes_each_row_once(rows: np.ndarray, batch_size: int, seed: int) -> None:
    batches = draw_epoch_batches(rows, batch_size, seed, epoch=1)

    assert sorted(np.concatenate(batches)) == list(range(len(rows)))
    assert len(batches) == math.ceil(len(rows) / batch_size)
    assert max(map(len, batches)) <= batch_size


def test_epochs_differ_and_repeat_themselves() -> None:
    rows = np.arange(2, 66)

    first, again, second = (
        np.concatenate(draw_epoch_batches(rows, 8, 1, epoch)) for epoch in (0, 0, 1)
    )

    assert first.tolist() == again.tolist() != second.tolist()


def test_rows_of_a_batch_are_about_as_long() -> None:
    rows = np.random.default_rng(0).integers(5, 100, 800)

    padded = sum(len(batch) * rows[batch].max() for batch in draw_epoch_batches(rows, 16, 1, 0))

    assert padded < 1.05 * rows.sum()


@given(lengths, st.integers(1, 300))
def test_evaluation_batches_take_each_row_once_within_the_budget(
    rows: np.ndarray, budget: int
) -> None:
    batches = split_by_tokens(rows, budget)

    assert sorted(np.concatenate(batches)) == list(range(len(rows)))
    assert all(len(batch) * rows[batch].max() <= budget or len(batch) == 1 for batch in batches)
