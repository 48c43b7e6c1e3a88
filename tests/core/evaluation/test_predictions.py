from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.errors import ArtifactDamaged
from core.evaluation.predictions import Predictions, build_prediction_frame
from core.storage import files


def frame(**changed: object) -> pd.DataFrame:
    columns: dict[str, object] = {
        "row": [7, 3, 5, 9],
        "label": [0, 0, 1, 2],
        "p0": [0.7, 0.2, 0.1, 0.3],
        "p1": [0.2, 0.5, 0.8, 0.3],
        "p2": [0.1, 0.3, 0.1, 0.4],
        "loss": [0.36, 1.61, 0.22, 0.92],
    }
    return pd.DataFrame({**columns, **changed})


PREDICTIONS = Predictions.of(frame(), classes=3)


def test_the_most_probable_class_is_predicted() -> None:
    assert PREDICTIONS.predicted.tolist() == [0, 1, 1, 2]
    assert PREDICTIONS.confidence.tolist() == [0.7, 0.5, 0.8, 0.4]


def test_the_margin_is_the_difference_to_the_second_class() -> None:
    assert PREDICTIONS.margin.tolist() == pytest.approx([0.5, 0.2, 0.7, 0.1])


def test_scores_come_from_the_predicted_classes() -> None:
    assert PREDICTIONS.scores.counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def test_mean_loss_is_in_nats_per_text() -> None:
    assert PREDICTIONS.mean_loss == pytest.approx((0.36 + 1.61 + 0.22 + 0.92) / 4)


def test_a_cell_lists_its_texts_most_confident_first() -> None:
    both_wrong = frame(label=[0, 0, 0, 2])

    cell = Predictions.of(both_wrong, classes=3).list_cell(true=0, predicted=1)

    assert cell["row"].tolist() == [5, 3]
    assert list(cell.columns) == ["row", "true", "predicted", "confidence", "margin", "loss"]


def test_an_empty_cell_is_an_empty_table() -> None:
    assert len(PREDICTIONS.list_cell(true=2, predicted=0)) == 0


def test_no_texts_are_no_error() -> None:
    nothing = Predictions.of(frame().iloc[:0], classes=3)

    assert (len(nothing), nothing.scores.accuracy.n) == (0, 0)
    assert np.isnan(nothing.mean_loss)


def test_half_precision_probabilities_are_accepted() -> None:
    rounded = frame().astype({"p0": "float16", "p1": "float16", "p2": "float16", "label": "int8"})

    assert Predictions.of(rounded, classes=3).predicted.tolist() == [0, 1, 1, 2]


def test_predictions_are_read_back_from_a_file(tmp_path: Path) -> None:
    files.write_parquet(tmp_path / "predictions-test.parquet", frame())

    assert (
        Predictions.read(tmp_path / "predictions-test.parquet", classes=3)
        .tabulate()
        .equals(PREDICTIONS.tabulate())
    )


def test_a_missing_file_is_a_damaged_artifact(tmp_path: Path) -> None:
    with pytest.raises(ArtifactDamaged, match="predictions-test.parquet is missing"):
        Predictions.read(tmp_path / "predictions-test.parquet", classes=3)


@pytest.mark.parametrize(
    ("damaged", "words"),
    [
        (frame().drop(columns=["p1", "loss"]), "column p1, loss is missing"),
        (frame(p3=0.0), "more than 3 classes"),
        (frame(loss=["a", "b", "c", "d"]), "column loss is not numeric"),
        (frame(p0=[float("nan"), 0.2, 0.1, 0.3]), "1 of 4 rows contain NaN or infinite values"),
        (frame(loss=[float("inf"), 1, 1, 1]), "1 of 4 rows"),
        (frame(label=[0, 0, 1, 3]), "a label is outside 0 to 2"),
        (frame(label=[0, -1, 1, 2]), "a label is outside 0 to 2"),
        (frame(p0=[-0.7, 0.2, 0.1, 0.3]), "a probability is outside"),
        (frame(p0=[0.1, 0.2, 0.1, 0.3]), "do not add up to 1"),
        (frame(row=[1, 1, 2, 3]), "a row occurs twice"),
    ],
)
def test_a_damaged_frame_is_rejected_with_the_problem(damaged: pd.DataFrame, words: str) -> None:
    with pytest.raises(ArtifactDamaged, match=words):
        Predictions.of(damaged, classes=3)


def test_a_single_class_is_rejected() -> None:
    with pytest.raises(ArtifactDamaged, match="two classes or more, not 1"):
        Predictions.of(frame(), classes=1)


def test_the_frame_is_valid_where_a_true_class_has_probability_zero() -> None:
    shares = np.array([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]])

    result = Predictions.of(build_prediction_frame(np.array([4, 2]), np.array([1, 2]), shares), 3)

    assert result.scores.accuracy.hits == 1
    assert result.loss.tolist() == pytest.approx([-np.log(0.75), -np.log(1e-12)])
