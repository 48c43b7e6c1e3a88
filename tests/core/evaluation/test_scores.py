import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, f1_score, precision_recall_fscore_support

from core.evaluation.scores import Proportion, Scores, list_errors

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60)
TWO_CLASSES = Scores(np.array([[3, 1], [2, 4]]))  # 4 texts of class 0, 6 of class 1


def test_scores_follow_from_the_counts() -> None:
    assert TWO_CLASSES.accuracy == Proportion(7, 10)
    assert TWO_CLASSES.precision.tolist() == [3 / 5, 4 / 5]
    assert TWO_CLASSES.recall.tolist() == [3 / 4, 4 / 6]
    assert TWO_CLASSES.f1.tolist() == [6 / 9, 8 / 11]
    assert TWO_CLASSES.support.tolist() == [4, 6]


def test_row_shares_are_of_the_true_class() -> None:
    assert TWO_CLASSES.row_shares.tolist() == [[3 / 4, 1 / 4], [2 / 6, 4 / 6]]


def test_rows_of_the_matrix_are_true_classes() -> None:
    scores = Scores.of(true=np.array([0, 0, 1]), predicted=np.array([1, 1, 1]), classes=2)

    assert scores.counts.tolist() == [[0, 2], [0, 1]]


def test_a_class_that_never_occurs_has_no_scores_and_does_not_lower_the_mean() -> None:
    scores = Scores(np.diag([3, 4, 2, 1, 0]))

    assert (scores.macro_f1, scores.macro_f1_classes) == (1.0, 4)
    assert scores.described_classes == "over 4 of 5 classes"
    for score in (scores.precision, scores.recall, scores.f1):
        np.testing.assert_equal(score, [1, 1, 1, 1, np.nan])
    assert scores.row_shares[4].tolist() == [0] * 5


def test_a_class_that_was_only_predicted_or_never_predicted_scores_zero() -> None:
    scores = Scores(np.array([[2, 0, 1], [1, 0, 0], [0, 0, 0]]))

    assert scores.precision.tolist() == [2 / 3, 0, 0]
    assert scores.recall.tolist() == [2 / 3, 0, 0]
    assert (scores.macro_f1, scores.described_classes) == ((2 / 3) / 3, "over 3 classes")


def test_without_texts_there_is_no_mean() -> None:
    scores = Scores(np.zeros((2, 2), dtype=np.int64))

    assert np.isnan(scores.macro_f1)
    assert scores.described_classes == "over 0 of 2 classes"


def test_per_class_has_one_row_per_class() -> None:
    table = TWO_CLASSES.tabulate_classes(["World", "Sports"])

    assert table.to_dict("list") == {
        "class": ["World", "Sports"],
        "precision": [0.6, 0.8],
        "recall": [0.75, 4 / 6],
        "f1": [6 / 9, 8 / 11],
        "support": [4, 6],
    }


@pytest.mark.parametrize("bad", [-1, 4])
def test_an_id_out_of_range_is_rejected_with_the_range(bad: int) -> None:
    with pytest.raises(ValueError, match=rf"\[0, 4\), but go from {bad} to {bad}"):
        Scores.of(np.array([0]), np.array([bad]), classes=4)


def test_labels_and_predictions_must_have_equal_lengths() -> None:
    with pytest.raises(ValueError, match="2 true labels but 1 predictions"):
        Scores.of(np.array([0, 1]), np.array([0]), classes=2)


def test_a_matrix_that_is_not_square_is_rejected() -> None:
    with pytest.raises(ValueError, match="square"):
        Scores(np.zeros((2, 3), dtype=np.int64))


def test_the_wilson_interval_equals_a_published_one() -> None:
    low, high = Proportion(81, 263).interval  # Newcombe 1998, table I, method 3

    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)


def test_an_interval_of_all_correct_ends_at_one() -> None:
    low, high = Proportion(10, 10).interval

    assert (round(low, 4), high) == (0.7225, 1.0)


def test_a_proportion_of_no_texts_is_printed_as_such() -> None:
    nothing = Proportion(0, 0)

    assert (str(nothing), nothing.interval) == ("no texts", (0.0, 1.0))


def test_a_proportion_is_printed_with_its_interval() -> None:
    assert str(Proportion(6931, 7600)) == "91.2 % ± 0.6"


def test_more_hits_than_texts_are_rejected() -> None:
    with pytest.raises(ValueError, match="3 of 2"):
        Proportion(3, 2)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_contains_its_proportion_and_stays_in_zero_to_one(
    share: tuple[int, int],
) -> None:
    proportion = Proportion(*share)

    low, high = proportion.interval

    assert 0 <= low <= proportion.value + 1e-12
    assert proportion.value - 1e-12 <= high <= 1


@pytest.mark.slow
@given(PAIRS)
def test_scores_equal_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    true, predicted = np.array(pairs).T
    precision, recall, f1, support = precision_recall_fscore_support(
        true, predicted, labels=range(4), zero_division=0
    )

    scores = Scores.of(true, predicted, classes=4)

    assert scores.counts.tolist() == confusion_matrix(true, predicted, labels=range(4)).tolist()
    present = scores.occurs
    np.testing.assert_allclose(scores.precision[present], precision[present])
    np.testing.assert_allclose(scores.recall[present], recall[present])
    np.testing.assert_allclose(scores.f1[present], f1[present])
    assert scores.support.tolist() == support.tolist()


@given(
    arrays(
        np.int64,
        st.integers(2, 12).map(lambda size: (size, size)),
        elements=st.sampled_from([0, 0, 0, 0, 1, 2, 40]),
    ).filter(np.any)
)
def test_macro_f1_equals_that_of_scikit_learn(counts: NDArray[np.int64]) -> None:
    true, predicted = np.divmod(np.repeat(np.arange(counts.size), counts.ravel()), len(counts))

    scores = Scores(counts)

    assert scores.macro_f1 == pytest.approx(
        f1_score(true, predicted, average="macro", zero_division=0), abs=1e-12
    )
    assert scores.macro_f1_classes == len(set(true) | set(predicted))


def test_errors_are_listed_by_their_number_of_texts() -> None:
    assert list_errors([[5, 1, 0], [3, 7, 1], [0, 2, 9]]) == [
        (3, 1, 0),
        (2, 2, 1),
        (1, 0, 1),
        (1, 1, 2),
    ]
