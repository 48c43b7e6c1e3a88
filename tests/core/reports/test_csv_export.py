import csv
import io

import pandas as pd
import pytest

from core.reports.csv_export import escape_cell, to_csv


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "  =1", "|cmd", "%x", "＝1＋1", "＠x"],
)
def test_a_cell_that_would_be_run_gets_an_apostrophe(cell: str) -> None:
    assert escape_cell(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["plain", "a = b", "", "'=1", "1-1", -1, -0.5, None])
def test_other_cells_stay_as_they_are(cell: object) -> None:
    assert escape_cell(cell) is cell


def test_a_table_is_escaped_with_its_header_and_its_numbers_stay() -> None:
    frame = pd.DataFrame(
        {
            "=text": ["=HYPERLINK(1)", 'a "quote", and\nmore'],
            "number": [-1, 2],
            "share": [-0.5, 0.25],
        }
    )
    frame["class"] = pd.Categorical(["@a", "b"])

    rows = list(csv.reader(io.StringIO(to_csv(frame).decode(), newline="")))

    assert rows[0] == ["'=text", "number", "share", "class"]
    assert rows[1] == ["'=HYPERLINK(1)", "-1", "-0.5", "'@a"]
    assert rows[2] == ['a "quote", and\nmore', "2", "0.25", "b"]
