"""Read an uploaded table: CSV, TSV, JSON lines or Parquet, detected by content and not by name.

No content of a file is ever executed. Lines that do not fit are skipped and counted.
"""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path, PurePath
from typing import Any, Literal

import pandas as pd

from core.data.files.sniffing import (
    SEPARATORS,
    decode,
    find_encoding,
    find_format,
    find_separator,
    first_records,
    has_header,
)
from core.data.files.table import (
    MAX_COLUMNS,
    MAX_ROWS,
    FileFormat,
    ReadOptions,
    SkippedLines,
    Table,
    check_shape,
    check_size,
    clean,
    unique_names,
)
from core.errors import DataError


def read_table(name: str, data: bytes, reading: ReadOptions | None = None) -> Table:
    """Read ``data``, the content of a file called ``name``. Raises DataError if it is not a
    table.
    """
    check_size(name, len(data))
    options = reading or ReadOptions()
    match find_format(name, data):
        case "Parquet":
            return read_parquet_rows(name, data)
        case "JSON lines":
            return read_json_rows(name, data, options)
        case _:
            return read_delimited(name, data, options)


def read_file(path: Path) -> bytes:
    """Read the file at ``path`` if its size is within the limit. Raises DataError."""
    path = path.expanduser()
    if not path.is_file():
        problem = (
            "is a folder"
            if path.is_dir()
            else "does not exist"
            if not path.exists()
            else "is not a regular file"
        )
        raise DataError(
            f"{path} {problem}.", "Give the path of one file: CSV, TSV, JSON lines or Parquet."
        )
    check_size(path.name, path.stat().st_size)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}).", "Check its permissions."
        ) from error


NAMED_LINES = 5
Record = tuple[int, list[str]]  # line number, cells


def read_delimited(name: str, data: bytes, reading: ReadOptions) -> Table:
    """Read the rows of delimited text. Raises DataError if most lines do not fit or a quote is
    never closed.
    """
    encoding = reading.encoding or find_encoding(data)
    text = decode(name, data, encoding)
    suffix = PurePath(name).suffix.lower()
    sample = _replace_quotes(text) if not reading.quotes else text
    separator = reading.separator or find_separator(sample, suffix)
    header = (
        has_header(first_records(sample, separator)) if reading.header is None else reading.header
    )
    notes = ["NUL characters were removed."] if "\0" in text else []
    notes += (
        ["Some bytes could not be decoded; look for wrong characters in the preview."]
        if encoding == "latin-1"
        else []
    )
    records = list(_read_records(name, text, separator, reading.quotes))
    if not records:
        raise DataError(f"{name} is empty.", "Choose a file that holds texts and labels.")
    width, names = _name_columns(name, records, header, notes)
    if len(records) == int(header):
        raise DataError(
            f"{name} has a header and no rows.",
            "Choose a file with rows, or turn off the header.",
        )
    rows, skipped = _split_by_width(name, records[int(header) :], width, separator)
    frame = pd.DataFrame(
        [cells for _, cells in rows], columns=names, index=[line for line, _ in rows], dtype=object
    )
    file_format = FileFormat(
        name, "delimited", len(data), encoding, separator, header, tuple(notes)
    )
    return Table(frame, file_format, skipped)


def _replace_quotes(text: str) -> str:
    return text.replace('"', "'")  # for detection only: the cells keep their quotes


def _read_records(name: str, text: str, separator: str, quotes: bool) -> Iterator[Record]:
    csv.field_size_limit(sys.maxsize)  # checked later, where the line number is known
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(
        StringIO(clean(text), newline=""), delimiter=separator, quoting=quoting, strict=quotes
    )
    start = 1
    for number in range(MAX_ROWS + 2):
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _quote_error(name, start, error) from error
        if cells is None:
            return
        if number == 0:
            check_shape(name, len(cells))
        if any(cells):
            yield start, cells
        start = reader.line_num + 1
    check_shape(name, 0, MAX_ROWS + 1)


def _quote_error(name: str, line: int, error: csv.Error) -> DataError:
    if "unexpected end" in str(error):
        return DataError(
            f"{name}: a double quote opened in or after line {line:,} is never closed.",
            "Close it, double each quote inside a text, or read quotes as ordinary characters.",
        )
    return DataError(
        f"{name}, line {line:,}: invalid quotes ({error}).",
        "Quote the whole text and double each quote inside it, or read quotes as ordinary"
        " characters.",
    )


def _name_columns(
    name: str, records: list[Record], header: bool, notes: list[str]
) -> tuple[int, list[str]]:
    """Return the number of columns and their names."""
    if header:
        names = records[0][1]
    else:
        width = Counter(len(cells) for _, cells in records).most_common(1)[0][0]
        names = [f"column {number}" for number in range(1, width + 1)]
    check_shape(name, len(names))
    return len(names), unique_names(names, notes)


def _split_by_width(
    name: str, records: list[Record], width: int, separator: str
) -> tuple[list[Record], tuple[SkippedLines, ...]]:
    fitting = [(line, cells) for line, cells in records if len(cells) == width]
    others = [line for line, cells in records if len(cells) != width]
    if len(others) > len(fitting):
        line = others[0]
        cells = next(len(cells) for number, cells in records if number == line)
        fix = (
            "Choose another separator, or put texts that hold the separator, a quote or a line"
            " break in double quotes."
        )
        used = SEPARATORS.get(separator, repr(separator))
        raise DataError(
            f"{name}, line {line:,}: expected {width} cells separated by {used}, found {cells}.",
            fix,
        )
    if not others:
        return fitting, ()
    return fitting, (
        SkippedLines("wrong number of cells", len(others), tuple(others[:NAMED_LINES])),
    )


EXAMPLE = 'Write one object per line, for example {"text": "…", "label": "…"}.'


def read_json_rows(name: str, data: bytes, reading: ReadOptions) -> Table:
    """Read one row per object; lines without an object are skipped and counted. Raises DataError if
    most are.
    """
    encoding = reading.encoding or find_encoding(data)
    text = decode(name, data, encoding)
    objects: dict[int, dict[str, object]] = {}
    broken: list[int] = []
    columns: dict[str, None] = {}
    for line, value in _read_values(name, text):
        if isinstance(value, dict):
            objects[line] = value
            columns |= dict.fromkeys(value)
            if len(columns) > MAX_COLUMNS:
                check_shape(name, len(columns))
        else:
            broken.append(line)
        check_shape(name, 0, len(objects) if len(objects) > MAX_ROWS else 0)
    if not objects or len(broken) > len(objects):
        where = f", line {broken[0]:,}," if broken else ""
        raise DataError(
            f"{name}{where} is not a JSON object." if broken else f"{name} has no rows.", EXAMPLE
        )
    notes: list[str] = []
    usable = [key for key in columns if not _is_nested(objects, key, notes)]
    if not usable:
        raise DataError(f"{name} contains only lists and objects.", EXAMPLE)
    cells = {
        unique: [_to_cell(row.get(key)) for row in objects.values()]
        for key, unique in zip(usable, unique_names(usable, notes), strict=True)
    }
    skipped = (
        (SkippedLines("not a JSON object", len(broken), tuple(broken[:NAMED_LINES])),)
        if broken
        else ()
    )
    frame = pd.DataFrame(cells, index=list(objects), dtype=object)
    return Table(
        frame, FileFormat(name, "JSON lines", len(data), encoding, notes=tuple(notes)), skipped
    )


def _read_values(name: str, text: str) -> Iterator[tuple[int, object]]:
    if text.lstrip()[:1] == "[":
        values = _parse(text)
        if not isinstance(values, list):
            raise DataError(f"{name} is not a complete JSON list.", EXAMPLE)
        yield from enumerate(values, 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _parse(line)


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    # invalid JSON, a number with thousands of digits, or too deeply nested brackets
    except (ValueError, RecursionError):
        return None


def _is_nested(objects: dict[int, dict[str, object]], key: str, notes: list[str]) -> bool:
    nested = any(isinstance(row.get(key), (dict, list)) for row in objects.values())
    if nested:
        notes.append(f"The field {clean(key)[:80]!r} contains lists or objects and cannot be used.")
    return nested


def _to_cell(value: object) -> str | None:
    if value is None or value != value:  # NaN, which Python's reader accepts
        return None
    return clean(value) if isinstance(value, str) else json.dumps(value)


BATCH_ROWS = 1000
MAX_UNPACKED = 1_000_000_000  # bytes: a small file can unpack to a very large table


def read_parquet_rows(name: str, data: bytes) -> Table:
    """Read the rows of a Parquet file; columns of lists, structures or bytes are left out. Raises
    DataError.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes half a second, and only these files need it
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        schema = file.schema_arrow
        check_shape(name, len(schema.names), file.metadata.num_rows)
        usable = [field.name for field in schema if _holds_values(field.type)]
        notes = [
            f"The column {clean(n)[:80]!r} has no plain values and cannot be used."
            for n in schema.names
            if n not in usable
        ]
        columns = _read_columns(name, file, usable[:MAX_COLUMNS])
        names = _read_class_names(schema.metadata)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(
            f"{name} looks like Parquet but cannot be read: {reason}.",
            "Export it again, or save the table as CSV.",
        ) from error
    if not columns or not file.metadata.num_rows:
        raise DataError(
            f"{name} has no rows of plain values.", "Choose a file with texts and labels."
        )
    new_names = unique_names(list(columns), notes)
    cells = {
        new: _to_strings(columns[old], names.get(old, ()))
        for old, new in zip(columns, new_names, strict=True)
    }
    frame = pd.DataFrame(cells, dtype=object)
    frame.index += 1
    return Table(frame, FileFormat(name, "Parquet", len(data), notes=tuple(notes)))


def _holds_values(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - as above

    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return not (
        pa.types.is_nested(value)
        or pa.types.is_binary(value)
        or pa.types.is_large_binary(value)
        or pa.types.is_null(value)
    )


def _read_columns(name: str, file: Any, usable: list[str]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {column: [] for column in usable}
    unpacked = 0
    for batch in file.iter_batches(BATCH_ROWS, columns=usable):
        unpacked += batch.nbytes
        if unpacked > MAX_UNPACKED:
            raise DataError(
                f"{name} unpacks to more than {MAX_UNPACKED / 1e9:.0f} GB.",
                "Use a sample, and only the columns you need.",
            )
        for number, column in enumerate(batch.schema.names):
            columns[column] += batch.column(number).to_pylist()
    return columns


def _read_class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Return the class names of each ClassLabel column."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in features.items()
            if "names" in feature
        }
    # without valid metadata only the ids are known
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _to_strings(values: list[object], names: Sequence[str]) -> list[str | None]:
    def text(value: object) -> str | None:
        if value is None or value != value:
            return None
        if names and isinstance(value, int):
            return (
                names[value] if 0 <= value < len(names) else None
            )  # -1 marks rows without a label
        return clean(str(value)) if not isinstance(value, bool) else str(value).lower()

    return [text(value) for value in values]
