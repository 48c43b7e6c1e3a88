import io

import pytest

from core.data.tables.json_table import JsonTable, open_json
from core.errors import DataError


def opened(text: str, encoding: str = "utf-8") -> JsonTable:
    return open_json("a.jsonl", lambda: io.BytesIO(text.encode(encoding)))


def test_rows_that_are_no_objects_are_left_out_with_their_lines() -> None:
    table = opened('{"a": 1}\n\n5\n{"a": 2}\n{"a": 3, "b\n{"a": 4}\n')

    assert list(table.rows()) == [(1, {"a": "1"}), (4, {"a": "2"}), (6, {"a": "4"})]
    assert [(item.reason, item.lines) for item in table.report.left_out] == [
        ("not a JSON object", [3, 5])
    ]
    assert table.report.rows == 5


def test_rows_of_a_document_are_numbered() -> None:
    table = opened('[\n {"a": "x"},\n 7,\n {"a": "y"}\n]')

    assert list(table.rows()) == [(1, {"a": "x"}), (3, {"a": "y"})]
    assert table.report.left_out[0].lines == [2]


def test_an_older_encoding_is_found() -> None:
    assert list(opened('{"a": "naïve café"}\n', "cp1252").rows()) == [(1, {"a": "naïve café"})]


def test_what_was_changed_is_noted() -> None:
    table = opened('{"a": "\\ud83d!", "a": "half \\ud83d"}\n')

    assert list(table.rows()) == [(1, {"a": "half \ufffd"})]
    assert table.report.notes == [
        "Unpaired surrogates were replaced, first in line 1 (rows: 1).",
        "The last value counts of fields that a row has twice: 'a'.",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("[]", "has no rows"),
        ("{'a': 1}\n{'a': 2}\n", "line 1, is not a JSON object"),
        ('["a", "b"]\n["c", "d"]\n', "line 1, is not a JSON object"),
    ],
)
def test_what_is_no_table_is_refused(text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        list(opened(text).rows())
