import random

import pytest

from core.data.quality.near_duplicates import find_near_pairs, normalize_text, shingles
from core.errors import Stopped
from tests.support.planted_texts import draw_texts, edit


def test_case_punctuation_and_spaces_do_not_count() -> None:
    assert normalize_text("  Hello,   WORLD! ") == "hello world"
    assert normalize_text("???") == "???"
    assert normalize_text("ＡＢＣ、日本") == "abc 日本"


def test_short_texts_are_one_shingle() -> None:
    assert shingles("abc") == {"abc"}
    assert shingles("abcdef") == {"abcde", "bcdef"}


def test_planted_edits_are_found_and_all_that_is_found_is_similar() -> None:
    draw = random.Random(1)
    texts = draw_texts(2000)
    edited = [edit(text, 2, draw) for text in texts[:300]]
    planted = {(place, 2000 + place) for place in range(300) if edited[place] != texts[place]}
    every = [normalize_text(text) for text in texts + edited]

    pairs, scores = find_near_pairs(every)

    result = set(map(tuple, pairs.tolist()))
    assert len(result & planted) / len(planted) >= 0.95
    for (item, other), score in zip(pairs.tolist(), scores, strict=True):
        a, b = shingles(every[item]), shingles(every[other])
        assert score == len(a & b) / len(a | b) >= 0.7
    assert len(result & planted) / len(result) >= 0.95


def test_a_crowd_of_similar_texts_is_linked_without_comparing_all_with_all() -> None:
    texts = [
        f"the very same long announcement with nothing but a number at its end {number:03d}"
        for number in range(300)
    ]

    pairs, _ = find_near_pairs(texts)

    assert set(pairs.ravel().tolist()) == set(range(300))
    assert len(pairs) < 300 * 299 / 2


def test_one_text_or_none_has_no_pair() -> None:
    assert find_near_pairs([])[0].shape == (0, 2)
    assert find_near_pairs(["alone"])[0].shape == (0, 2)


def test_a_stop_is_followed() -> None:
    with pytest.raises(Stopped):
        find_near_pairs(["one", "two"], should_stop=lambda: True)
