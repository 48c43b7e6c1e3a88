import numpy as np
import pandas as pd
import pytest
from scipy import optimize
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from core.evaluation.calibration import (
    apply_temperature,
    compute_calibration,
    compute_coverage,
    compute_coverage_curve,
    fit_temperature,
)
from core.evaluation.predictions import Predictions


def softmax(logits: np.ndarray) -> np.ndarray:
    shares: np.ndarray = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return shares


def drawn(rows: int, classes: int, sharpness: float = 1.0) -> Predictions:
    """Draw labels from the softmax of random logits, and multiply the logits by ``sharpness``."""
    random = np.random.default_rng(3)
    logits = random.normal(scale=2, size=(rows, classes))
    true = np.array([random.choice(classes, p=share) for share in softmax(logits)])
    shares = softmax(logits * sharpness)
    columns = {f"p{index}": shares[:, index] for index in range(classes)}
    return Predictions.of(
        pd.DataFrame(
            {
                "row": range(rows),
                "label": true,
                **columns,
                "loss": -np.log(shares[range(rows), true]),
            }
        ),
        classes,
    )


def test_ece_of_four_texts_equals_that_computed_by_hand() -> None:
    shares = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]])

    result = compute_calibration(shares, np.array([0, 1, 0, 0]), bins=10)

    # bin 0.6 to 0.7: two texts, confidence 0.65, one correct; bin 0.9 to 1: two, 0.95, one correct
    assert result.ece == pytest.approx((2 * 0.15 + 2 * 0.45) / 4, abs=1e-12)
    assert result.bins["texts"].tolist() == [0, 0, 0, 0, 0, 0, 2, 0, 0, 2]
    assert result.brier == pytest.approx((0.005 + 1.805 + 0.245 + 0.845) / 4, abs=1e-12)


@pytest.mark.parametrize("classes", [2, 4, 50])
def test_loss_and_brier_score_equal_those_of_scikit_learn(classes: int) -> None:
    predictions = drawn(800, classes)

    result = compute_calibration(predictions.probabilities, predictions.true)

    names = list(range(classes))
    truth = np.eye(classes)[predictions.true]
    assert result.brier == pytest.approx(
        ((predictions.probabilities - truth) ** 2).sum(axis=1).mean(), abs=1e-12
    )
    assert result.brier == pytest.approx(
        brier_score_loss(
            predictions.true, predictions.probabilities, labels=names, scale_by_half=False
        ),
        abs=1e-12,
    )
    assert result.loss == pytest.approx(
        log_loss(predictions.true, predictions.probabilities, labels=names), abs=1e-12
    )
    right = (predictions.predicted == predictions.true).astype(int)
    accuracy, confidence = calibration_curve(right, predictions.confidence, n_bins=15)
    filled = result.bins.dropna()
    assert filled["accuracy"].tolist() == pytest.approx(accuracy, abs=1e-12)
    assert filled["confidence"].tolist() == pytest.approx(confidence, abs=1e-12)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
def test_the_temperature_equals_the_overconfidence_of_the_model(sharpness: float) -> None:
    predictions = drawn(4000, 4, sharpness)

    result = fit_temperature(predictions)

    def loss(temperature: float) -> float:
        return float(
            log_loss(
                predictions.true,
                softmax(np.log(predictions.probabilities) / temperature),
                labels=range(4),
            )
        )

    reference = optimize.minimize_scalar(loss, bracket=(0.3, 3)).x
    assert result == pytest.approx(reference, abs=1e-4)
    assert result == pytest.approx(sharpness, rel=0.1)


def test_scaling_keeps_the_predicted_class_and_lowers_the_error_on_other_texts() -> None:
    fitted, shown = drawn(2000, 4, 2.0), drawn(3000, 4, 2.0).select_rows(np.arange(2000, 3000))
    temperature = fit_temperature(fitted)
    assert temperature is not None

    scaled = apply_temperature(shown.probabilities, temperature)

    assert (scaled.argmax(axis=1) == shown.predicted).all()
    assert (
        compute_calibration(scaled, shown.true).ece
        < compute_calibration(shown.probabilities, shown.true).ece / 2
    )


def test_a_probability_of_zero_can_be_scaled() -> None:
    assert apply_temperature(np.array([[1.0, 0.0]]), 2.0)[0] == pytest.approx(
        [1 / (1 + 1e-6), 1e-6 / (1 + 1e-6)]
    )


def test_coverage_counts_confident_texts_and_correct_ones() -> None:
    shares = np.array([[0.9, 0.1], [0.95, 0.05], [0.6, 0.4], [0.2, 0.8]])

    answered, right = compute_coverage(shares, np.array([0, 1, 0, 1]), 0.9)

    assert (answered.hits, answered.n) == (2, 4)
    assert (right.hits, right.n) == (1, 2)


def test_the_coverage_curve_groups_texts_of_equal_confidence() -> None:
    shares = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])

    curve = compute_coverage_curve(shares, np.array([0, 1, 0, 1]))

    assert curve["threshold"].tolist() == [0.9, 0.8, 0.6]
    assert curve["coverage"].tolist() == [0.5, 0.75, 1]
    assert curve["accuracy"].tolist() == [1 / 2, 2 / 3, 3 / 4]


def test_a_long_curve_is_thinned_and_keeps_its_end() -> None:
    predictions = drawn(3000, 4)

    curve = compute_coverage_curve(predictions.probabilities, predictions.true)

    assert len(curve) == 200
    assert curve["coverage"].iloc[-1] == 1
    assert curve["accuracy"].iloc[-1] == predictions.scores.accuracy.value


def test_one_text_and_no_text_are_accepted() -> None:
    item = drawn(1, 4)

    assert compute_calibration(item.probabilities, item.true).bins["texts"].sum() == 1
    assert len(compute_coverage_curve(item.probabilities, item.true)) == 1
    nothing = compute_calibration(np.empty((0, 4)), np.empty(0, dtype=int))
    assert np.isnan(nothing.ece)
    assert compute_coverage_curve(np.empty((0, 4)), np.empty(0, dtype=int)).empty
    assert fit_temperature(item.select_rows(np.empty(0, dtype=int))) is None
