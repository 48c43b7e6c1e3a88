import numpy as np
import pandas as pd
import pytest

from core import charts
from core.charts.matrix import format_signed
from core.evaluation.class_scores import compute_class_intervals, compute_ranking_curves
from core.evaluation.predictions import Predictions
from core.evaluation.scores import Scores

NAMES = ["World", "Sports", "Business"]


def test_scores_of_a_class_are_three_points_with_their_intervals() -> None:
    scores = Scores(np.array([[4, 1, 0], [1, 4, 0], [0, 0, 5]]))

    chart = charts.draw_class_scores(compute_class_intervals(scores, NAMES))

    assert len(chart.data) == 9
    assert (chart.data["low"] <= chart.data["value"]).all()
    assert "World 0.800" in chart.alt


def test_many_classes_are_drawn_with_f1_alone() -> None:
    names = [f"class {index}" for index in range(50)]

    chart = charts.draw_class_scores(compute_class_intervals(Scores(np.eye(50, dtype=int)), names))

    assert chart.data["score"].unique().tolist() == ["F1"]
    assert len(chart.data) == 50


def test_better_is_more_on_the_diagonal_and_fewer_next_to_it() -> None:
    first, second = np.array([[5, 5], [0, 10]]), np.array([[9, 1], [1, 9]])

    chart = charts.draw_matrix_difference(first, second, ["a", "b"], ("old", "new"))

    assert chart.data["label"].tolist() == ["+4", "−4", "+1", "−1"]
    assert chart.data["shade"].tolist() == [1, 1, -0.25, -0.25]
    assert chart.alt.endswith("+3 on the diagonal.")


def test_the_same_matrix_has_no_difference() -> None:
    counts = np.array([[5, 5], [0, 10]])

    assert (
        charts.draw_matrix_difference(counts, counts, ["a", "b"], ("old", "new"))
        .data["shade"]
        .eq(0)
        .all()
    )


@pytest.mark.parametrize(("number", "text"), [(3, "+3"), (-1200, "−1,200"), (0, "0")])
def test_signs_are_written(number: int, text: str) -> None:
    assert format_signed(number) == text


def test_a_curve_names_its_area_and_a_missing_class_is_said() -> None:
    frame = pd.DataFrame(
        {
            "row": range(4),
            "label": [0, 0, 1, 1],
            "p0": [0.9, 0.5, 0.6, 0.1],
            "p1": [0.1, 0.4, 0.4, 0.9],
            "p2": 0.0,
        }
    )
    frame["p2"] = (1 - frame["p0"] - frame["p1"]).clip(lower=0)
    predictions = Predictions.of(frame.assign(loss=0.3), 3)

    chart = charts.draw_ranking_curves(compute_ranking_curves(predictions, NAMES, "ROC"), NAMES)

    assert set(chart.data["line"]) == {"World 0.750", "Sports 0.875"}
    assert chart.note == "No curve for Business: a curve needs texts of the class and of others."
