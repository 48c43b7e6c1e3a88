import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.data.tables.parquet_table import ParquetTable, open_parquet
from core.errors import DataError


def opened(table: pa.Table) -> ParquetTable:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return open_parquet("a.parquet", lambda: io.BytesIO(buffer.getvalue()))


def test_columns_are_read_by_position_and_shared_names_are_noted() -> None:
    arrays = [pa.array([[{"a": 1}]]), pa.array(["x"]), pa.array(["y"]), pa.array(["z"])]
    table = opened(pa.Table.from_arrays(arrays, names=["nested", "text", "label", "text"]))

    assert list(table.rows([3, 2])) == [(1, ["z", "y"])]
    assert table.report.notes == ["2 columns are called 'text'."]


@pytest.mark.parametrize(
    ("array", "cells"),
    [
        (pa.array([1.0, None, 0.5]), ["1", None, "0.5"]),
        (pa.array([True, False]), [True, False]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array([b"ab ", b"abc"], pa.binary(3)), ["ab", "abc"]),
        (pa.array([b"a", b"b"], pa.binary_view()), ["a", "b"]),
        (pa.array(["1.50"]).cast(pa.decimal128(5, 2)), ["1.50"]),
        (pa.array([["a"], ["a", "b"]]), [["a"], ["a", "b"]]),
    ],
)
def test_cells_are_strings_as_stored(array: pa.Array, cells: list[object]) -> None:
    assert [row[0] for _, row in opened(pa.table({"a": array})).rows([0])] == cells


def test_an_unknown_time_zone_does_not_matter_in_a_column_that_is_not_read() -> None:
    when = pa.array([10**15], pa.timestamp("us", tz="Mars/Olympus"))

    assert list(opened(pa.table({"when": when, "text": ["a"]})).rows([1])) == [(1, ["a"])]


def test_class_ids_become_names_and_minus_one_no_label() -> None:
    features = {"info": {"features": {"label": {"names": ["neg", "pos"]}}}}
    table = pa.table({"label": [1, -1]}).replace_schema_metadata(
        {"huggingface": json.dumps(features)}
    )

    assert [row for _, row in opened(table).rows([0])] == [["pos"], [None]]


def test_bytes_that_are_not_utf_8_are_noted() -> None:
    table = opened(pa.table({"a": [b"caf\xe9"]}))

    assert list(table.rows([0])) == [(1, ["caf\ufffd"])]
    assert table.report.notes == ["Bytes in 'a' that are not UTF-8 could not be decoded."]


def test_a_structure_is_refused_by_its_name_and_type() -> None:
    with pytest.raises(DataError, match="column 'a' of a.parquet holds .* type struct"):
        list(opened(pa.table({"a": [{"b": 1}]})).rows([0]))


def test_a_damaged_file_is_refused() -> None:
    with pytest.raises(DataError, match="looks like Parquet but cannot be read"):
        open_parquet("a.parquet", lambda: io.BytesIO(b"PAR1PAR1"))
