import numpy as np
import pytest

from core.charts.matrix import (
    MOST_LABELED,
    NameSizes,
    draw_confusion_matrix,
    draw_matrix_difference,
)
from tests.support.json_values import value_at

MANY = tuple(f"class {number:03}" for number in range(200))


def count_many() -> np.ndarray:
    """Counts of 200 classes, of which 190 to 199 are confused with each other."""
    counts = np.diag(np.full(200, 10))
    for index in range(190, 199):
        counts[index, index + 1] = 3
    counts[0, 1] = 1
    return counts


def test_up_to_twenty_classes_are_drawn_whole() -> None:
    chart = draw_confusion_matrix(np.diag([3, 4]), ("bad", "good"))

    assert chart.data[["true", "predicted", "texts"]].values.tolist() == [
        ["bad", "bad", 3],
        ["bad", "good", 0],
        ["good", "bad", 0],
        ["good", "good", 4],
    ]
    assert chart.whole is None
    assert chart.note == ""


def test_of_many_classes_those_with_the_most_errors_are_drawn_and_the_table_has_all() -> None:
    chart = draw_confusion_matrix(count_many(), MANY)

    drawn = list(dict.fromkeys(chart.data["true"]))
    assert len(drawn) == MOST_LABELED
    assert set(MANY[190:]) <= set(drawn)
    assert {"class 000", "class 001"} <= set(drawn)
    assert chart.title == "Confusion matrix (texts): 20 of 200 classes"
    assert len(chart.table) == 200 * 200
    assert chart.table["texts"].sum() == count_many().sum()
    assert "28 errors" not in chart.note and chart.note.startswith("No error involves other")


def test_chosen_classes_are_drawn_in_their_order_and_unseen_errors_are_counted() -> None:
    chart = draw_confusion_matrix(count_many(), MANY, drawn=[199, 5])

    assert chart.data["true"].tolist() == ["class 199", "class 199", "class 005", "class 005"]
    assert chart.data["texts"].tolist() == [10, 0, 0, 10]
    assert chart.note.startswith("28 errors involve other classes")
    assert chart.note in chart.alt


def test_shades_are_relative_to_the_drawn_cells() -> None:
    chart = draw_confusion_matrix(np.diag([1, 2, 100] + [0] * 20), MANY[:23], drawn=[0, 1])

    assert chart.data["shade"].tolist() == [0.5, 0, 0, 1]


@pytest.mark.parametrize("many", [False, True])
def test_columns_have_names_unless_there_are_too_many(many: bool) -> None:
    drawn = range(100) if many else range(8)
    spec = draw_confusion_matrix(count_many(), MANY, drawn=drawn).spec

    assert value_at(spec, "layer", 0, "encoding", "x", "axis", "labels") is not many
    title = str(value_at(spec, "layer", 0, "encoding", "x", "title"))
    assert ("in the order of the rows" in title) is many


def test_a_difference_draws_the_classes_that_changed_most() -> None:
    first = np.diag(np.full(200, 10))
    chart = draw_matrix_difference(first, count_many(), MANY, ("old", "new"))

    true, predicted = np.nonzero(count_many() - first)
    assert set(chart.data["true"]) == {MANY[index] for index in {*true, *predicted}}
    assert len(chart.table) == 200 * 200
    assert list(chart.table) == ["true", "predicted", "first", "second", "change"]
    assert chart.note.startswith(
        f"The {len({*true, *predicted})} of 200 classes with the largest differences"
    )


def test_a_difference_of_many_classes_draws_no_more_than_have_room() -> None:
    first = np.diag(np.full(200, 10))
    chart = draw_matrix_difference(first, np.diag(np.arange(200)), MANY, ("old", "new"))

    assert len(chart.data) == MOST_LABELED**2
    assert set(chart.data["true"]) == set(MANY[180:])


def test_sizes_of_names_are_hashable_for_the_cache_of_specs() -> None:
    assert hash(NameSizes(2, 4, 4, 1)) == hash(NameSizes(2, 4, 4, 1))


def test_empty_cells_of_a_crowded_matrix_are_blank() -> None:
    crowded = draw_confusion_matrix(count_many(), MANY, drawn=range(12)).data
    roomy = draw_confusion_matrix(count_many(), MANY, drawn=range(3)).data

    assert set(crowded["label"]) == {"10", "1", ""}
    assert roomy["label"].tolist() == ["10", "1", "0", "0", "10", "0", "0", "0", "10"]
