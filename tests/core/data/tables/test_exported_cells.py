import io
import re

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.tables.delimited_table import DelimitedTable, open_delimited
from core.data.tables.exported_cells import (
    escape_cell,
    read_exported,
    to_csv,
    unescape_cell,
    write_header,
    write_rows,
)

MARK = "\ufeff"
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TRAPS = st.text(
    st.sampled_from("'=+-@|%,;\"\t\r\n 1a\u00a0\uff1d\0\u200b\ufeff\u2060\u202e"), max_size=10
)
CELLS = ANY_TEXT | TRAPS


def opened(data: bytes) -> DelimitedTable:
    return open_delimited("a.csv", lambda: io.BytesIO(data))


@pytest.mark.parametrize(
    "cell",
    [
        "=1+1",
        "+1-1",
        "@SUM(A1)",
        "\t1",
        "\r1",
        "\n1",
        "  =1",
        "\u200b=1",
        "\ufeff=1",
        "\u00a0\u2060\x01=1",
        "\u202e-1+1",
        "\x00@a",
        "\u3000+1+1",
        "\U000e0020=1",
        "|cmd",
        "%x",
        "＝1＋1",
        "'=1",
        "-a",
    ],
)
def test_a_text_that_would_be_executed_gets_one_apostrophe(cell: str) -> None:
    assert escape_cell(cell) == f"'{cell}"
    assert unescape_cell(f"'{cell}") == cell


@pytest.mark.parametrize(
    ("cell", "escaped"),
    [
        ("a;=1+1", "a;'=1+1"),
        ("a\t=1+1;@b", "a\t'=1+1;'@b"),
        ("a;\u200b =1", "a;'\u200b =1"),
        ('a;"=1"', 'a;\'"=1"'),
        ("a\n=1", "a\n'=1"),
        ("\t=1", "'\t'=1"),
        ("=1;=2", "'=1;'=2"),
        ("a;'=1", "a;''=1"),
        ("-1;-1", "'-1;'-1"),
    ],
)
def test_text_is_escaped_after_what_other_spreadsheets_split_at(cell: str, escaped: str) -> None:
    assert escape_cell(cell) == escaped
    assert unescape_cell(escaped) == cell


def test_no_part_of_a_written_file_is_a_formula_for_other_separators() -> None:
    texts = ["a;=1", "x\t+1", "b\r\n@c", "\ufeff=1", 'q;"=1', "\u200b;\u200b-2;3"]
    written = to_csv(pd.DataFrame({"label": ["a"] * len(texts), "text": texts})).decode("utf-8-sig")

    parts = [part.strip('"\u200b\ufeff ') for part in re.split(r"[;\t\r\n,]", written)]

    assert not [part for part in parts if part.startswith(("=", "+", "-", "@"))]


@pytest.mark.parametrize(
    "cell",
    [
        "plain",
        "a; b",
        "a, -b",
        "a = b",
        "",
        "'90s",
        "-1",
        "+3.50",
        "-1,000",
        "1e-9",
    ],
)
def test_other_texts_and_numbers_stay_as_they_are(cell: str) -> None:
    assert escape_cell(cell) == cell
    assert unescape_cell(cell) == cell


@given(CELLS)
def test_no_escaped_cell_begins_like_a_formula_and_none_is_lost(cell: str) -> None:
    escaped = str(escape_cell(cell))

    assert not escaped.startswith(("=", "@", "\t", "\r", "\n", "|", "%"))
    assert unescape_cell(escaped) == cell or escaped == cell


@given(
    st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1)
    )
)
@settings(max_examples=300)
def test_any_table_that_is_written_is_read_back_unchanged(rows: list[list[str]]) -> None:
    names = [f"=column {number}" for number in range(len(rows[0]))]
    data = to_csv(pd.DataFrame(rows, columns=names, dtype=object))

    assert [cells for _, cells in read_exported(io.StringIO(data.decode("utf-8-sig"), ""))] == [
        names,
        *rows,
    ]


def test_a_written_file_is_recognized_and_its_rows_have_their_lines() -> None:
    table = opened(
        (MARK + write_header(["text", "b"]) + write_rows([["=1", "x\ny"], ["'-", ""]])).encode()
    )

    assert table.dialect.exported
    assert table.columns == ("text", "b")
    assert list(table.rows()) == [(2, ["=1", "x\ny"]), (4, ["'-", ""])]


@pytest.mark.parametrize(
    "foreign",
    [
        "text,label\r\n'=1,a\r\n'-x,b\r\n",  # header without quotes
        '"text","label"\r\n"\'=1","a"\r\n"\'-x","b"\r\n',  # quotes where none are needed
        '"text","label"\r\n\'=1,a\r\n-x,b\r\n',  # a formula that is not escaped
        '"text","label"\n\'=1,a\n\'-x,b\n',  # other line ends
    ],
)
def test_apostrophes_of_other_files_stay(foreign: str) -> None:
    table = opened((MARK + foreign).encode())

    assert not table.dialect.exported
    assert [cells[0] for _, cells in table.rows()][0] == "'=1"


def test_a_written_file_without_its_mark_is_another_file() -> None:
    table = opened((write_header(["text", "b"]) + write_rows([["=1", "x"]] * 3)).encode())

    assert [cells for _, cells in table.rows()] == [["'=1", "x"]] * 3
