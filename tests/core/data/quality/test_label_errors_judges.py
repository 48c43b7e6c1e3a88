import numpy as np
import pytest

from core.data.quality.label_errors import (
    LabeledTexts,
    choose_texts,
    combine_probabilities,
    judge,
    predict_by_neighbors,
)
from core.errors import Stopped

ALL = np.ones(4, dtype=bool)


def test_the_nearest_reference_texts_vote_with_their_cosine() -> None:
    vectors = np.array([[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]], dtype=np.float32)

    probabilities = predict_by_neighbors(
        vectors, np.array([0, 0, 1, 1]), 2, np.arange(4), ALL, lambda: False
    )

    assert probabilities[0] == pytest.approx(
        np.array([1 + 0.8, 1 + 0.6]) / 3.4
    )  # prior of one vote each; the text itself and an orthogonal vector add none


def test_a_copy_has_no_predict_by_neighbors() -> None:
    vectors = np.array([[1, 0], [1, 0], [0.6, 0.8], [0.6, 0.8]], dtype=np.float32)

    probabilities = predict_by_neighbors(
        vectors, np.array([0, 0, 1, 1]), 2, np.array([5, 5, 6, 7]), ALL, lambda: False
    )

    assert probabilities[0] == pytest.approx(np.array([1, 1 + 1.2]) / 3.2)


def test_only_teachers_predict_by_neighbors() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0]], dtype=np.float32)

    probabilities = predict_by_neighbors(
        vectors, np.array([0, 0, 1]), 2, np.arange(3), np.array([False, False, True]), lambda: False
    )

    assert probabilities[0] == pytest.approx([1 / 3, 2 / 3])


def test_few_texts_all_get_a_vector() -> None:
    sample = choose_texts(np.zeros(7))

    assert sample.positions.tolist() == list(range(7)) and sample.reference.all()


def test_of_many_texts_the_most_doubtful_and_a_sample_get_a_vector() -> None:
    doubt = np.zeros(100)
    doubt[[10, 50, 90]] = 0.9

    sample = choose_texts(doubt, max_suspects=3, max_references=5)

    assert {10, 50, 90} <= set(sample.positions)
    assert sample.reference.sum() == 5 and 5 <= len(sample.positions) <= 8


def test_probabilities_are_combined_by_their_geometric_mean() -> None:
    words = np.array([[0.3, 0.7], [0.8, 0.2]])
    others = (np.array([[0.5, 0.5]]), np.array([[0.8, 0.2]]))

    probabilities = combine_probabilities(words, np.array([1]), others)

    assert probabilities[0].tolist() == [0.3, 0.7]
    first, second = 0.32 ** (1 / 3), 0.02 ** (1 / 3)  # 0.8 · 0.5 · 0.8 and 0.2 · 0.5 · 0.2
    assert probabilities[1] == pytest.approx([first / (first + second), second / (first + second)])


def test_the_note_says_that_no_encoder_was_used() -> None:
    data = LabeledTexts(["a", "b"], np.array([0, 1]), 2, np.arange(2))

    probabilities, note = judge(data, None, None)

    assert probabilities.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    assert "TF-IDF features only" in note


def test_a_vote_can_be_stopped() -> None:
    with pytest.raises(Stopped):
        predict_by_neighbors(
            np.eye(4, dtype=np.float32), np.arange(4), 4, np.arange(4), ALL, lambda: True
        )
