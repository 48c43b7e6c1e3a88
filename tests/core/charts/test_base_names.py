"""Long class names that begin alike stay distinguishable, drawn by Vega as in a report."""

import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from core import charts
from core.charts.base import SHORTENED_LETTERS, Chart, choose_head, shorten_name
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


BOTH_ENDS_ALIKE = (
    "Account management for business customers",
    "Account transfer for business customers",
    "Account deletion for business customers",
)


@pytest.mark.parametrize("names", [ALIKE, BOTH_ENDS_ALIKE, ("Sports", "World")])
@pytest.mark.parametrize("letters", SHORTENED_LETTERS)
def test_names_stay_distinct_at_each_length(names: tuple[str, ...], letters: int) -> None:
    shortened = [shorten_name(name, letters, choose_head(names)) for name in names]

    assert len(set(shortened)) == len(names)
    assert max(map(len, shortened)) <= letters


def test_vega_shortens_as_the_choice_of_the_head_assumes() -> None:
    head = choose_head(BOTH_ENDS_ALIKE)

    drawn = read_names(charts.draw_probabilities([0.2, 0.3, 0.5], BOTH_ENDS_ALIKE, "Classes"))

    assert drawn == [shorten_name(name, 27, head) for name in BOTH_ENDS_ALIKE]


def test_slices_have_their_kind_only_where_names_repeat() -> None:
    table = pd.DataFrame(
        {
            "kind": ["class", "source", "length"],
            "slice": ["Reuters", "Reuters", "72 to 98 characters"],
            "texts": 9,
            "accuracy": 0.5,
            "low": 0.2,
            "high": 0.8,
            "rest": 0.9,
            "significant": False,
        }
    )

    named = charts.draw_slices(table).data["name"].tolist()

    assert named == ["class: Reuters", "source: Reuters", "72 to 98 characters"]
