"""Long class names that begin alike stay distinguishable, drawn by Vega as in a report."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from core import charts
from core.charts.base import Chart
from core.evaluation.class_scores import compute_class_intervals
from core.evaluation.scores import Scores
from core.reports.run_report import to_svg

ALIKE = tuple(
    f"card payment with the wrong exchange rate, {where}"
    for where in ("at home", "in a foreign country", "on the internet", "at a machine")
)
COUNTS = np.full((4, 4), 5)


def read_names(chart: Chart) -> list[str]:
    """Return the names that Vega draws."""
    drawn = re.findall(r">([^<>]*…[^<>]*)</text>", to_svg(chart))
    return [name.strip() for name in drawn]


def draw_scores() -> Chart:
    return charts.draw_class_scores(compute_class_intervals(Scores(COUNTS), ALIKE))


def draw_balance() -> Chart:
    table = pd.DataFrame({"class": ALIKE, "split": "train", "texts": [10, 20, 30, 40]})
    return charts.draw_class_balance(table, ALIKE)


@pytest.mark.parametrize(
    ("draw", "axes"),
    [
        (lambda: charts.draw_confusion_matrix(COUNTS, ALIKE), 2),
        (draw_scores, 1),
        (draw_balance, 1),
        (lambda: charts.draw_probabilities([0.1, 0.2, 0.3, 0.4], ALIKE, "Probabilities"), 1),
    ],
    ids=["matrix", "scores", "balance", "probabilities"],
)
def test_names_that_begin_alike_are_drawn_differently(draw: Callable[[], Chart], axes: int) -> None:
    names = read_names(draw())

    assert len(names) == 4 * axes
    assert len(set(names)) == 4
    assert all(name.startswith("card p") and not name.endswith("…") for name in names)
