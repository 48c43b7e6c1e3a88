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


def test_of_many_classes_those_with_the_lowest_f1_are_drawn() -> None:
    names, counts = [f"class {index}" for index in range(50)], np.diag(np.full(50, 9))
    counts[48, 49], counts[0, 0] = 2, 0  # class 0 does not occur

    chart = charts.draw_class_scores(compute_class_intervals(Scores(counts), names))

    assert chart.data["score"].unique().tolist() == ["F1"]
    assert chart.data["class"].tolist()[:3] == ["class 48", "class 49", "class 1"]
    assert len(chart.data) == 20
    assert chart.title.endswith("; the 20 lowest of 50 classes")


def test_a_class_that_does_not_occur_has_a_dash_in_the_text_alternative() -> None:
    chart = charts.draw_class_scores(compute_class_intervals(Scores(np.diag([3, 4, 0])), NAMES))

    assert chart.alt.endswith("Sports 1.000 (1.000 to 1.000), Business –.")


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


def test_equal_dots_stand_above_each_other() -> None:
    chart = charts.draw_dots([80.0, 85.04, 80.0, 85.0], "Guessed accuracy")

    assert list(chart.data["value"]) == [80.0, 85.0, 80.0, 85.0]
    assert list(chart.data["height"]) == [0, 0, 1, 1]
    assert chart.alt == "Guessed accuracy: 80 %, 80 %, 85 %, 85 %."


def test_no_dots_are_an_empty_chart() -> None:
    assert charts.draw_dots([], "Accuracy").data.empty
