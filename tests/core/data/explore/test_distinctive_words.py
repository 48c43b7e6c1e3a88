from collections import Counter
from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest

from core.data.explore.distinctive_words import (
    CountLimits,
    count_words,
    distinctive_words,
    example_rows,
    excerpt,
    log_odds,
    word_in_classes,
)
from core.data.explore.words import fold, split_words
from tests.support.indexed_data import index_rows

CLASSES = ("business", "sports", "empty")
TRAIN = [
    ("Oil prices rise, oil and the market", 0),
    ("The market and oil", 0),
    ("The goal and the match", 1),
    ("", 1),
    ("A late goal in the match, goal", 1),
] * 6


def test_log_odds_against_a_case_worked_by_hand() -> None:
    # "oil": 8 of 20 words here, 2 of 30 elsewhere; the prior gives it 5 of 10 pseudo-words
    z = log_odds(np.array([8]), np.array([2]), (20, 30), np.array([5.0]), 10.0)

    ratio = log(13 / (20 + 10 - 13)) - log(7 / (30 + 10 - 7))
    assert z.tolist() == pytest.approx([ratio / sqrt(1 / 13 + 1 / 7)])


def test_a_word_as_frequent_here_as_elsewhere_has_no_score() -> None:
    assert log_odds(np.array([10]), np.array([10]), (100, 100), np.array([7.0]), 50.0).tolist() == [
        0.0
    ]


def test_a_rare_word_is_tamed_by_the_prior() -> None:
    once, often = log_odds(
        np.array([1, 50]), np.array([0, 10]), (1000, 1000), np.array([0.5, 30.0]), 1000.0
    )

    assert 0 < once < often


def test_counts_agree_with_counting_one_by_one(
    tmp_path: Path,
) -> None:
    index = index_rows(tmp_path / "news", CLASSES, train=TRAIN, test=[("oil", 1)])
    stored = np.arange(len(index)) % 3 != 0

    result = count_words(index, stored, "train", len(CLASSES), limits=CountLimits(words=4))

    for label in range(len(CLASSES)):
        naive = Counter(
            word
            for row, (text, mine) in enumerate(TRAIN)
            if stored[row] and mine == label
            for word in split_words(fold(text))
        )
        assert result.totals[label] == naive.total()
        assert result.counts[label].tolist() == [
            naive[word] for word in index.words.to_pylist()[:4]
        ]


@pytest.mark.parametrize("every", [2, 3, 10])
def test_counts_are_the_same_when_they_are_taken_from_those_of_the_whole_split(
    tmp_path: Path, every: int
) -> None:
    index = index_rows(tmp_path / "news", CLASSES, train=TRAIN, test=[("oil", 1)])
    stored = np.arange(len(index)) % every != 0
    whole = count_words(index, np.ones(len(index), bool), "train", len(CLASSES))

    alone, from_whole = (
        count_words(index, stored, "train", len(CLASSES), base) for base in (None, whole)
    )

    assert np.array_equal(alone.counts, from_whole.counts)
    assert np.array_equal(alone.totals, from_whole.totals)


def test_of_many_texts_a_fixed_random_sample_is_counted(
    tmp_path: Path,
) -> None:
    index = index_rows(tmp_path / "news", CLASSES, train=TRAIN)
    sample = [row for row in index.mixed if row < len(TRAIN)][:4]
    limits = CountLimits(texts=5, sample=4, chunk_texts=2)

    result = count_words(index, np.ones(len(index), bool), "train", len(CLASSES), limits=limits)

    assert (result.texts, result.selected) == (4, len(TRAIN))
    words = [word for row in sample for word in split_words(fold(TRAIN[row][0]))]
    assert result.totals.sum() == len(words)
    assert result.counts[:, index.word_id("oil")].sum() == words.count("oil")


def test_each_class_gets_its_own_words_surest_first(tmp_path: Path) -> None:
    index = index_rows(tmp_path / "news", CLASSES, train=TRAIN)
    result = count_words(index, np.ones(len(index), bool), "train", len(CLASSES))

    assert distinctive_words(index, result, 0, 10)["word"].tolist() == ["oil", "market"]
    sports = distinctive_words(index, result, 1, 10)
    assert sports["word"].tolist() == ["goal", "match"]
    assert sports["count"].tolist() == [18, 12]
    assert sports["share_elsewhere"].tolist() == [0, 0]
    assert not len(distinctive_words(index, result, 2, 10)), "a class without texts has no words"


def test_one_class_alone_has_nothing_to_be_set_apart_from(tmp_path: Path) -> None:
    index = index_rows(tmp_path / "news", CLASSES, train=TRAIN)
    result = count_words(index, index.labels == 0, "train", len(CLASSES))

    assert not len(distinctive_words(index, result, 0, 10))


def test_a_word_is_counted_per_class(tmp_path: Path) -> None:
    index = index_rows(tmp_path / "news", CLASSES, train=TRAIN)
    result = count_words(index, np.ones(len(index), bool), "train", len(CLASSES))

    assert word_in_classes(index, result, "oil")["count"].tolist() == [18, 0, 0]
    assert word_in_classes(index, result, "oil")["per_10000"].iloc[0] == pytest.approx(
        10_000 * 18 / 66
    )
    assert word_in_classes(index, result, "nowhere")["count"].tolist() == [0, 0, 0]


def test_examples_come_from_each_class_and_are_always_the_same(tmp_path: Path) -> None:
    index = index_rows(tmp_path / "news", CLASSES, train=TRAIN)
    every = np.arange(len(index))

    rows = example_rows(index, every, (1, 0, 2), 2)

    assert index.labels[rows].tolist() == [1, 1, 0, 0]
    assert example_rows(index, every, (1, 0, 2), 2).tolist() == rows.tolist()


@pytest.mark.parametrize(
    ("text", "word", "shown"),
    [
        ("Oil\n rises", "oil", "Oil rises"),
        ("coil and oil " + "x" * 200, "oil", "coil and oil " + "x" * 54 + "…"),
        ("今天股票市场", "股票", "今天股票市场"),
        ("nothing", "zebra", "nothing"),
        ("y" * 100 + " oil", "oil", "…" + "y" * 54 + " oil"),
    ],
)
def test_an_excerpt_shows_the_whole_word_in_its_surroundings(
    text: str, word: str, shown: str
) -> None:
    assert excerpt(text, word) == shown
