"""Files of at most 20 MB that would take much more memory or time when they are read."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

MEGABYTE = 10**6


def write_parquet(table: pa.Table, **options: object) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", **options)
    return buffer.getvalue()


def repeat_text(length: int, rows: int) -> bytes:
    """Return 1 GB of texts in some 40 KB: a long text, and row numbers that repeat it."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["word " * length])
    label = pa.DictionaryArray.from_arrays(pa.array([0, 1] * (rows // 2), pa.int32()), ["a", "b"])
    return write_parquet(pa.table({"text": text.dictionary_decode(), "label": label}))


def keep_dictionary(length: int, rows: int) -> bytes:
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * length])
    return write_parquet(pa.table({"text": text, "label": pa.array(["a", "b"] * (rows // 2))}))


def repeat_numbers(rows: int, columns: int) -> bytes:
    values = pa.array([7] * rows, pa.int64())
    return write_parquet(pa.table({f"c{number}": values for number in range(columns)}))


def repeat_nulls(rows: int, kind: pa.DataType) -> bytes:
    return write_parquet(pa.table({"text": pa.nulls(rows, kind), "label": pa.nulls(rows, kind)}))


def nest_lists(depth: int) -> bytes:
    kind: pa.DataType = pa.string()
    for _ in range(depth):
        kind = pa.list_(kind)
    return write_parquet(pa.table({"text": pa.nulls(10, kind), "label": pa.array(["a"] * 10)}))


def repeat_lists(length: int, rows: int) -> bytes:
    lists = pa.array([["word"] * length] * rows, pa.list_(pa.string()))
    return write_parquet(pa.table({"text": lists, "label": pa.array(["a", "b"] * (rows // 2))}))


def spread_columns(columns: int, rows: int) -> bytes:
    """Return JSON lines whose first row has every column; all others have one."""
    first = json.dumps({f"c{number}": "a" for number in range(columns)})
    return (first + "\n" + '{"c0":"b"}\n' * rows).encode()


def zip_files(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zip_zeros(name: str, size: int) -> bytes:
    return zip_files({name: bytes(size)})


def fill_cells(columns: int, rows: int) -> bytes:
    header = ",".join(f"c{number}" for number in range(columns))
    return f"{header}\n{(',' * (columns - 1) + chr(10)) * rows}".encode()


TABLES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "Parquet: a text of 1 KB a million times": ("a.parquet", partial(repeat_text, 200, 10**6)),
    "Parquet: a text of 1 MB a thousand times": ("a.parquet", partial(repeat_text, 200_000, 1000)),
    "Parquet: a dictionary column": ("a.parquet", partial(keep_dictionary, 100_000, 20_000)),
    "Parquet: rows without end": ("a.parquet", partial(repeat_numbers, 20_000_000, 2)),
    "Parquet: 900 columns": ("a.parquet", partial(repeat_numbers, 50_000, 900)),
    "Parquet: 20,000 columns": ("a.parquet", partial(repeat_numbers, 10, 20_000)),
    "Parquet: empty rows": ("a.parquet", partial(repeat_nulls, 30_000_000, pa.string())),
    "Parquet: rows of no type": ("a.parquet", partial(repeat_nulls, 30_000_000, pa.null())),
    "Parquet: nested lists": ("a.parquet", partial(nest_lists, 200)),
    "Parquet: long lists": ("a.parquet", partial(repeat_lists, 20_000, 400)),
    "Parquet named CSV": ("a.csv", partial(repeat_text, 200, 10**6)),
    "JSON: nested lists": ("a.json", lambda: b"[" * (19 * MEGABYTE)),
    "JSON: nested objects": ("a.jsonl", lambda: b'{"a":' * (3 * MEGABYTE)),
    "JSON: a column per field": ("a.jsonl", partial(spread_columns, 1000, 400_000)),
    "JSON: empty objects": ("a.json", lambda: b"[" + b"{}," * (6 * MEGABYTE) + b"{}]"),
    "JSON: fields without end": (
        "a.json",
        lambda: json.dumps([{str(number): 0} for number in range(MEGABYTE)]).encode(),
    ),
    "CSV: one cell of 19 MB": ("a.csv", lambda: b"text,label\n" + b"x" * (19 * MEGABYTE)),
    "CSV: a quote without end": (
        "a.csv",
        lambda: b'text,label\n"' + b"a,b\n" * (4 * MEGABYTE),
    ),
    "CSV: short rows": ("a.csv", lambda: b"text,label\n" + b"a,b\n" * (4_900_000)),
    "CSV: wide rows": ("a.csv", partial(fill_cells, 900, 20_000)),
    "CSV: empty columns": ("a.csv", lambda: b"," * (19 * MEGABYTE)),
    "CSV: blank lines": ("a.csv", lambda: b"text,label\n" + b"\n" * (19 * MEGABYTE)),
    "text: one letter a line": ("a.txt", lambda: b"a\n" * (9 * MEGABYTE)),
    "zip of zeros": ("a.csv", partial(zip_zeros, "train.csv", 300 * MEGABYTE)),
    "workbook": ("a.xlsx", partial(zip_zeros, "xl/worksheets/sheet1.xml", 300 * MEGABYTE)),
    "gzip of zeros": ("a.csv.gz", lambda: gzip.compress(bytes(300 * MEGABYTE))),
}
