import numpy as np
import pytest

from core.evaluation.scores import (
    CLASS_ORDERS,
    ClassOrder,
    choose_confused,
    count_errors,
    sort_classes,
)

COUNTS = np.array(  # 0 and 2 are confused most, then 1 and 3; 4 is always correct
    [
        [9, 0, 6, 0, 0],
        [0, 5, 0, 2, 0],
        [3, 1, 7, 0, 0],
        [0, 2, 0, 8, 0],
        [0, 0, 0, 0, 9],
    ]
)
ALL = np.arange(5)


def test_errors_count_for_the_true_and_the_predicted_class() -> None:
    assert count_errors(COUNTS).tolist() == [9, 5, 10, 4, 0]


def test_the_most_confused_classes_stay_in_the_order_of_the_data() -> None:
    assert choose_confused(COUNTS, 3).tolist() == [0, 1, 2]
    assert choose_confused(COUNTS, 9).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("as in the data", [0, 1, 2, 3, 4]),
        ("most errors first", [2, 0, 1, 3, 4]),
        ("similar together", [2, 0, 1, 3, 4]),
    ],
)
def test_classes_are_sorted(order: ClassOrder, expected: list[int]) -> None:
    assert sort_classes(COUNTS, ALL, order).tolist() == expected


def test_a_class_is_followed_by_the_one_it_is_confused_with() -> None:
    counts = np.diag([9] * 4)
    counts[0, 3], counts[1, 2], counts[2, 0] = 5, 4, 1

    assert sort_classes(counts, np.arange(4), "most errors first").tolist() == [0, 2, 3, 1]
    assert sort_classes(counts, np.arange(4), "similar together").tolist() == [0, 3, 2, 1]


@pytest.mark.parametrize("order", CLASS_ORDERS)
def test_no_class_is_lost_in_any_order(order: ClassOrder) -> None:
    counts = np.random.default_rng(3).integers(0, 4, (200, 200))

    assert sorted(sort_classes(counts, np.arange(200), order)) == list(range(200))
    assert sort_classes(counts, np.array([], dtype=np.int64), order).tolist() == []
