"""Read CSV, TSV and other delimited text. Lines with the wrong number of cells are skipped and
counted.
"""

import csv
import sys
from collections import Counter
from collections.abc import Iterator
from io import StringIO
from pathlib import PurePath
from typing import Literal

import pandas as pd

from core.data.files.sniffing import (
    SEPARATORS,
    decode,
    find_encoding,
    find_separator,
    first_records,
    has_header,
)
from core.data.files.table import (
    MAX_ROWS,
    FileFormat,
    ReadOptions,
    SkippedLines,
    Table,
    check_shape,
    clean,
    unique_names,
)
from core.errors import DataError

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
