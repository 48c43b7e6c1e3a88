import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.tables.read_report import ReadOptions
from core.data.tables.whole_table import FIRST_TEXT, NOT_OBJECT, WholeTable, read_whole
from core.errors import DataError


def rows(table: WholeTable) -> list[list[object]]:
    return [list(cells) for cells in table.frame.itertuples(index=False, name=None)]


def test_every_row_of_a_table_keeps_its_place() -> None:
    table = read_whole(
        "a.csv", b"id,text,date\n001,hi,2024-01-01\n002,a,b,c\n\n,,\n003,x\n004,y,2.00\n\n"
    )

    assert rows(table) == [
        ["001", "hi", "2024-01-01"],
        ["002", "a", "b"],
        ["", "", ""],
        ["", "", ""],
        ["003", "x", ""],
        ["004", "y", "2.00"],
    ]
    assert table.problems == {
        1: "unreadable: 4 cells instead of 3",
        4: "unreadable: 2 cells instead of 3",
    }
    assert table.originals == {1: "002,a,b,c", 4: "003,x"}
    assert table.notes == ("Blank lines at the end are no rows: 1.",)


@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_a_list_of_texts_without_a_header_keeps_its_first_text(name: str) -> None:
    table = read_whole(name, b"Good film\nBad, really bad\n\nFine\n")

    assert rows(table) == [["Good film"], ["Bad, really bad"], [""], ["Fine"]]
    assert table.header is not None
    assert (table.header.present, table.header.certain, table.header.reason) == (
        False,
        False,
        FIRST_TEXT,
    )


@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_a_header_can_be_overridden_both_ways(name: str) -> None:
    data = b"text\nGood film\nBad, really bad\n"

    assert rows(read_whole(name, data))[0] == ["Good film"]
    assert rows(read_whole(name, data, ReadOptions(header=False)))[0] == ["text"]
    assert read_whole(name, b"Good\nBad\n", ReadOptions(header=True)).columns == ["Good"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_cell_of_several_lines_stays_one_row(end: str) -> None:
    table = read_whole("a.csv", f'id,text{end}1,"a{end}b"{end}2,c{end}'.encode())

    assert rows(table) == [["1", f"a{end}b"], ["2", "c"]]


def test_a_text_of_several_lines_in_a_list_of_texts_stays_one_row() -> None:
    assert rows(read_whole("a.csv", b'text\n"a\nb, c"\nd\n')) == [["a\nb, c"], ["d"]]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.tsv", "id\ttext\n01\tnaïve\n"),
        ("a.csv", "id;text\n01;naïve\n"),
        ("a.txt", "id\ttext\n01\tnaïve\n"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_delimited_text_is_detected(name: str, data: str, encoding: str) -> None:
    table = read_whole(name, data.encode(encoding))

    assert (table.columns, rows(table)) == (["id", "text"], [["01", "naïve"]])


def test_a_line_that_names_the_separator_is_no_row() -> None:
    table = read_whole("a.csv", "sep=;\nid;text\n01;naïve\n".encode("cp1252"))

    assert (table.columns, rows(table)) == (["id", "text"], [["01", "naïve"]])


def test_json_cells_stay_as_they_are_written() -> None:
    table = read_whole(
        "a.jsonl",
        b'{"id": 007, "text": "no"}\n{"id": 1.50, "text": "a\\ud83d"}\n\nnope\n'
        b'{"text": null, "tags": [1, {"k": "\\u00e9"}]}\n"b"\n',
    )

    missing = None
    shown = table.frame.astype(object).where(table.frame.notna(), missing).to_numpy().tolist()
    assert table.columns == ["id", "text", "tags"]
    assert shown == [
        [missing, missing, missing],
        ["1.50", '"a\ufffd"', missing],
        [missing, missing, missing],
        [missing, "null", '[1, {"k": "é"}]'],
        [missing, missing, missing],
    ]
    assert table.problems == {0: NOT_OBJECT, 2: NOT_OBJECT, 4: NOT_OBJECT}
    assert table.originals == {0: '{"id": 007, "text": "no"}', 2: "nope", 4: '"b"'}
    assert "Unpaired surrogates were replaced by � in rows: 1." in table.notes


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b'[{"text": "a"}, {"text": "b"}, 5]', ['"a"', '"b"']),
        (b'{"text": "a", "spans": [{"k": 1}]}', ['"a"']),
        (b'{"text": ["a", "b"], "id": [1, 2]}', ['"a"', '"b"']),
        (b'{"data": [{"text": "a"}]}', ['"a"']),
        (b'[{"id": 1, "data": {"text": "a"}, "annotations": []}]', ['"a"']),
    ],
)
def test_documents_of_json_are_rows(data: bytes, texts: list[str]) -> None:
    table = read_whole("a.json", data)

    assert table.frame["text"].dropna().tolist() == texts


def test_parquet_keeps_its_types() -> None:
    content = pa.table(
        {
            "id": pa.array([1, None], pa.int64()),
            "at": pa.array([1, 2], pa.timestamp("us", tz="Mars/Olympus")),
            "tags": [["a"], []],
            "text": ["x", None],
        }
    )
    buffer = io.BytesIO()
    pq.write_table(content, buffer)

    table = read_whole("a.parquet", buffer.getvalue())

    written = io.BytesIO(table.frame.to_parquet(index=False))
    assert pq.read_table(written).replace_schema_metadata(None).equals(content)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"", "a.csv is empty."),
        ("a.txt", b" \n\n", "a.txt is empty."),
        ("a.csv", b"\xef\xbb\xbf\r\n", "a.csv is empty."),
        ("a.csv", b"id,text\n", "a.csv has a header and no rows."),
        ("a.jsonl", b'"a"\n', "a.jsonl holds no JSON objects."),
        ("a.parquet", b"PAR1 but damaged", "looks like Parquet but cannot be read"),
    ],
)
def test_a_file_without_rows_is_refused(name: str, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_whole(name, data)


@pytest.mark.parametrize(
    "text", ["a" * 1_000_000, "nul\0nul", "🙂👍🏽", "مرحبا", "a\u2028b", "\x1b[31m", "x" * 70]
)
def test_odd_texts_are_kept(text: str) -> None:
    assert rows(read_whole("a.csv", f"id,text\n1,{text}\n2,b\n".encode())) == [
        ["1", text],
        ["2", "b"],
    ]
    assert rows(read_whole("a.txt", f"{text}\nb\n".encode())) == [[text], ["b"]]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b"id,text\n1,a\xed\xa0\xbdb \xc3\xa9\n2,c\n"),
        ("a.txt", b"a\xed\xa0\xbdb \xc3\xa9\nc\n"),
        ("a.jsonl", b'{"text": "a\xed\xa0\xbdb \xc3\xa9"}\n{"text": "c"}\n'),
    ],
)
def test_halves_of_characters_are_replaced_and_said(name: str, data: bytes) -> None:
    table = read_whole(name, data)

    assert table.encoding == "utf-8"
    assert str(table.frame["text"].tolist()[0]).strip('"') == "a\ufffdb é"
    assert "Halves of characters were replaced by �: 1." in table.notes


def test_both_halves_of_a_character_are_that_character() -> None:
    table = read_whole("a.csv", b"id,text\n1,\xed\xa0\xbd\xed\xb8\x80\n2,c\n")

    assert table.frame["text"].tolist() == ["😀", "c"]


def test_a_first_row_of_the_same_shape_as_the_others_is_no_header() -> None:
    table = read_whole("a.csv", b"id1,great film\nid2,bad film\nid3,fine\n")

    assert rows(table)[0] == ["id1", "great film"]


def test_a_column_without_a_name_is_said() -> None:
    table = read_whole("a.csv", b",text\n0,a\n1,b\n")

    assert table.columns == ["column 1", "text"]
    assert table.notes == ("The column 1 has no name; it is called 'column 1'.",)


@pytest.mark.parametrize("name", ["a.csv", "a.xlsx", "a.txt"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\x03\x04\x14\0\0\0\x08\0", "ZIP archive or an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document"),
        (b"SQLite format 3\0\x10\0", "is a database"),
        (b"a.csv".ljust(257, b"\0") + b"ustar  \0", "a tar archive"),
        (bytes(range(256)), "full of control characters"),
    ],
)
def test_a_file_that_is_no_text_is_refused(name: str, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_whole(name, data)


def test_a_page_is_no_table_but_a_list_of_texts_may_begin_as_one() -> None:
    page = b"<html>A text with a mark\nAnother text\n"

    with pytest.raises(DataError, match="an HTML page"):
        read_whole("a.csv", page)

    assert rows(read_whole("a.txt", page)) == [["<html>A text with a mark"], ["Another text"]]


def test_lists_of_splits_keep_the_field_split_of_their_rows() -> None:
    data = b'{"train": [{"text": "a b", "split": "x"}], "test": [{"text": "c d", "split": "y"}]}'

    table = read_whole("a.json", data)

    assert table.columns == ["split", "text", "split (2)"]
    assert rows(table) == [['"train"', '"a b"', '"x"'], ['"test"', '"c d"', '"y"']]
    assert "Two fields of a row are called 'split'; one is read as 'split (2)'." in table.notes


def test_a_row_of_a_document_that_is_no_row_is_shown_as_it_is_written() -> None:
    table = read_whole("a.json", b'{"columns": ["text", "n"], "data": [["a b", 1], ["c d"]]}')

    assert table.problems == {1: NOT_OBJECT}
    assert table.originals == {1: '["c d"]'}
