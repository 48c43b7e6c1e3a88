import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.explore.filters import Dimension, Filters, find_mask, positions_in_split
from core.data.explore.index import TextIndex
from core.data.explore.words import fold, split_words
from tests.support.indexed_data import index_rows

PETS = ("cat", "dog")
TRAIN = [
    ("The CAT sat.", 0),
    ("a dog (big)", 1),
    ("Caf\u00e9 for cats", 0),
    ("dogs", 1),
    ("", 0),
    ("Vets (Reuters)", 1),
]
SOURCES = [("seen (Reuters)", 1)] * 9
ROWS = [*TRAIN, *SOURCES]


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> TextIndex:
    return index_rows(
        tmp_path_factory.mktemp("pets") / "pets", PETS, train=ROWS, test=[("a cat", 0)]
    )


def found(index: TextIndex, **fields: Any) -> list[int]:
    filters = Filters(**fields)
    return [
        row
        for row in positions_in_split(index, find_mask(index, filters), filters.split).tolist()
        if row < len(TRAIN)
    ]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("cat", [0, 2]),
        ("CAFÉ", [2]),
        ("cafe\u0301", [2]),
        ("(big)", [1]),
        ("sat.", [0]),
        ("s.t", []),
        ("", [0, 1, 2, 3, 4, 5]),
        ("\\", []),
    ],
)
def test_a_search_is_literal_and_ignores_case_and_the_form_of_accents(
    index: TextIndex, text: str, rows: list[int]
) -> None:
    assert found(index, text=text) == rows


@given(st.text(max_size=12) | st.text("aACcst().\\*+[]{}^$|?- \n\0é", max_size=6))
def test_any_text_is_searched_literally(index: TextIndex, text: str) -> None:
    expected = [row for row, (content, _) in enumerate(TRAIN) if fold(text) in fold(content)]

    assert found(index, text=text) == expected


def test_a_long_text_is_searched_literally(index: TextIndex) -> None:
    assert found(index, text="The cat sat.*" * 100) == []


def test_classes_lengths_words_and_patterns_narrow_the_rows(index: TextIndex) -> None:
    assert found(index, classes=(1,)) == [1, 3, 5]
    assert found(index, unit="words", longest=1) == [3, 4]
    assert found(index, unit="tokens", shortest=5, longest=5) == [0, 1, 2]
    assert found(index, word="cats") == [2]
    assert found(index, word="ca") == []
    assert found(index, pattern="(Reuters)") == [5]
    assert found(index, pattern="(Unknown)") == []


def test_filters_add_up_and_each_can_be_left_out(index: TextIndex) -> None:
    filters = Filters(classes=(0,), text="cat", word="sat")

    assert np.flatnonzero(find_mask(index, filters)).tolist() == [0]
    assert np.flatnonzero(find_mask(index, filters, (Dimension.WORD,))).tolist() == [
        0,
        2,
        len(ROWS),
    ]
    assert positions_in_split(
        index, find_mask(index, filters, (Dimension.WORD,)), "test"
    ).tolist() == [len(ROWS)]


def test_only_filters_that_leave_rows_out_are_active() -> None:
    assert Filters().active == ()
    assert Filters(shortest=0, word="oil").active == (Dimension.LENGTH, Dimension.WORD)


WORDS = st.sampled_from(["cat", "dog", "the", "sat", "vets", "nothing"])


@settings(max_examples=60)
@given(
    st.sets(st.integers(0, 1)),
    st.none() | st.integers(0, 6),
    st.none() | st.integers(0, 6),
    st.sampled_from(["", "a", "s", "("]),
    WORDS,
)
def test_masks_agree_with_a_loop_over_the_texts(
    index: TextIndex,
    classes: set[int],
    shortest: int | None,
    longest: int | None,
    text: str,
    word: str,
) -> None:
    filters = Filters("train", tuple(classes), "tokens", shortest, longest, text, word)

    naive = [
        row
        for row, (content, label) in enumerate(ROWS)
        if (not classes or label in classes)
        and (shortest is None or len(content.split()) + 2 >= shortest)
        and (longest is None or len(content.split()) + 2 <= longest)
        and re.search(re.escape(text), fold(content))
        and word in split_words(fold(content))
    ]

    assert positions_in_split(index, find_mask(index, filters), "train").tolist() == naive
