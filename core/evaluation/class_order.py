"""Which classes a confusion matrix shows where it has no room for all, and in which order.

Shapes: C classes; ``counts[i, j]`` is the number of texts of true class i predicted as class j.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

ClassOrder = Literal["as in the data", "most errors first", "similar together"]
CLASS_ORDERS: tuple[ClassOrder, ...] = get_args(ClassOrder)


def count_errors(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count the errors (C,) that involve each class, as true or as predicted class."""
    errors = _mask_diagonal(counts)
    total: NDArray[np.int64] = errors.sum(axis=0) + errors.sum(axis=1)
    return total


def choose_confused(counts: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Choose at most ``most`` classes, those with the most errors, in the order of their ids."""
    return np.sort(np.argsort(-count_errors(counts), kind="stable")[:most])


def sort_classes(
    counts: NDArray[np.int64], chosen: NDArray[np.int64], order: ClassOrder
) -> NDArray[np.int64]:
    """Sort the ids of ``chosen`` classes.

    Similar together: the class with the most errors first, then each time the class that is most
    confused with the last one.
    """
    if order == "as in the data" or not len(chosen):
        return np.sort(chosen)
    by_errors = chosen[np.argsort(-count_errors(counts)[chosen], kind="stable")]
    if order == "most errors first":
        return by_errors
    confused = _mask_diagonal(counts) + _mask_diagonal(counts).T  # (C, C)
    rest = by_errors.tolist()
    ordered = [rest.pop(0)]
    while rest:
        # of equally confused classes the one with more errors, because ``rest`` has that order
        ordered.append(rest.pop(int(confused[ordered[-1], rest].argmax())))
    return np.array(ordered, dtype=np.int64)


def _mask_diagonal(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(np.eye(len(counts), dtype=bool), 0, counts)
