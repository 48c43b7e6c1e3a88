import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.data.rows import equal_shares, mix_positions, stratified_sample

LABELS = st.lists(st.integers(0, 4), max_size=60)


def frame(labels: list[int]) -> pd.DataFrame:
    return pd.DataFrame({"row": range(len(labels)), "label": pd.Series(labels, dtype="int64")})


def test_each_class_gives_an_equal_share() -> None:
    assert equal_shares(np.array([10, 10, 10]), 6).tolist() == [2, 2, 2]


def test_a_small_class_gives_all_and_the_others_fill_up() -> None:
    assert equal_shares(np.array([1, 10, 10]), 9).tolist() == [1, 4, 4]


def test_what_is_left_over_goes_to_the_first_classes_with_room() -> None:
    assert equal_shares(np.array([1, 10, 10]), 8).tolist() == [1, 4, 3]


def test_order_is_shuffled_by_the_seed() -> None:
    rows = frame([0, 1] * 50)

    assert not stratified_sample(rows, 0, seed=1)["label"].is_monotonic_increasing
    assert (
        stratified_sample(rows, 0, seed=1)["row"].tolist()
        != stratified_sample(rows, 0, seed=2)["row"].tolist()
    )


@given(LABELS, st.integers(0, 80), st.integers(0, 2**32 - 1))
def test_sample_has_the_exact_size_without_repeats(labels: list[int], rows: int, seed: int) -> None:
    drawn = stratified_sample(frame(labels), rows, seed)

    assert len(drawn) == (len(labels) if rows == 0 else min(rows, len(labels)))
    assert drawn["row"].is_unique
    assert [labels[row] for row in drawn["row"]] == drawn["label"].tolist()


@given(LABELS, st.integers(1, 80), st.integers(0, 2**32 - 1))
def test_only_a_class_that_gave_all_it_has_gives_less_than_another(
    labels: list[int], rows: int, seed: int
) -> None:
    given_ = stratified_sample(frame(labels), rows, seed)["label"].value_counts().to_dict()
    most = max(given_.values(), default=0)

    assert all(given_.get(label, 0) in (most, most - 1, labels.count(label)) for label in labels)


@pytest.mark.slow
@given(LABELS, st.integers(1, 40), st.integers(1, 40), st.integers(0, 100))
def test_a_smaller_sample_is_part_of_a_larger_one(
    labels: list[int], rows: int, more: int, seed: int
) -> None:
    small, large = (stratified_sample(frame(labels), n, seed)["row"] for n in (rows, rows + more))

    assert len(labels) <= rows or set(small) <= set(large)


@pytest.mark.slow
@given(LABELS, st.integers(0, 80), st.integers(0, 2**32 - 1))
def test_a_sample_can_be_drawn_again(labels: list[int], rows: int, seed: int) -> None:
    pd.testing.assert_frame_equal(
        stratified_sample(frame(labels), rows, seed), stratified_sample(frame(labels), rows, seed)
    )


def test_mixed_positions_are_the_same_ones_in_another_order() -> None:
    every = np.arange(100)

    mixed = mix_positions(every, 100)

    assert sorted(mixed) == every.tolist() != mixed.tolist()
    assert mix_positions(every, 100).tolist() == mixed.tolist()


@given(st.sets(st.integers(0, 49)))
def test_a_part_keeps_the_order_it_has_among_all(part: set[int]) -> None:
    every = mix_positions(np.arange(50), 50).tolist()

    assert mix_positions(np.array(sorted(part), dtype=np.int64), 50).tolist() == [
        position for position in every if position in part
    ]
