from pathlib import Path

import numpy as np
import pytest

from core.data.explore.statistics import class_balance, cut_at, cut_curve, length_bins, length_boxes
from tests.support.indexed_data import index_rows

PETS = ("cat", "dog")


def test_balance_counts_each_class_in_each_split(tmp_path: Path) -> None:
    index = index_rows(
        tmp_path / "pets", PETS, train=[("a", 0), ("b", 1), ("c", 0)], test=[("d", 1)]
    )

    table = class_balance(index, np.array([True, True, True, True]), 2)

    assert table.to_dict("list") == {
        "split": ["train", "train", "validation", "validation", "test", "test"],
        "label": [0, 1] * 3,
        "texts": [2, 1, 0, 0, 0, 1],
        "share": [2 / 3, 1 / 3, 0, 0, 0, 1],
    }


def bins(lengths: list[int], labels: list[int]) -> tuple[list[int], list[list[int]], int]:
    result = length_bins(np.array(lengths, np.int32), np.array(labels, np.int16), 2)
    return result.edges.tolist(), result.texts.tolist(), result.beyond


def test_bins_count_the_texts_of_each_class() -> None:
    assert bins([0, 1, 1, 3], [0, 0, 1, 1]) == (
        [0, 1, 2, 3, 4],
        [[1, 0], [1, 1], [0, 0], [0, 1]],
        0,
    )


def test_bins_are_equally_wide_so_that_a_flat_distribution_is_flat() -> None:
    lengths = np.repeat(np.arange(200, dtype=np.int32), 5)

    result = length_bins(lengths, np.zeros(1000, np.int16), 1)

    assert set(result.texts[:-1, 0].tolist()) == {25}


def test_very_long_texts_do_not_squeeze_the_others_and_are_counted() -> None:
    lengths = np.array([*range(100)] * 10 + [100_000], np.int32)

    result = length_bins(lengths, np.zeros(1001, np.int16), 1)

    assert result.longest < 110
    assert result.beyond == 1
    assert result.texts.sum() == 1000


def test_no_texts_give_one_empty_bin() -> None:
    assert bins([], []) == ([0, 1], [[0, 0]], 0)


def test_a_box_holds_the_quantiles_of_each_class_that_has_texts() -> None:
    lengths, labels = np.array([*range(1, 101), 7], np.int32), np.array([0] * 100 + [2], np.int16)

    table = length_boxes(lengths, labels, 4)

    assert table.values.tolist() == [[0, 100, 5, 25, 50, 75, 95, 100], [2, 1, 7, 7, 7, 7, 7, 7]]


def test_a_limit_cuts_longer_texts_and_loses_what_is_beyond_it() -> None:
    cut = cut_at(np.array([5, 10, 20], np.int32), 10)

    assert (cut.texts, cut.n, cut.share) == (1, 3, 1 / 3)
    assert cut.lost == pytest.approx(10 / 35)
    assert cut_at(np.zeros(0, np.int32), 10).share == 0


def test_the_curve_falls_from_all_to_none() -> None:
    tokens, labels = np.array([10, 20, 30, 40], np.int32), np.array([0, 0, 1, 1], np.int16)

    curve = cut_curve(tokens, labels, (0,), 40)

    every = curve[curve["label"] == -1].set_index("max_tokens")["share"]
    assert (every[8], every[20], every[40]) == (1, 0.5, 0)
    assert curve[curve["label"] == 0].set_index("max_tokens")["share"][20] == 0


def test_no_texts_give_an_empty_curve() -> None:
    assert not len(cut_curve(np.zeros(0, np.int32), np.zeros(0, np.int16), (0,), 40))
