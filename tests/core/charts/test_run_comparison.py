import pandas as pd
import pytest

from core import charts
from tests.support.json_values import value_at

RUNS = ("a", "b")
METRICS = pd.DataFrame(
    {
        "run": ["a", "a", "a", "b", "b"],
        "split": ["train", "train", "validation", "train", "validation"],
        "step": [1, 2, 2, 1, 1],
        "rows": [16, 32, 32, 8, 8],
        "seconds": [0.0, 1.0, 1.5, 0.0, 0.5],
        "loss": [1.4, 1.0, 0.9, 1.3, 1.1],
        "accuracy": [None, None, 0.6, None, 0.5],
        "macro_f1": [None, None, 0.55, None, 0.4],
    }
)
RESULTS = pd.DataFrame(
    {
        "run": ["a", "b", "c"],
        "accuracy": [0.8, 0.9, 0.85],
        "low": [0.75, 0.87, 0.8],
        "high": [0.84, 0.92, 0.89],
        "minutes": [1.0, 2.0, 3.0],
    }
)


def test_the_loss_has_raw_and_smoothed_training_and_validation() -> None:
    chart = charts.draw_run_curves(METRICS, RUNS, "step", "loss")

    assert chart.data.groupby("kind").size().to_dict() == {
        "each step": 3,
        "train": 3,
        "validation": 2,
    }
    assert (
        chart.alt
        == "Loss (nats per text) of each run against step: a ends at 0.900; b ends at 1.100."
    )


@pytest.mark.parametrize(
    ("axis", "places"), [("step", [2, 1]), ("rows", [32, 8]), ("seconds", [1.5, 0.5])]
)
def test_scores_stand_against_the_chosen_axis(axis: charts.Axis, places: list[float]) -> None:
    chart = charts.draw_run_curves(METRICS, RUNS, axis, "accuracy")

    assert chart.data["kind"].unique().tolist() == ["validation"]
    assert chart.data["x"].tolist() == places


def test_each_run_keeps_its_color_and_training_is_dashed() -> None:
    spec = charts.draw_run_curves(METRICS, RUNS, "step", "loss").spec

    raw, train, lines, points = value_at(spec, "layer")
    assert all(
        layer["encoding"]["color"]["scale"]["domain"] == list(RUNS)
        for layer in (raw, train, lines, points)
    )
    assert train["mark"]["strokeDash"] == [6, 4]
    assert "strokeDash" not in lines["mark"]


def test_without_metrics_nothing_is_drawn_and_it_is_said() -> None:
    chart = charts.draw_run_curves(METRICS.iloc[:0], RUNS, "step", "loss")

    assert chart.data.empty
    assert chart.alt.endswith("no validation yet.")


def test_a_run_that_another_beats_in_both_is_not_on_the_line() -> None:
    chart = charts.draw_cost_and_accuracy(RESULTS, "minutes")

    assert dict(zip(chart.data["run"], chart.data["kept"], strict=True)) == {
        "a": True,
        "b": True,
        "c": False,
    }
    assert chart.alt == (
        "Accuracy against minutes of training. No run is better in both than: a 80.0 %, b 90.0 %."
    )


def test_runs_of_unknown_cost_are_left_out() -> None:
    chart = charts.draw_cost_and_accuracy(
        RESULTS.assign(minutes=[1.0, float("nan"), 3.0]), "minutes"
    )

    assert chart.data["run"].tolist() == ["a", "c"]
