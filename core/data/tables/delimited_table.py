"""Read CSV, TSV and other delimited text, row by row, with a report of every decision."""

import re
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from csv import field_size_limit
from dataclasses import dataclass, replace
from io import TextIOWrapper
from itertools import islice
from pathlib import PurePath
from typing import IO

from core.data.tables.dialect import (
    NAMES,
    SAMPLE_LINES,
    SEP_LINE,
    find_header,
    find_separator,
    find_title,
    find_width,
    trim,
)
from core.data.tables.exported_cells import read_exported
from core.data.tables.json_values import to_unicode
from core.data.tables.read_report import (
    NAMED_LINES,
    Dialect,
    EncodingChoice,
    HeaderChoice,
    ReadOptions,
    ReadReport,
    make_unique,
    name_lines,
)
from core.data.tables.record_parser import LineBuffer, QuoteReading, Record, read_records
from core.data.tables.text_encoding import ENCODINGS, JAVA_UTF8, find_text_encoding
from core.errors import DataError
from core.translation import mark

HEADER_RECORDS = 60
CHUNK_BYTES = 1 << 20
SHOWN_ROWS, SHOWN_CHARACTERS = 3, 60
RULE = re.compile(r"[-+|: =]*[+|][-+|: =]*")  # |---|:--:| or ---+---
RULE_LINES = 5
SINGLE_QUOTED = re.compile(r"'([^']|'')*'([,;\t|] ?'([^']|'')*')+;?")  # of all cells of a line
LABEL_PREFIX = "__label__"  # of fastText
LABELED = ("label", "text")
LABELED_SHARE = 0.5
USUALLY_QUOTED = 0.9  # proportion of lines with quotes around cells, where other quotes are errors
MISFIT = mark("wrong number of cells")
Opener = Callable[[], IO[bytes]]
Row = tuple[int, list[str]]  # line number, cells
Labels = dict[int, frozenset[str]]  # values by the number of the column


@dataclass(frozen=True, slots=True)
class DelimitedTable:
    """An opened table. ``rows`` reads it once more from the start, and fills ``report``."""

    name: str
    encoding: EncodingChoice
    dialect: Dialect
    header: HeaderChoice
    columns: tuple[str, ...]
    report: ReadReport
    open: Opener

    def rows(self) -> Iterator[Row]:
        """Yield the line number and the cells of each row that fits.

        Raises DataError at the end if no more rows fit than do not.
        """
        damaged: list[int] = []
        with closing(read_lines(self.name, self.open, self.encoding.name, damaged)) as lines:
            yield from self._fitting(LineBuffer(lines))
        if damaged:
            self.report.notes.append(f"NUL characters were removed in {name_lines(damaged)}.")

    def _fitting(self, buffer: LineBuffer) -> Iterator[Row]:
        width, report = len(self.columns), self.report
        buffer.skip(self.dialect.skipped)
        ordinary: list[int] = []
        misfits: list[Record] = []
        head: list[str] | None = None
        for record in read_records(buffer, self.dialect, width):
            if not record.cells:
                report.blank_lines.append(record.line)
                continue
            if self.header.present and head is None:
                head = record.cells
                continue
            if record.quotes is QuoteReading.ORDINARY:
                ordinary.append(record.line)
            cells = _fit(record.cells, width)
            if cells is None:
                misfits += [] if misfits else [record]
                report.leave_out(MISFIT, record.line)
            elif not any(cell.strip() for cell in cells):
                report.leave_out(mark("empty row"), record.line)
            elif self.header.certain and head == [cells[0].lstrip("\ufeff"), *cells[1:]]:
                report.leave_out(mark("header repeated"), record.line)
            else:
                report.rows_kept += 1
                yield record.line, cells
        if ordinary:
            report.notes.append(f"Double quotes are part of the texts in {name_lines(ordinary)}.")
        if misfits and report.count(MISFIT) >= report.rows_kept:
            raise self._misfit_error(misfits[0])

    def _misfit_error(self, first: Record) -> DataError:
        used = NAMES.get(self.dialect.separator, repr(self.dialect.separator))
        return DataError(
            f"{self.name}, line {first.line:,}: expected {len(self.columns)} cells separated by"
            f" {used}, found {len(first.cells)}.",
            "Choose another separator, or put texts that hold the separator, a quote or a line"
            " break in double quotes.",
        )


def open_delimited(name: str, opener: Opener, chosen: ReadOptions | None = None) -> DelimitedTable:
    """Detect how to read the file that ``opener`` opens. Raises DataError.

    The file is read twice: for its encoding and for its quotes.
    """
    field_size_limit(sys.maxsize)
    options = chosen or ReadOptions()
    report = ReadReport()
    encoding = _choose_encoding(name, opener, options)
    report.notes += encoding.notes
    sample = _read_sample(name, opener, encoding.name)
    _check_rules(name, sample)
    if chosen is None and _is_exported(name, opener, encoding.name, sample[0]):
        return _open_exported(name, opener, encoding, report)
    if not options.separator and is_labeled(sample):
        dialect = Dialect(" ", False, prefix=LABEL_PREFIX)
        header = HeaderChoice(False, f"its lines begin with {LABEL_PREFIX}")
        report.notes.append(f"Each line is a text after its label, which follows {LABEL_PREFIX}.")
        return DelimitedTable(name, encoding, dialect, header, LABELED, report, opener)
    separator, skipped = _read_sep_line(sample[0])
    sample = sample[skipped:]
    suffix = PurePath(name).suffix.lower()
    separator = options.separator or separator or find_separator(sample, suffix)
    width, before = find_width(sample, separator)
    for line in range(skipped + 1, skipped + before + 1):
        if sample[line - skipped - 1].strip():
            report.leave_out(mark("before the table"), line)
    dialect = Dialect(separator, options.quotes is not False, skipped + before)
    if options.quotes is None:
        labels = _find_labels(sample[before:], separator, width)
        dialect = _decide_quotes(name, opener, encoding.name, dialect, (width, labels), report)
    records = _first_records(name, opener, encoding.name, dialect, width)
    if not records:
        raise DataError(f"{name} is empty.", "Choose a file that holds texts and labels.")
    if title := find_title([record.cells for record in records]):
        for record in records[:title]:
            report.leave_out(mark("before the table"), record.line)
        records = records[title:]
        dialect = replace(dialect, skipped=records[0].line - 1)
    header = (
        find_header([record.cells for record in records])
        if options.header is None
        else HeaderChoice(options.header, "it was chosen")
    )
    columns = _name_columns(records, header, report)
    if header.present and not header.certain:
        names = ", ".join(map(repr, columns[:NAMED_LINES]))
        report.notes.append(f"Line {records[0].line} was read as the header: {names}.")
    return DelimitedTable(name, encoding, dialect, header, columns, report, opener)


def _read_sep_line(line: str) -> tuple[str, int]:
    """Return the separator that a line ``sep=;`` names, and the number of such lines."""
    match = SEP_LINE.fullmatch(line.strip("\ufeff\r\n"))
    return (match[1], 1) if match else ("", 0)


def _check_rules(name: str, sample: Sequence[str]) -> None:
    """Raise DataError if lines are drawn between the rows, as in Markdown and database shells, or
    if single quotes enclose all cells.
    """
    for number, line in enumerate(sample[:RULE_LINES], 1):
        if RULE.fullmatch(line.strip()) and "--" in line:
            raise DataError(
                f"{name}, line {number}: the table is drawn with lines, as in Markdown.",
                "Save it as CSV: one row per line, and separators only between cells.",
            )
    filled = [line for line in sample if line.strip()]
    if len(filled) > 1 and all(map(SINGLE_QUOTED.fullmatch, filled)):
        raise DataError(
            f"{name}, line 1: the cells are in single quotes, as in SQL.",
            "Save the table with double quotes, or none, around its cells.",
        )


def is_labeled(lines: Sequence[str]) -> bool:
    """Whether most lines begin with labels, as fastText reads them."""
    filled = [line for line in lines if line.strip()]
    marked = [line for line in filled if re.match(rf"\ufeff?{LABEL_PREFIX}\S", line)]
    return len(marked) > LABELED_SHARE * len(filled)


def _choose_encoding(name: str, opener: Opener, chosen: ReadOptions) -> EncodingChoice:
    if chosen.encoding:
        return EncodingChoice(chosen.encoding)
    with opener() as file:
        return find_text_encoding(name, file)


def _is_exported(name: str, opener: Opener, encoding: str, first: str) -> bool:
    """Whether this app wrote the whole file, which begins with a mark and a quoted header."""
    if encoding != "utf-8-sig" or not first.startswith('"'):
        return False
    with closing(read_lines(name, opener, encoding)) as lines:
        try:
            return sum(1 for _ in read_exported(lines)) > 1
        except ValueError:
            return False


def _open_exported(
    name: str, opener: Opener, encoding: EncodingChoice, report: ReadReport
) -> DelimitedTable:
    """Open a file that this app wrote: its cells are not escaped in the rows."""
    dialect = Dialect(",", exported=True)
    header = HeaderChoice(True, "this app wrote the file")
    records = _first_records(name, opener, encoding.name, dialect, 0)
    columns = make_unique(records[0].cells, report)
    return DelimitedTable(name, encoding, dialect, header, columns, report, opener)


def read_lines(
    name: str, opener: Opener, encoding: str, damaged: list[int] | None = None
) -> Generator[str]:
    """Yield lines with their ends: LF, CRLF or LFCR, or CR where the file has nothing else.

    With ``damaged``, which gets the numbers of their lines, NUL characters are removed. Halves of
    characters in UTF-8 become �. Raises DataError where ``encoding`` does not decode the file.
    """
    with opener() as file:
        newline = "\n" if any(b"\n" in chunk for chunk in _chunks(file)) else "\r"
    number, previous = 0, ""
    errors = JAVA_UTF8 if encoding.startswith("utf-8") else "strict"
    try:
        with (
            opener() as file,
            TextIOWrapper(file, encoding, errors=errors, newline=newline) as text,
        ):
            for number, line in enumerate(text, 1):
                if damaged is not None and "\0" in line:
                    line = line.replace("\0", "")
                    damaged.append(number)
                content = line.lstrip("\ufeff") if number == 1 else line
                if content.startswith("\r") and previous.endswith("\n"):
                    content = content.removeprefix("\r") if previous[-2:] != "\r\n" else content
                previous = line
                if content:
                    yield to_unicode(content)
    except LookupError as error:
        raise DataError(
            f"There is no encoding {encoding!r}.", "Choose another encoding."
        ) from error
    except UnicodeError as error:
        raise DataError(
            f"{name} is not {ENCODINGS.get(encoding, encoding)} after line {number:,}.",
            "Choose another encoding, or save it as UTF-8.",
        ) from error


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _read_sample(name: str, opener: Opener, encoding: str) -> list[str]:
    with closing(read_lines(name, opener, encoding)) as lines:
        sample = [line.rstrip("\r\n") for line in islice(lines, SAMPLE_LINES)]
    if not any(line.strip("\0 \t") for line in sample):
        raise DataError(f"{name} is empty.", "Choose a file that holds texts and labels.")
    return sample


def _decide_quotes(
    name: str,
    opener: Opener,
    encoding: str,
    dialect: Dialect,
    shape: tuple[int, Labels],
    report: ReadReport,
) -> Dialect:
    """Read quotes as ordinary characters in the whole file if no record needs enclosing ones.

    If every record has the right width with enclosing quotes, and some only so, quotes enclose.
    So they do if they join lines whose labels occur nowhere else, or enclose every cell of the
    first line, or cells of nearly all lines. ``shape`` is the width of the table and its labels.

    Raises DataError if some records need them, some exclude them, and others join lines that are
    rows on their own.
    """
    width, labels = shape
    readings: Counter[QuoteReading] = Counter()
    first: dict[QuoteReading, Record] = {}
    with closing(read_lines(name, opener, encoding)) as lines:
        buffer = LineBuffer(lines)
        buffer.skip(dialect.skipped)
        head = (buffer.peek(0) or "").strip().split(dialect.separator)
        for record in read_records(buffer, dialect, width):
            readings[record.quotes] += bool(record.cells)
            first.setdefault(record.quotes, record)
    ambiguous = first.get(QuoteReading.AMBIGUOUS)
    excluded = first.get(QuoteReading.ORDINARY)
    rows: list[str] = []
    if ambiguous:
        last = ambiguous.line + ambiguous.lines - 1
        with closing(read_lines(name, opener, encoding)) as lines:
            rows = [line.rstrip("\r\n") for line in islice(lines, ambiguous.line - 1, last)]
    enclosed = len(head) == width and all(cell[:1] == cell[-1:] == '"' for cell in head)
    joined = bool(labels) and not _have_labels(rows, dialect, labels)
    usual = readings[QuoteReading.ENCLOSING] >= USUALLY_QUOTED * readings.total()
    if not (ambiguous and excluded) and ((ambiguous and (enclosed or joined)) or usual):
        readings[QuoteReading.NEEDED] += 1
    if ambiguous and excluded and readings[QuoteReading.NEEDED]:
        raise DataError(
            f"{name}, line {ambiguous.line:,}: a double quote joins the lines to {last:,} into one"
            " text, but each of them is a row on its own."
            f" {_show_readings(ambiguous, rows, dialect.separator)}",
            "Choose whether double quotes enclose texts (on the command line --quotes, or"
            " --no-quotes for rows).",
        )
    against = ambiguous or excluded
    if against and not readings[QuoteReading.NEEDED]:
        report.notes.append(
            f"Double quotes are part of the texts: line {against.line:,} has one that encloses"
            " nothing."
        )
        return replace(dialect, quotes=False)
    if ambiguous:
        report.notes.append(
            f"Lines {ambiguous.line:,} to {last:,} are one text in double quotes"
            f" (texts like this: {readings[QuoteReading.AMBIGUOUS]:,})."
        )
    return dialect


def _find_labels(lines: Sequence[str], separator: str, width: int) -> Labels:
    """Return the columns that repeat their values most in lines without quotes, and the values."""
    records = [line.split(separator) for line in lines if '"' not in line]
    columns = list(zip(*(cells for cells in records if len(cells) == width), strict=True))
    values = list(map(frozenset, columns))
    fewest = min(map(len, values), default=0)
    return {
        number: repeated
        for number, repeated in enumerate(values)
        if len(repeated) == fewest < len(columns[number])
    }


def _have_labels(rows: Sequence[str], dialect: Dialect, labels: Labels) -> bool:
    """Whether the cells of the lines in one of the columns of ``labels`` are among its values."""
    records = [row.split(dialect.separator) for row in rows]
    return any(
        all(cells[column] in values for cells in records) for column, values in labels.items()
    )


def _first_records(
    name: str, opener: Opener, encoding: str, dialect: Dialect, width: int
) -> list[Record]:
    with closing(read_lines(name, opener, encoding)) as lines:
        buffer = LineBuffer(lines)
        buffer.skip(dialect.skipped)
        records = (record for record in read_records(buffer, dialect, width) if record.cells)
        return list(islice(records, HEADER_RECORDS))


def _name_columns(
    records: list[Record], header: HeaderChoice, report: ReadReport
) -> tuple[str, ...]:
    """Return unique names, as many as most rows have cells."""
    common = Counter(len(record.cells) for record in records).most_common(1)[0][0]
    if not header.present:
        return tuple(f"column {number}" for number in range(1, common + 1))
    rows = [record.cells for record in records[1:]]
    names = [" ".join(cell.replace("\0", "").split()) for cell in records[0].cells]
    trimmed = trim(names)
    if all(_fit(cells, len(trimmed)) is not None for cells in rows):
        names = trimmed
    elif rows and all(len(cells) == len(names) + 1 and cells[0].isdigit() for cells in rows):
        names = ["row name", *names]
        report.notes.append("The first column has no name: the header is one cell short.")
    return make_unique(names, report)


def _fit(cells: list[str], width: int) -> list[str] | None:
    """Return ``width`` cells, without empty ones beyond them; None if there are others."""
    if len(cells) == width:
        return cells
    if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
        return cells[:width]
    return None


def _show_readings(record: Record, rows: Sequence[str], separator: str) -> str:
    """Show the first cell that holds a line break, and the rows that the same lines may be."""
    joined = next(cell for cell in record.cells if "\n" in cell or "\r" in cell)
    listed = ", ".join(repr(_shorten(row.split(separator)[0])) for row in rows[:SHOWN_ROWS])
    more = ", …" if len(rows) > SHOWN_ROWS else ""
    return f"Either one text: {_shorten(joined)!r}; or {len(rows):,} rows: {listed}{more}."


def _shorten(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
