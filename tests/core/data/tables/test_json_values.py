import pytest

from core.data.tables.json_values import Json, JsonReader, find_rows, replace_surrogates
from core.data.tables.record_parser import LineBuffer


def read(text: str) -> list[tuple[int, Json]]:
    buffer = LineBuffer(iter(text.splitlines(keepends=True)))
    return list(JsonReader().read_lines(buffer))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.0", "1.0"),
        ("0.10", "0.10"),
        ("1e400", "1e400"),
        ("12345678901234567891", "12345678901234567891"),
        ("true", True),
        ("NaN", None),
        ('"1"', "1"),
    ],
)
def test_numbers_stay_as_they_are_written(text: str, value: Json) -> None:
    assert JsonReader().parse(text) == value


def test_values_carry_the_line_in_which_they_begin() -> None:
    text = '{"a": 1},\n\n{"a": 2}{"a": 3}\n{"a":\n  4\n}\n{"a": 5, "cut\n{"a": 6}\n'

    assert read(text) == [
        (1, {"a": "1"}),
        (3, {"a": "2"}),
        (3, {"a": "3"}),
        (4, {"a": "4"}),
        (7, None),
        (8, {"a": "6"}),
    ]


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": "x", "b": "1"}, {"a": "y", "b": "2"}]',
        '{"a": ["x", "y"], "b": [1, 2]}',
        '{"a": {"0": "x", "1": "y"}, "b": {"0": 1, "1": 2}}',
        '{"columns": ["a", "b"], "index": [0, 1], "data": [["x", 1], ["y", 2]]}',
        '{"version": 1, "data": [{"a": "x", "b": 1}, {"a": "y", "b": 2}]}',
    ],
)
def test_rows_are_found_in_every_shape(text: str) -> None:
    assert find_rows(JsonReader().parse(text)) == [{"a": "x", "b": "1"}, {"a": "y", "b": "2"}]


def test_an_element_that_is_no_object_keeps_its_place() -> None:
    assert find_rows(JsonReader().parse('[{"a": 1}, 5, {"a": 2}]')) == [
        {"a": "1"},
        None,
        {"a": "2"},
    ]


def test_a_field_that_occurs_twice_is_reported() -> None:
    reader = JsonReader()

    assert reader.parse('{"a": 1, "a": 2}') == {"a": "2"}
    assert reader.duplicates == ["a"]


def test_half_a_character_is_replaced() -> None:
    assert replace_surrogates({"a": ["\ud83d!", "🙂"]}) == {"a": ["\ufffd!", "🙂"]}
