import random

import numpy as np
import pytest

from core.data.quality.label_errors import (
    FOLDS,
    cross_validate,
    fold_groups,
    judge_labels,
    word_features,
    word_probabilities,
)
from core.errors import Stopped
from tests.support.small_news import WORDS


def nothing(done: int, total: int) -> None:
    """No progress is reported."""


def test_confident_learning_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.2, 0.8], [0.45, 0.55]])
    labels = np.array([0, 0, 1, 1, 0])

    result = judge_labels(probabilities, labels)  # thresholds: 0.717 and 0.75

    assert result.suspect.tolist() == [False, False, False, False, False]
    assert result.rival.tolist() == [1, 1, 0, 0, 1]
    assert result.score == pytest.approx([0.1, 0.2, 0.3, 0.2, 0.55])


def test_a_label_against_a_confident_class_is_suspect() -> None:
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.05, 0.95]])

    assert judge_labels(probabilities, np.array([0, 0, 1, 1, 0])).suspect.tolist() == [
        False,
        False,
        False,
        False,
        True,
    ]


def test_copies_share_a_fold_and_folds_are_of_one_size() -> None:
    folds = fold_groups(np.array([7, 7, 3, 9, 12, 40, 40]))

    assert folds[0] == folds[1] and folds[5] == folds[6]
    assert sorted(np.unique(folds, return_counts=True)[1].tolist()) == [1, 1, 1, 2, 2]


@pytest.mark.slow
def test_flipped_labels_are_ranked_first() -> None:
    draw = random.Random(0)
    names = list(WORDS)
    true = [number % 4 for number in range(400)]
    texts = [" ".join(draw.choices(WORDS[names[label]].split(), k=8)) for label in true]
    flipped = draw.sample(range(400), 20)
    labels = np.array(
        [(label + 1) % 4 if place in flipped else label for place, label in enumerate(true)]
    )

    probabilities = word_probabilities(
        word_features(texts), labels, 4, fold_groups(np.arange(400)), nothing, lambda: False
    )
    result = judge_labels(probabilities, labels)

    assert set(np.argsort(-result.score)[:20]) == set(flipped)
    assert [result.rival[place] for place in flipped] == [true[place] for place in flipped]


def test_a_class_that_a_fold_has_not_seen_gets_no_probability() -> None:
    labels = np.array([0, 1, 0, 1, 2])
    result = cross_validate(np.eye(5), labels, 3, np.arange(5), nothing, lambda: False)

    assert result[4, 2] == 0
    assert result.sum(axis=1) == pytest.approx(np.ones(5))


def test_texts_without_a_common_word_say_nothing() -> None:
    result = word_probabilities(
        word_features(["a b", "c d"]), np.array([0, 1]), 2, np.array([0, 1]), nothing, lambda: False
    )

    assert result.tolist() == [[0.5, 0.5], [0.5, 0.5]]


def test_a_stop_is_followed() -> None:
    with pytest.raises(Stopped):
        cross_validate(
            np.eye(FOLDS), np.arange(FOLDS), FOLDS, np.arange(FOLDS), nothing, lambda: True
        )
