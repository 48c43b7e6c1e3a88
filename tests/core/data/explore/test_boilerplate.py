import numpy as np
import pytest
from sklearn.metrics import mutual_info_score

from core.data.explore.boilerplate import (
    Pattern,
    PatternKind,
    evidence,
    find_patterns,
    mutual_information,
)

TEXTS = [
    "Oil rises (Reuters)",
    "NEW YORK (Reuters) - Oil",
    "AP - A vote",
    "Kerry #39;s plan\\",
    "plain (Reuters) Reuters - text",
] * 10


def rows(name: str) -> list[int]:
    return next(pattern.rows.tolist() for pattern in find_patterns(TEXTS) if pattern.name == name)


def test_sources_are_found_by_how_they_are_written() -> None:
    assert rows("(Reuters)")[:4] == [0, 1, 4, 5]
    assert rows("AP -")[:2] == [2, 7]
    assert rows("Reuters -")[:2] == [4, 9]


def test_debris_is_found_wherever_it_stands() -> None:
    assert rows("#39;")[:2] == rows("\\")[:2] == [3, 8]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a &lt;b&gt;bold&lt;/b&gt; word", "&lt;b&gt;"),
        ("quot;quoted quot;", "quot; amp;"),
        ("a <br/> b", "<b>"),
        ("see www.example.org", "http://"),
        ("donâ€™t", "â€™"),
    ],
)
def test_each_kind_of_debris_has_a_name(text: str, name: str) -> None:
    assert [pattern.name for pattern in find_patterns([text])] == [name]


def test_a_source_that_stands_in_a_few_texts_is_no_pattern() -> None:
    assert find_patterns(["a (Reuters)"] * 9) == []


def test_evidence_against_counts_by_hand() -> None:
    # four texts of class 0, of which three hold it, and four of class 1, of which one does
    pattern = Pattern("(Reuters)", PatternKind.BRACKETS, np.array([0, 1, 2, 4], np.int32))
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 1], np.int16)
    stored = np.array([True] * 8 + [False])

    (line,) = evidence([pattern], labels, stored, 2).to_dict("records")

    assert (line["texts"], line["top"], line["share"]) == (4, 0, 0.75)
    assert line["ratio"] == pytest.approx(((3 + 0.5) / (4 + 1)) / ((1 + 0.5) / (4 + 1)))
    assert line["bits"] == pytest.approx(1 - 0.8112781, abs=1e-6)  # of one bit, 0.811 stay unknown
    assert (line["class 0"], line["class 1"]) == (3, 1)


def test_a_class_of_a_few_texts_is_not_pointed_at_by_chance() -> None:
    # 100 texts of class 0, of which 10 hold it, 100 of class 1 with none, and 2 of class 2 with
    # none
    pattern = Pattern("(AP)", PatternKind.BRACKETS, np.arange(10, dtype=np.int32))
    labels = np.repeat(np.array([0, 1, 2], np.int16), [100, 100, 2])

    (line,) = evidence([pattern], labels, np.ones(202, bool), 3).to_dict("records")

    assert line["top"] == 0


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("NEW YORK - Oil", "NEW YORK -"),
        ("Title (Canadian Press) Canadian Press - Ottawa", "Canadian Press -"),
        ("Title Words USATODAY.com -- text", "USATODAY.com -"),
        ("Bush AP - text", "AP -"),
    ],
)
def test_a_source_before_a_dash_is_taken_as_a_whole(text: str, source: str) -> None:
    assert source in [pattern.name for pattern in find_patterns([text] * 10)]


def test_a_pattern_that_no_selected_text_has_is_left_out() -> None:
    pattern = Pattern("(AP)", PatternKind.BRACKETS, np.array([0], np.int32))

    assert not len(evidence([pattern], np.array([0, 1], np.int16), np.array([False, True]), 2))
    assert not len(evidence([], np.zeros(0, np.int16), np.zeros(0, bool), 2))


def test_mutual_information_agrees_with_scikit_learn() -> None:
    draw = np.random.default_rng(0)
    labels, holds = draw.integers(0, 5, 400), draw.random(400) < 0.3
    with_it = np.bincount(labels[holds], minlength=5)[None]

    (bits,) = mutual_information(with_it, np.bincount(labels, minlength=5))

    assert bits == pytest.approx(mutual_info_score(labels, holds) / np.log(2))
