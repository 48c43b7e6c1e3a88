import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import f1_score

from core.evaluation.class_scores import (
    UndisputedScores,
    bootstrap_f1,
    compare_f1,
    compute_class_intervals,
    list_confused_pairs,
)
from core.evaluation.predictions import Predictions, build_prediction_frame
from core.evaluation.scores import Scores

NAMES = ["World", "Sports", "Business"]
THREE = Scores(np.array([[40, 5, 5], [2, 47, 1], [12, 0, 38]]))


def labels(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """True and predicted ids of each text behind the counts."""
    true, predicted = np.divmod(
        np.repeat(np.arange(scores.counts.size), scores.counts.ravel()), len(scores.counts)
    )
    return true, predicted


@pytest.mark.slow
def test_f1_intervals_equal_those_of_resampled_texts() -> None:
    def f1(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return np.array(
            [*f1_score(true, predicted, average=None), f1_score(true, predicted, average="macro")]
        )

    reference = stats.bootstrap(
        labels(THREE),
        f1,
        paired=True,
        vectorized=False,
        n_resamples=1500,
        method="percentile",
        rng=1,
    )

    result = bootstrap_f1(THREE)

    low, high = reference.confidence_interval
    assert [*result.low, result.macro[0]] == pytest.approx(low, abs=0.012)
    assert [*result.high, result.macro[1]] == pytest.approx(high, abs=0.012)


@pytest.mark.slow
def test_f1_intervals_contain_the_true_f1_in_95_of_100_samples() -> None:
    shares = np.array([[0.25, 0.05, 0.04], [0.02, 0.3, 0.02], [0.06, 0.01, 0.25]])
    truth = 2 * shares.diagonal() / (shares.sum(0) + shares.sum(1))
    random, held = np.random.default_rng(7), np.zeros(3)
    for _ in range(400):
        result = bootstrap_f1(Scores(random.multinomial(500, shares.ravel()).reshape(3, 3)))
        held += (result.low <= truth) & (truth <= result.high)

    assert (held / 400).min() >= 0.93
    assert (held / 400).mean() <= 0.97


@pytest.mark.slow
def test_f1_differences_equal_those_of_a_paired_bootstrap() -> None:
    true, first = labels(THREE)
    second = np.where(np.arange(len(true)) % 7 == 0, true, first)  # fixes some mistakes

    def change(true: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.asarray(
            f1_score(true, second, average=None) - f1_score(true, first, average=None)
        )

    data = (true, first, second)
    reference = stats.bootstrap(
        data, change, paired=True, vectorized=False, n_resamples=1500, method="percentile", rng=1
    )

    result = compare_f1(*data, NAMES)

    assert result["first"].to_numpy() == pytest.approx(
        f1_score(true, first, average=None), abs=1e-12
    )
    assert result["difference"].to_numpy() == pytest.approx(change(*data), abs=1e-12)
    assert result["low"].to_numpy() == pytest.approx(reference.confidence_interval.low, abs=0.006)
    assert result["high"].to_numpy() == pytest.approx(reference.confidence_interval.high, abs=0.006)
    assert result["support"].tolist() == [50, 50, 50]


def test_a_class_that_never_occurs_is_not_compared() -> None:
    true, first, second = np.array([[0, 1, 1], [0, 1, 0], [0, 1, 1]])
    result = compare_f1(true, first, second, NAMES)

    scores = result[["first", "second", "difference", "low", "high"]]
    assert scores.iloc[2].isna().all()
    assert scores.iloc[:2].notna().all(axis=None)


def test_a_class_that_only_one_classifier_predicts_has_no_difference() -> None:
    true, first, second = np.array([[0, 1, 1], [0, 1, 2], [0, 1, 1]])
    result = compare_f1(true, first, second, NAMES)

    assert result["first"].tolist() == [1, 2 / 3, 0]
    assert result["difference"].isna().tolist() == [False, False, True]


def test_the_interval_of_macro_f1_is_over_the_classes_that_occur() -> None:
    result = bootstrap_f1(Scores(np.diag([30, 40, 0])))

    assert result.macro == (1, 1)
    np.testing.assert_equal(result.low, [1, 1, np.nan])


def test_f1_intervals_without_errors_and_without_texts() -> None:
    perfect, nothing = (
        bootstrap_f1(Scores(np.diag([30, 40]))),
        bootstrap_f1(Scores(np.zeros((2, 2), dtype=int))),
    )

    assert perfect.macro == (1, 1)
    assert perfect.low.tolist() == [1, 1]
    assert nothing.macro == (0, 1)
    assert np.isnan(nothing.high).all()


def test_proportions_have_wilson_intervals() -> None:
    table = compute_class_intervals(THREE, NAMES)

    low, high = stats.binomtest(40, 54).proportion_ci(
        method="wilson"
    )  # World: 40 of the 54 texts predicted as World
    assert table["precision"][0] == 40 / 54
    assert (table["precision_low"][0], table["precision_high"][0]) == pytest.approx(
        (low, high), abs=1e-7
    )
    low, high = stats.binomtest(47, 50).proportion_ci(method="wilson")
    assert (table["recall_low"][1], table["recall_high"][1]) == pytest.approx((low, high), abs=1e-7)
    assert table["f1"].tolist() == THREE.f1.tolist()
    assert table["support"].tolist() == [50, 50, 50]


def test_a_class_that_was_never_predicted_has_no_precision() -> None:
    table = compute_class_intervals(Scores(np.array([[3, 0], [2, 0]])), ["a", "b"])

    assert np.isnan(table["precision"][1])
    assert (table["precision_low"][1], table["precision_high"][1]) == (0, 1)
    assert table["recall"][1] == 0


@pytest.mark.parametrize("classes", [2, 4, 50])
def test_one_text_is_enough_for_any_number_of_classes(classes: int) -> None:
    scores = Scores.of(np.array([1]), np.array([0]), classes)

    table = compute_class_intervals(scores, [f"class {index}" for index in range(classes)])

    assert len(table) == classes
    np.testing.assert_equal(table["f1_high"].to_numpy(), [0, 0] + [np.nan] * (classes - 2))


def test_confused_pairs_name_the_stronger_direction_first() -> None:
    table = list_confused_pairs(THREE, NAMES)

    assert table[["first", "second", "there", "back"]].values.tolist() == [
        ["Business", "World", 12, 5],
        ["World", "Sports", 5, 2],
        ["Sports", "Business", 1, 0],
    ]
    assert table["there_share"].tolist() == [0.24, 0.1, 0.02]


def test_a_one_sided_confusion_is_tested_with_holm_correction() -> None:
    table = list_confused_pairs(
        Scores(np.array([[80, 2, 18], [1, 98, 1], [1, 0, 99]])), ["a", "b", "c"]
    )

    expected = stats.fisher_exact([[18, 82], [1, 99]]).pvalue
    assert table["p"][0] == pytest.approx(3 * expected, rel=1e-12)
    assert table["one_way"].tolist() == [True, False, False]


def test_without_a_mistake_no_pair_is_confused() -> None:
    assert list_confused_pairs(Scores(np.diag([3, 4])), ["a", "b"]).empty


def test_disputed_texts_are_left_out_of_accuracy_and_macro_f1() -> None:
    true, predicted = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 1, 1, 0])
    frame = build_prediction_frame(np.array([10, 11, 12, 13, 14]), true, np.eye(2)[predicted])
    predictions = Predictions.of(frame, 2)

    undisputed = UndisputedScores.of(predictions, {11, 99})

    assert undisputed is not None
    accuracy = undisputed.scores.accuracy
    assert (undisputed.disputed, accuracy.hits, accuracy.n) == (1, 3, 4)
    assert undisputed.scores.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert undisputed.macro_f1_interval == bootstrap_f1(undisputed.scores).macro
    assert UndisputedScores.of(predictions, {99}) is None


def test_without_any_undisputed_text_there_is_no_score() -> None:
    frame = build_prediction_frame(np.array([1]), np.array([0]), np.eye(2)[[0]])

    undisputed = UndisputedScores.of(Predictions.of(frame, 2), {1})

    assert undisputed is not None
    assert (undisputed.disputed, undisputed.scores.accuracy.n) == (1, 0)
    assert undisputed.macro_f1_interval == (0.0, 1.0)
