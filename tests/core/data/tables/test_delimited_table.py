import csv
import io

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core.data.tables.delimited_table import DelimitedTable, open_delimited
from core.data.tables.read_report import ReadOptions
from core.errors import DataError

WORDS = st.sampled_from(
    ["good", "naïve", "1,5", "x;y", "p|q", 'say "hi"', '"open', 'end"', "line\nbreak", "C:\\", "NA"]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=5).map(" ".join)
ROWS = st.lists(st.tuples(TEXTS, st.sampled_from(["pos", "neg"])), min_size=12, max_size=40)


def opened(data: bytes, chosen: ReadOptions | None = None) -> DelimitedTable:
    return open_delimited("a.csv", lambda: io.BytesIO(data), chosen)


@example([*[("good", "pos")] * 11, ("1,5 line\nbreak", "pos")], ",", "utf-8")
@given(ROWS, st.sampled_from(",;\t|"), st.sampled_from(["utf-8", "cp1252", "utf-16"]))
@settings(max_examples=100)
def test_what_a_csv_writer_writes_is_read_back(
    rows: list[tuple[str, str]], separator: str, encoding: str
) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=separator, lineterminator="\n")
    writer.writerows([("text", "label"), *rows])

    table = opened(buffer.getvalue().encode(encoding))

    assert [tuple(cells) for _, cells in table.rows()] == rows


def test_lines_joined_by_quotes_are_a_text_unless_their_labels_occur_elsewhere() -> None:
    clean = "label;text\na;good\nb;bad\na;fine\n"

    text = opened(f'{clean}a;"line\nbreak x;y"\n'.encode())
    rows = opened(f'{clean}a;"line\nb;y"\n'.encode())

    assert list(text.rows())[3:] == [(5, ["a", "line\nbreak x;y"])]
    assert list(rows.rows())[3:] == [(5, ["a", '"line']), (6, ["b", 'y"'])]


def test_rows_in_the_file_are_rows_kept_and_rows_left_out_with_their_lines() -> None:
    table = opened(b"text,label\na,x\n\nb\nc,d,e\n,\ntext,label\nf,y\ng,x,\n")

    assert list(table.rows()) == [(2, ["a", "x"]), (8, ["f", "y"]), (9, ["g", "x"])]
    assert [(item.reason, item.lines) for item in table.report.left_out] == [
        ("wrong number of cells", [4, 5]),
        ("empty row", [6]),
        ("header repeated", [7]),
    ]
    assert (table.report.rows, table.report.rows_kept, table.report.blank_lines) == (7, 3, [3])


def test_a_sep_line_names_the_separator() -> None:
    table = opened("sep=;\r\ntext;label\r\nnaïve, yes;a\r\n".encode())

    assert list(table.rows()) == [(3, ["naïve, yes", "a"])]


def test_every_decision_can_be_overridden() -> None:
    data = "text|a;label\nŻółw|x;b\n".encode("cp1250")

    table = opened(data, ReadOptions(encoding="cp1250", separator="|", header=False, quotes=False))

    assert [cells for _, cells in table.rows()] == [["text", "a;label"], ["Żółw", "x;b"]]


def test_a_header_that_is_a_guess_is_shown() -> None:
    table = opened(b"Kommentar,Kategorie\nein Film,gut\nein Buch,gut\n")

    assert table.report.notes == ["Line 1 was read as the header: 'Kommentar', 'Kategorie'."]


def test_a_table_whose_rows_do_not_fit_is_refused_with_the_line() -> None:
    table = opened(b"text,label\na, b, c,x\nd, e, f,y\n")

    with pytest.raises(DataError, match="line 2: expected 2 cells separated by comma, found 4"):
        list(table.rows())


def test_quotes_that_exclude_each_other_are_asked_about() -> None:
    data = b'text,label\n"a, b",x\n"so" it goes,y\n"He said,x\nz,y\nthe end",x\n'

    with pytest.raises(DataError, match="line 4: a double quote joins the lines to 6") as caught:
        opened(data)

    assert (
        """Either one text: 'He said,x\\nz,y\\nthe end'; or 3 rows: '"He said', 'z', 'the end"'."""
        in str(caught.value)
    )
    assert len(list(opened(data, ReadOptions(quotes=True)).rows())) == 3
