import pytest

from core.data.files.columns import count_labels, near_equal, read_label


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (" Sports ", "Sports"),
        ("1.0", "1"),
        ("007", "7"),
        ("1.5", "1.5"),
        ("a \n b", "a b"),
        (None, ""),
        ("  ", ""),
    ],
)
def test_a_label_is_read_without_what_does_not_count(cell: str | None, name: str) -> None:
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
