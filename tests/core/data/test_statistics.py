import pandas as pd
import pytest

from core.data.statistics import class_balance, find_rows, length_histogram, length_quantiles, share_cut

CLASSES = ("cat", "dog")
FRAME = pd.DataFrame(
    {
        "row": range(4),
        "text": ["The CAT sat.", "a dog (big)", "Caf\u00e9 for cats", "dogs"],
        "label": [0, 1, 0, 1],
        "words": [3, 3, 3, 1],
        "tokens": [6, 7, 8, 3],
    }
)


def test_balance_counts_each_class_in_each_split() -> None:
    table = class_balance({"train": FRAME.head(3), "test": FRAME.tail(1)}, CLASSES)

    assert table.to_dict("list") == {
        "split": ["train", "train", "test", "test"],
        "class": ["cat", "dog", "cat", "dog"],
        "rows": [2, 1, 0, 1],
        "share": [2 / 3, 1 / 3, 0, 1],
    }


def test_histogram_has_a_line_for_each_class_and_bin() -> None:
    table = length_histogram(FRAME, CLASSES, "tokens", bins=2)  # 3 to 8 in two bins of three

    assert table.to_dict("list") == {
        "class": ["cat", "cat", "dog", "dog"],
        "start": [3, 6, 3, 6],
        "end": [5, 8, 5, 8],
        "bin": ["3–5", "6–8"] * 2,
        "rows": [0, 2, 1, 1],
    }


def test_histogram_gathers_the_long_tail_in_its_last_bin() -> None:
    lengths = pd.DataFrame({"label": 0, "tokens": [*range(1, 11)] * 100 + [500, 900]})

    table = length_histogram(lengths, ["cat"], "tokens", bins=10)

    assert table["bin"].tolist() == ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11 or more"]
    assert table["rows"].tolist() == [100] * 10 + [2]
    assert table["end"].tolist()[-1] == 900


def test_histogram_counts_each_text_once() -> None:
    lengths = pd.DataFrame({"label": [i % 2 for i in range(997)], "words": [(i * i) % 331 for i in range(997)]})

    assert length_histogram(lengths, CLASSES, "words")["rows"].sum() == 997


def test_quantiles_are_lengths_that_occur() -> None:
    table = length_quantiles(FRAME, CLASSES, "tokens").set_index("class")

    assert table.loc["all"].tolist() == [3, 3, 6, 7, 7, 8]
    assert table.loc["dog", ["shortest", "longest"]].tolist() == [3, 7]


def test_share_cut_counts_texts_longer_than_the_limit() -> None:
    assert [share_cut(FRAME, limit) for limit in (2, 6, 7, 8)] == [1, 0.5, 0.25, 0]


@pytest.mark.parametrize(
    ("text", "found"),
    [("cat", [0, 2]), ("CAFÉ", [2]), ("cafe\u0301", [2]), ("(big)", [1]), ("sat.", [0]), ("s.t", []), ("", [0, 1, 2, 3]), ("\\", [])],
)
def test_a_search_is_literal_and_ignores_case_and_the_form_of_accents(text: str, found: list[int]) -> None:
    assert find_rows(FRAME, text).tolist() == found


def test_a_search_filters_by_class_and_length() -> None:
    assert find_rows(FRAME, labels=[1]).tolist() == [1, 3]
    assert find_rows(FRAME, column="words", longest=2).tolist() == [3]
    assert find_rows(FRAME, shortest=7, longest=7).tolist() == [1]
    assert find_rows(FRAME, "cat", labels=[0], shortest=7).tolist() == [2]


def test_no_rows_give_empty_tables() -> None:
    empty = FRAME.head(0)

    assert (
        len(length_histogram(empty, CLASSES, "tokens"))
        == len(length_quantiles(empty, CLASSES, "tokens"))
        == len(find_rows(empty, "a"))
        == 0
    )
    assert class_balance({"train": empty}, CLASSES)["share"].tolist() == [0, 0]
    assert share_cut(empty, 5) == 0
