"""Read CSV, TSV and other delimited text. Lines that do not fit are left out and counted, never
guessed at.
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

NAMED_LINES = 5  # enough to find them
Record = tuple[int, list[str]]  # the number of its last line, its cells


def read_delimited(name: str, data: bytes, reading: ReadOptions) -> Table:
    """The rows of delimited text. Raises DataError where most lines do not fit, or a quote stays
    open.
    """
    encoding = reading.encoding or find_encoding(data)
    text = decode(name, data, encoding)
    suffix = PurePath(name).suffix.lower()
    plain = _unquoted(text) if not reading.quotes else text
    separator = reading.separator or find_separator(plain, suffix)
    header = (
        has_header(first_records(plain, separator)) if reading.header is None else reading.header
    )
    notes = ["Zero characters were taken out."] if "\0" in text else []
    notes += (
        ["Not every byte made sense; look for strange letters in the preview."]
        if encoding == "latin-1"
        else []
    )
    records = list(_records(name, text, separator, reading.quotes))
    if not records:
        raise DataError(f"{name} is empty.", "Choose a file that holds texts and labels.")
    width, names = _columns(name, records, header, notes)
    if len(records) == int(header):
        raise DataError(
            f"{name} has a header and no rows.",
            "Choose a file with rows, or say that it has no header.",
        )
    rows, skipped = _fitting(name, records[int(header) :], width, separator)
    frame = pd.DataFrame(
        [cells for _, cells in rows], columns=names, index=[line for line, _ in rows], dtype=object
    )
    found = FileFormat(name, "delimited", len(data), encoding, separator, header, tuple(notes))
    return Table(frame, found, skipped)


def _unquoted(text: str) -> str:
    return text.replace('"', "'")  # only to look at: the cells keep their quotes


def _records(name: str, text: str, separator: str, quotes: bool) -> Iterator[Record]:
    csv.field_size_limit(sys.maxsize)  # length is judged later, with a line number
    how: Literal[0, 3] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    reader = csv.reader(
        StringIO(clean(text), newline=""), delimiter=separator, quoting=how, strict=quotes
    )
    start = 1
    for number in range(MAX_ROWS + 2):
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _broken(name, start, error) from error
        if cells is None:
            return
        if number == 0:
            check_shape(name, len(cells))
        if any(cells):
            yield start, cells
        start = reader.line_num + 1
    check_shape(name, 0, MAX_ROWS + 1)


def _broken(name: str, line: int, error: csv.Error) -> DataError:
    if "unexpected end" in str(error):
        return DataError(
            f"{name}: a double quote opened in or after line {line:,} is never closed.",
            "Close it, write a quote inside a text twice, or read quotes as ordinary characters.",
        )
    return DataError(
        f"{name}, line {line:,}: the quotes do not fit ({error}).",
        "Put the whole text in quotes and write a quote inside it twice, or read quotes as ordinary"
        " characters.",
    )


def _columns(
    name: str, records: list[Record], header: bool, notes: list[str]
) -> tuple[int, list[str]]:
    """How many cells a row has, and the names of the columns."""
    if header:
        names = records[0][1]
    else:
        width = Counter(len(cells) for _, cells in records).most_common(1)[0][0]
        names = [f"column {place}" for place in range(1, width + 1)]
    check_shape(name, len(names))
    return len(names), unique_names(names, notes)


def _fitting(
    name: str, records: list[Record], width: int, separator: str
) -> tuple[list[Record], tuple[SkippedLines, ...]]:
    fitting = [(line, cells) for line, cells in records if len(cells) == width]
    others = [line for line, cells in records if len(cells) != width]
    if len(others) > len(fitting):
        line = others[0]
        cells = next(len(cells) for place, cells in records if place == line)
        fix = (
            "Choose another separator, or put texts that hold the separator, a quote or a line"
            " break in double quotes."
        )
        used = SEPARATORS.get(separator, repr(separator))
        raise DataError(
            f"{name}, line {line:,}: {cells} cells where {width} are expected, separated by"
            f" {used}.",
            fix,
        )
    if not others:
        return fitting, ()
    return fitting, (
        SkippedLines(
            "another number of cells than columns", len(others), tuple(others[:NAMED_LINES])
        ),
    )
