import pandas as pd
import pytest

from core.data.splits.labels import (
    LabelReading,
    count_labels,
    near_equal,
    read_label,
    read_labels,
    spell,
)


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (" Sports ", "Sports"),
        ("1.0", "1.0"),
        ("007", "007"),
        ("true", "true"),
        ("a \n b", "a \n b"),
        ("['a']", "a"),
        ('["a"]', "a"),
        ("[1]", "1"),
        ("[a]", "[a]"),
        ('["a", "b"]', ""),
        ("[]", ""),
        ('{"choices": ["a"]}', "a"),
        (None, ""),
        ("  ", ""),
    ],
)
def test_a_label_is_read_as_written_without_blanks_around_it(cell: str | None, name: str) -> None:
    assert read_label(cell) == name


def test_labels_are_counted_most_frequent_first() -> None:
    assert count_labels(["b", "a ", "a", None, "", "c", "b", " b"]) == {"b": 3, "a": 2, "c": 1}


@pytest.mark.parametrize(
    ("counts", "merged"),
    [
        ({"Sports": 9, "sports": 2, "SPORTS": 1}, {"sports": "Sports", "SPORTS": "Sports"}),
        (
            {"sci-tech": 5, "Sci/Tech": 4, "sci tech": 1},
            {"Sci/Tech": "sci-tech", "sci tech": "sci-tech"},
        ),
        (
            {"politics": 9, "politcs": 1, "Politcs": 1},
            {"politcs": "politics", "Politcs": "politics"},
        ),
        ({"Straße": 5, "STRASSE": 1}, {"STRASSE": "Straße"}),
        ({"caf\u00e9": 5, "cafe\u0301": 1}, {"cafe\u0301": "caf\u00e9"}),
        ({"pos": 5, "pos\u200b": 1}, {"pos\u200b": "pos"}),
        ({"1": 5, "\uff11": 1}, {"\uff11": "1"}),
        ({"спорт": 5, "Спорт": 1}, {"Спорт": "спорт"}),
        ({"positive": 5, "negative": 5}, {}),
        ({"1": 5, "-1": 4, "1.5": 3, "15": 2}, {}),
        ({"class 1": 5, "class 2": 5}, {}),
        ({"C": 3, "C++": 2, "C#": 2}, {}),
        ({"体育": 3, "体操": 2}, {}),
    ],
)
def test_names_that_hardly_differ_are_offered_for_merging(
    counts: dict[str, int], merged: dict[str, str]
) -> None:
    assert near_equal(counts) == merged


def reading(*files: str, known: tuple[str, ...] = ()) -> LabelReading:
    """Read labels that are separated by blanks, one string per file."""
    return read_labels([pd.Series(labels.split(" "), dtype="str") for labels in files], known)


@pytest.mark.parametrize(
    ("files", "counts", "unclear"),
    [
        (("1 0 1 0 -1 -1",), {"0": 2, "1": 2}, ""),
        (("1 0 1 0", "-1 -1"), {"0": 2, "1": 2}, ""),
        (("2 0 -1 1 2 -1",), {"2": 2, "0": 1, "1": 1}, ""),
        (("1 -1 1 -1",), {"-1": 2, "1": 2}, ""),
        (("-2 -1 0 1",), {"-1": 1, "-2": 1, "0": 1, "1": 1}, ""),
        (("a b -1",), {"-1": 1, "a": 1, "b": 1}, ""),
        (("-1 0 1 -1 0 1",), {"-1": 2, "0": 2, "1": 2}, "-1"),
        (("-1 -1 0 0 1 1",), {"-1": 2, "0": 2, "1": 2}, "-1"),
        (("a b unsupervised Unlabeled",), {"a": 1, "b": 1}, ""),
    ],
)
def test_minus_one_is_no_class_where_it_marks_rows_without_a_label(
    files: tuple[str, ...], counts: dict[str, int], unclear: str
) -> None:
    assert (reading(*files).counts, reading(*files).unclear) == (counts, unclear)


def test_a_label_that_a_person_names_is_a_class() -> None:
    assert reading("1 0 -1", known=("-1",)).counts == {"-1": 1, "0": 1, "1": 1}
    assert reading("a b a#b", known=("a#b",)).counts == {"a": 1, "a#b": 1, "b": 1}


def test_labels_that_name_several_others_are_none_and_noted() -> None:
    result = reading("a b a#b a|c ['a','b'] ['b']")

    assert result.counts == {"b": 2, "a": 1, "a|c": 1}
    assert result.reasons == {"a#b": "several labels", "['a','b']": "several labels"}
    assert result.notes == (
        "Lists of one label were read as that label (rows: 1).",
        "'a#b' names several labels; give each text one label.",
    )


def test_characters_that_do_not_show_are_spelled_out() -> None:
    assert spell("us") == "'us'"
    assert spell("cafe\u0301") == "'cafe\u0301' (cafe\\u0301)"
