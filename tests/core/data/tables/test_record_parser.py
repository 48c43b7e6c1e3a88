import pytest

from core.data.tables.read_report import Dialect
from core.data.tables.record_parser import (
    LineBuffer,
    QuoteReading,
    Record,
    read_records,
    split_line,
)


def read(text: str, width: int = 2, quotes: bool = True) -> list[Record]:
    buffer = LineBuffer(iter(text.splitlines(keepends=True)))
    return list(read_records(buffer, Dialect(",", quotes), width))


@pytest.mark.parametrize(
    ("line", "cells", "quotes"),
    [
        ("a,b", ["a", "b"], QuoteReading.NONE),
        ('a 20" screen,b', ['a 20" screen', "b"], QuoteReading.NONE),
        ('"a",b', ["a", "b"], QuoteReading.ENCLOSING),
        ('"a, b",c', ["a, b", "c"], QuoteReading.NEEDED),
        ('"a ""b""",c', ['a "b"', "c"], QuoteReading.NEEDED),
        ('"a \\"b\\", c",d', ['a "b", c', "d"], QuoteReading.NEEDED),
        ('"so" it goes,b', ['"so" it goes', "b"], QuoteReading.ORDINARY),
        ('"never closed,b', ['"never closed', "b"], QuoteReading.ORDINARY),
    ],
)
def test_a_quote_encloses_a_cell_only_where_that_fits(
    line: str, cells: list[str], quotes: QuoteReading
) -> None:
    assert read(line + "\n") == [Record(1, cells, quotes)]


def test_a_cell_may_span_lines_that_are_no_rows() -> None:
    assert read('"first\nsecond",b\nc,d\n') == [
        Record(1, ["first\nsecond", "b"], QuoteReading.NEEDED, 2),
        Record(3, ["c", "d"]),
    ]


def test_lines_that_are_rows_on_their_own_are_ambiguous() -> None:
    records = read('"He said,b\nx,a\nthe end",b\n')

    assert [(record.quotes, record.lines) for record in records] == [(QuoteReading.AMBIGUOUS, 3)]
    assert [record.cells for record in read('"He said,b\nx,a\nthe end",b\n', quotes=False)] == [
        ['"He said', "b"],
        ["x", "a"],
        ['the end"', "b"],
    ]


@pytest.mark.parametrize("sign", ["\uf8f1", "\uf8f2", "\U000f0000", "\U000f0001"], ids=ascii)
def test_characters_for_private_use_stay_in_texts(sign: str) -> None:
    assert split_line(f'"a"||b{sign}c', "||") == ["a", f"b{sign}c"]
    assert split_line(f'"a",b{sign}\rc', ",") == ["a", f"b{sign}\rc"]
