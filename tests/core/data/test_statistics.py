import pandas as pd
import pytest

from core.data.statistics import class_balance, find_rows

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
