import pytest

from core.charts.bars import draw_probabilities


def test_a_few_classes_have_a_bar_each_in_their_order() -> None:
    chart = draw_probabilities([0.2, 0.7, 0.1], ["a", "b", "c"], "run")

    assert chart.data["class"].tolist() == ["a", "b", "c"]
    assert chart.data["predicted"].tolist() == [False, True, False]
    assert chart.whole is None


def test_of_many_classes_the_likeliest_have_a_bar_and_the_others_share_one() -> None:
    values = [0.01] * 77
    values[40], values[3] = 0.2, 0.05

    chart = draw_probabilities(values, [f"class {number}" for number in range(77)], "run")

    assert chart.data["class"].tolist() == [
        "class 40",
        "class 3",
        "class 0",
        "class 1",
        "class 2",
        "72 other classes",
    ]
    assert chart.data["probability"].tolist()[-1] == pytest.approx(0.72)
    assert chart.data["label"].tolist()[:2] == ["20.0 %", "5.0 %"]
    assert len(chart.table) == 77
    assert chart.table["class"][0] == "class 40"
