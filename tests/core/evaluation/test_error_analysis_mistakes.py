import numpy as np
import pandas as pd
import pytest
from cleanlab.count import compute_confident_joint

from core.evaluation.error_analysis import find_confident_mistakes, find_contradicted_labels
from core.evaluation.predictions import Predictions


def made(shares: list[list[float]], labels: list[int]) -> Predictions:
    classes = len(shares[0])
    columns = {f"p{index}": [line[index] for line in shares] for index in range(classes)}
    return Predictions.of(
        pd.DataFrame({"row": range(len(labels)), "label": labels, **columns, "loss": 1.0}), classes
    )


def test_a_confident_mistake_is_incorrect_with_high_confidence() -> None:
    some = made([[0.95, 0.05], [0.05, 0.95], [0.4, 0.6]], [0, 0, 0])

    assert find_confident_mistakes(some).tolist() == [False, True, False]


def test_contradicted_labels_equal_those_of_cleanlab() -> None:
    random = np.random.default_rng(5)
    labels = random.integers(0, 4, 500)
    logits = random.normal(size=(500, 4))
    logits[np.arange(500), np.where(random.random(500) < 0.1, (labels + 1) % 4, labels)] += 2.5
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    _, expected = compute_confident_joint(labels, shares, return_indices_of_off_diagonals=True)

    result = find_contradicted_labels(made(shares.tolist(), labels.tolist()))

    assert np.flatnonzero(result).tolist() == sorted(expected)
    assert result.sum() > 10


@pytest.mark.parametrize("labels", [[0], [0, 0]])
def test_a_class_without_texts_contradicts_nothing(labels: list[int]) -> None:
    assert not find_contradicted_labels(made([[0.1, 0.9]] * len(labels), labels)).any()
