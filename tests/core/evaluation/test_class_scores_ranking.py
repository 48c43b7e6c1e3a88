import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from core.evaluation.class_scores import MOST_POINTS, CurveKind, compute_ranking_curves, thin
from core.evaluation.predictions import Predictions


def made(rows: int, classes: int, seed: int = 0) -> Predictions:
    random = np.random.default_rng(seed)
    true = random.integers(0, classes, rows)
    logits = random.normal(size=(rows, classes))
    logits[np.arange(rows), true] += 1.5
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    columns = {f"p{index}": shares[:, index] for index in range(classes)}
    loss = -np.log(shares[np.arange(rows), true])
    return Predictions.of(
        pd.DataFrame({"row": range(rows), "label": true, **columns, "loss": loss}), classes
    )


def four_texts() -> Predictions:
    """Probabilities of class 1: 0.1 and 0.4 of texts of class 0, 0.35 and 0.8 of class 1."""
    p1 = np.array([0.1, 0.4, 0.35, 0.8])
    return Predictions.of(
        pd.DataFrame({"row": range(4), "label": [0, 0, 1, 1], "p0": 1 - p1, "p1": p1, "loss": 0.5}),
        2,
    )


def test_areas_of_four_texts_equal_those_computed_by_hand() -> None:
    roc = compute_ranking_curves(four_texts(), ["a", "b"], "ROC")
    recall = compute_ranking_curves(four_texts(), ["a", "b"], "precision–recall")

    assert roc.areas["area"][1] == 3 / 4  # of the four pairs one is in the wrong order
    assert recall.areas["area"][1] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("classes", [2, 4, 50])
def test_areas_are_of_the_full_curve_and_points_are_limited(classes: int) -> None:
    predictions = made(3000, classes)
    names = [f"class {index}" for index in range(classes)]

    roc = compute_ranking_curves(predictions, names, "ROC")
    recall = compute_ranking_curves(predictions, names, "precision–recall")

    for index in range(classes):
        truth, score = predictions.true == index, predictions.probabilities[:, index]
        assert roc.areas["area"][index] == pytest.approx(roc_auc_score(truth, score), abs=1e-12)
        assert recall.areas["area"][index] == pytest.approx(
            average_precision_score(truth, score), abs=1e-12
        )
    assert roc.points.groupby("class").size().max() <= MOST_POINTS
    assert recall.points.groupby("class").size().max() <= MOST_POINTS


def test_a_thinned_curve_keeps_its_ends_and_its_area() -> None:
    x = np.linspace(0, 1, 5000)
    y = np.sqrt(x)

    stored = thin(x, y)

    assert (stored[0], stored[-1]) == (0, 4999)
    assert len(stored) <= MOST_POINTS
    assert np.trapezoid(y[stored], x[stored]) == pytest.approx(2 / 3, abs=1e-3)


@pytest.mark.parametrize("kind", ["ROC", "precision–recall"])
def test_a_class_without_texts_has_no_curve(kind: CurveKind) -> None:
    result = compute_ranking_curves(four_texts().select_rows(np.array([0, 1])), ["a", "b"], kind)

    assert result.points.empty
    assert result.areas["area"].isna().all()
    assert result.areas["texts"].tolist() == [2, 0]
