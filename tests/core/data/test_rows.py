import pandas as pd
import pytest

from core.data.rows import RawData, clean_rows, split_off
from core.errors import DataError
from tests.support.pet_rows import items


def labeled(*labels: object) -> pd.DataFrame:
    return pd.DataFrame({"text": [f"text {i}" for i in range(len(labels))], "label": labels})


def test_rows_without_text_or_label_are_left_out_and_counted() -> None:
    train = items(43)
    train.loc[[0, 1], "text"] = ["", " \n\t"]
    train.loc[2, "text"] = None
    train.loc[5, "label"] = None

    raw = clean_rows({"train": train, "test": items(10)})

    assert raw.train["row"].tolist() == [3, 4, *range(6, 43)]
    assert raw.notes == (
        "3 train rows have no text and are left out.",
        "1 train row has no label and is left out.",
    )


def test_without_a_test_split_a_fifth_of_each_class_becomes_it() -> None:
    raw = clean_rows({"train": items(50)})

    assert raw.test["label"].value_counts().to_dict() == {0: 5, 1: 5}
    assert sorted([*raw.train["row"], *raw.test["row"]]) == list(range(50))
    assert raw.notes == (
        (
            "There is no labeled test split: 10 training rows, a fifth of each class, are held"
            " out as the test split."
        ),
    )


def test_the_places_of_rows_that_are_left_out_are_named() -> None:
    train = items(46).assign(file="train.csv", line=range(2, 48), reason="")
    train.loc[[3, 7], "reason"] = "several labels"
    train.loc[9, "label"] = ""

    raw = clean_rows({"train": train, "test": items(10)})

    assert raw.notes == (
        "2 train rows have several labels and are left out (train.csv: 5, train.csv: 9).",
        "1 train row has no label and is left out (train.csv: 11).",
    )


def test_the_rows_taken_for_test_are_the_same_each_time() -> None:
    assert (
        clean_rows({"train": items(50)}).test["row"].tolist()
        == clean_rows({"train": items(50)}).test["row"].tolist()
    )


def test_a_test_split_without_labels_counts_as_none() -> None:
    raw = clean_rows({"train": items(50), "test": items(10).assign(label=None)})

    assert len(raw.test) == 10
    assert raw.notes[0] == "10 test rows have no label and are left out."


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (("b", "a"), ("a", "b")),
        (("true", "false"), ("false", "true")),
        (("2.0", "2.00", "2"), ("2", "2.0", "2.00")),
        (("10", "9"), ("9", "10")),
        (("Sci/Tech", "World", "Business", "Sports"), ("World", "Sports", "Business", "Sci/Tech")),
    ],
)
def test_classes_get_a_fixed_order(labels: tuple[object, ...], classes: tuple[str, ...]) -> None:
    assert clean_rows({"train": items(80, labels), "test": items(20, labels)}).classes == classes


def test_a_known_class_without_rows_is_no_class() -> None:
    assert clean_rows({"train": items(40)}, order=["dog", "fish", "cat"]).classes == ("dog", "cat")


BAD_ROWS: dict[str, tuple[dict[str, pd.DataFrame], str]] = {
    "one class": (
        {"train": items(40, ("cat",))},
        "All rows have the label 'cat'. Choose a label column with two classes or more",
    ),
    "no text": (
        {"train": items(40).assign(text=" ")},
        "No training row has both a text and a label",
    ),
    "small class": (
        {"train": labeled(*["a"] * 20, *["b"] * 9)},
        r"Too few training rows: 'b' \(9\). A class needs 10 training rows",
    ),
    "small classes": (
        {"train": labeled(*"abcdef")},
        r"'a' \(1\), 'b' \(1\), 'c' \(1\), 'd' \(1\), 'e' \(1\) and 1 more",
    ),
    "too many classes": (
        {"train": items(2_010, tuple(f"class {i}" for i in range(201)))},
        "The labels have 201 different values; the limit is 200 classes",
    ),
    "unknown in test": (
        {"train": items(40), "test": items(10, ("cat", "fish"))},
        "Test labels that no training row has: 'fish'. The classes are cat, dog",
    ),
}


@pytest.mark.parametrize(("splits", "message"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_what_no_classifier_can_learn_from_is_refused(
    splits: dict[str, pd.DataFrame], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        clean_rows(splits)


def test_ten_rows_a_class_are_enough_for_many_classes() -> None:
    raw: RawData = clean_rows({"train": items(200, tuple(f"class {i:02}" for i in range(20)))})

    rest, validation = split_off(raw.train, 0.1)

    assert (len(raw.test), len(validation), len(rest)) == (40, 20, 140)
    assert rest["label"].nunique() == 20


def test_a_part_is_split_off_by_class_and_keeps_the_order() -> None:
    rest, part = split_off(
        labeled(*["a"] * 60, *["b"] * 40).rename_axis("place").reset_index(), 0.1
    )

    assert part["label"].value_counts().to_dict() == {"a": 6, "b": 4}
    assert part["place"].is_monotonic_increasing
    assert rest["place"].is_monotonic_increasing
