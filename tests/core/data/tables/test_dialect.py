import pytest

from core.data.tables.dialect import find_header, find_separator, find_title, find_width


@pytest.mark.parametrize(
    ("lines", "separator"),
    [
        (["text;label", "good, very good;pos", "bad, very bad;neg"], ";"),
        (["text,label", "a; b; c,pos", "d; e; f,neg"], ","),
        (["text\tlabel", "one, two\tpos", "three, four\tneg"], "\t"),
        (["text~label", "good~pos"], "~"),
    ],
)
def test_the_first_line_has_as_many_cells_as_the_others(lines: list[str], separator: str) -> None:
    assert find_separator(lines, ".csv") == separator


def test_a_title_is_no_part_of_the_table() -> None:
    rows = [f"a text {number},pos" for number in range(9)]

    assert find_width(["Reviews of 2024", "", "text,label", *rows], ",") == (2, 2)
    assert find_title([["Reviews of 2024", ""], ["", ""], ["text", "label"], ["a", "b"]]) == 2


@pytest.mark.parametrize(
    ("first", "present", "certain"),
    [
        (["text", "label"], True, True),
        (["", "text", "label"], True, True),
        (["Kommentar", "Kategorie"], True, False),
        (["a good film", "pos"], False, True),
        (["1", "a good film"], False, True),
        (["word " * 30_000, "neutral"], False, True),
    ],
)
def test_a_header_is_decided_by_names_and_repetition(
    first: list[str], present: bool, certain: bool
) -> None:
    choice = find_header([first, ["x", "pos"], ["y", "neg"]])

    assert (choice.present, choice.certain) == (present, certain)


def test_a_width_that_all_records_have_beats_one_that_more_lines_have() -> None:
    lines = [
        *('"id"|"text"|"label"', '"0"|"""open 1.0 line', "break naïve line", 'break"|"New York"'),
        *('"1"|"end"" line', 'break"|"New York"', '"2"|"naïve line', 'break it"|"Rome"'),
    ]

    assert find_width(lines, "|") == (3, 0)
