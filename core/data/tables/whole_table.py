"""Read a file with every one of its rows, for answers that stand next to their row.

Unlike the other readers, this one leaves no row out and converts no cell. A row that cannot be read
keeps its place, with the reason and its line as it is written.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Literal, TypeAlias

from core.data.tables.delimited_table import (
    DelimitedTable,
    Opener,
    is_labeled,
    open_delimited,
    read_lines,
)
from core.data.tables.dialect import SEP_LINE, find_header
from core.data.tables.json_table import EXAMPLE
from core.data.tables.json_values import (
    Json,
    JsonObject,
    JsonReader,
    find_rows,
    replace_surrogates,
    to_unicode,
    write_json,
)
from core.data.tables.labeling_exports import flatten
from core.data.tables.parquet_table import (
    PARQUET_MAGIC,
    check_parquet_extent,
    open_parquet,
    read_class_names,
)
from core.data.tables.read import START_BYTES, check_binary, check_text
from core.data.tables.read_report import (
    EncodingChoice,
    HeaderChoice,
    ReadOptions,
    ReadReport,
    describe_renamed,
    make_unique,
)
from core.data.tables.record_parser import LineBuffer, Record, read_records
from core.data.tables.table import (
    JSON_SUFFIXES,
    MAX_CELLS_OF_PATH,
    ServerLimits,
    check_frame,
    explain_too_large,
    is_small_text,
)
from core.data.tables.text_encoding import find_text_encoding
from core.errors import DataError, NotEnoughRoom
from core.storage.resources import call_limited
from core.translation import mark

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TableFormat: TypeAlias = Literal["delimited", "lines", "JSON", "Parquet"]
TEXT_SUFFIXES = (".txt", ".text")
MAX_UNPACKED = 1_000_000_000  # bytes: a small Parquet file can unpack to a very large table
SAMPLE_ROWS = 60
FIRST_TEXT = mark("it may be the first text")
TEXT_NAMES = ("text", "sentence", "review", "content", "body", "message", "comment", "tweet")


@dataclass(frozen=True, eq=False)
class WholeTable:
    """All rows of a file.

    Args:
        name: Name of the file.
        format: Format of its content, whatever the name ends in.
        frame: Cells by column: as written; JSON for files of JSON, None where a row has no such
            field; the columns of a Parquet file with their types.
        problems: Why a row cannot be read, by its position.
        originals: The line of such a row as it is written, by its position.
        header: Whether the first row names the columns; None if the format has no such row.
        encoding: Codec of text files.
        separator: Separator of delimited text.
        class_names: Names of class ids, by column, as Hugging Face ``datasets`` stores them.
        notes: Sentences about decisions and changes.
    """

    name: str
    format: TableFormat
    frame: "pd.DataFrame" = field(repr=False)
    problems: dict[int, str] = field(default_factory=dict)
    originals: dict[int, str] = field(default_factory=dict)
    header: HeaderChoice | None = None
    encoding: str = ""
    separator: str = ""
    class_names: dict[str, list[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_json(self) -> bool:
        """Whether the cells are JSON."""
        return self.format == "JSON"

    @property
    def columns(self) -> list[str]:
        """Column names."""
        return [str(name) for name in self.frame.columns]


def read_whole(name: str, data: bytes, chosen: ReadOptions | None = None) -> WholeTable:
    """Read ``data``, the content of the file ``name``. Raises DataError if it is no table."""
    if not data.strip(b"\0\t\r\n \xef\xbb\xbf"):
        raise DataError(f"{name} is empty.", "Choose a file that holds texts.")
    check_binary(name, data[:START_BYTES])
    if data.startswith(PARQUET_MAGIC):
        return _read_parquet(name, data)
    suffix = PurePath(name).suffix.lower()
    if suffix not in TEXT_SUFFIXES:  # a list of texts may begin with anything
        check_text(name, data[:START_BYTES])

    def opener() -> io.BytesIO:
        return io.BytesIO(data)

    options = chosen or ReadOptions()
    if suffix in JSON_SUFFIXES or (suffix not in TEXT_SUFFIXES and _is_json(data)):
        return _read_json(name, opener, options)
    if suffix in TEXT_SUFFIXES and not options.separator:
        table = _read_text_lines(name, opener, options)
    else:
        table = _read_delimited(name, opener, options)
    if not len(table.frame):
        raise DataError(
            f"{name} has a header and no rows.", "Choose a file with rows, or turn off the header."
        )
    return table


def read_whole_for_server(name: str, data: bytes, chosen: ReadOptions | None = None) -> WholeTable:
    """Read a file as ``read_whole`` does, in a process of limited memory unless it is small.

    Raises DataError.
    """
    if is_small_text(name, data):
        return read_whole(name, data, chosen)
    limits = ServerLimits.of(data, len(data))
    try:
        return call_limited(limits.call, _read_within, limits, name, data, chosen)
    except NotEnoughRoom as error:
        raise explain_too_large(name) from error


def _read_within(
    limits: ServerLimits, name: str, data: bytes, chosen: ReadOptions | None
) -> WholeTable:
    limits.check_ends(data)
    check_parquet_extent(name, data, limits)
    table = read_whole(name, data, chosen)
    check_frame(limits, table.frame)
    return table


def _is_json(data: bytes) -> bool:
    """Whether the first line, or the whole file, is a JSON object or a list of them."""
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not start.startswith((b"{", b"[")):
        return False
    for text in (start.partition(b"\n")[0], start):
        try:
            value = json.loads(text)
        # no JSON, in another encoding, or nested too deeply
        except (ValueError, RecursionError):
            continue
        return isinstance(value, dict) or find_rows(value) is not None
    return False


@dataclass(slots=True)
class _Rows:
    """Rows that are being collected."""

    width: int
    cells: list[list[str]] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    originals: dict[int, str] = field(default_factory=dict)

    def add(self, cells: Sequence[str], problem: str = "", original: str = "") -> None:
        """Add a row; missing cells are empty, and cells beyond the width only in ``original``."""
        if problem:
            self.problems[len(self.cells)] = problem
            self.originals[len(self.cells)] = original
        self.cells.append([*cells[: self.width], *[""] * (self.width - len(cells))])

    def to_frame(self, columns: Sequence[str]) -> "pd.DataFrame":
        import pandas as pd  # noqa: PLC0415 - the command line also runs without tables

        return pd.DataFrame(self.cells, columns=list(columns), dtype="str")


class _Recorder(LineBuffer):
    """A line buffer that records the lines of the current row."""

    def __init__(self, lines: Iterator[str]) -> None:
        super().__init__(lines)
        self._recorded: list[str] = []

    def next(self) -> str | None:
        line = super().next()
        if line is not None:
            self._recorded.append(line)
        return line

    def take(self) -> str:
        """Return the lines since the last call, without the last line's end."""
        text = "".join(self._recorded)
        self._recorded.clear()
        return text.rstrip("\r\n")


def _read_delimited(name: str, opener: Opener, options: ReadOptions) -> WholeTable:
    table = _open(name, opener, options)
    rows = _Rows(len(table.columns))
    notes = [note for note in table.report.notes if not note.startswith("Double quotes are part")]
    notes += [
        f"The column {position} has no name; it is called {column!r}."
        for position, column in enumerate(table.columns, 1)
        if table.header.present and column == f"column {position}"
    ]
    with closing(read_lines(name, opener, table.encoding.name)) as lines:
        buffer = _Recorder(lines)
        skipped = _skip_preamble(buffer, table, rows)
        notes += [f"The lines before the table are no rows: {skipped:,}."] if skipped else []
        blank = _collect(buffer, table, rows)
    notes += [f"Blank lines at the end are no rows: {blank:,}."] if blank else []
    return WholeTable(
        name,
        "delimited",
        rows.to_frame(table.columns),
        rows.problems,
        rows.originals,
        table.header,
        table.encoding.name,
        table.dialect.separator,
        notes=tuple(notes),
    )


def _open(name: str, opener: Opener, options: ReadOptions) -> DelimitedTable:
    """Open delimited text; of a list of texts, the first line is a header only if it is certain,
    and quotes enclose texts of several lines if every line agrees.
    """
    table = open_delimited(name, opener, options if options != ReadOptions() else None)
    if len(table.columns) > 1 or table.dialect.exported:
        return table
    if options.quotes is None and _are_quoted(name, opener, table):
        options = replace(options, quotes=True)
        table = open_delimited(name, opener, options)
    if table.header.present and not table.header.certain:
        table = open_delimited(name, opener, replace(options, header=False))
        table = replace(table, header=HeaderChoice(False, FIRST_TEXT, certain=False))
    return table


def _are_quoted(name: str, opener: Opener, table: DelimitedTable) -> bool:
    """Whether all lines are CSV of one column, with a text of several lines among them."""
    with closing(read_lines(name, opener, table.encoding.name)) as lines:
        buffer = LineBuffer(lines)
        buffer.skip(table.dialect.skipped)
        try:
            records = list(csv.reader(iter(buffer.next, None), strict=True))
        except csv.Error:
            return False
    return all(len(cells) < 2 for cells in records) and len(records) < buffer.number


def _skip_preamble(buffer: _Recorder, table: DelimitedTable, rows: _Rows) -> int:
    """Skip the lines before a header, and return their number; without one they are rows."""
    skipped = 0
    for number in range(table.dialect.skipped):
        buffer.skip(1)
        line = buffer.take()
        if number == 0 and SEP_LINE.fullmatch(line.strip("\ufeff")):
            continue
        if table.header.present:
            skipped += 1
        else:
            rows.add([], f"unreadable: 1 cell instead of {rows.width}" if line else "", line)
    return skipped


def _collect(buffer: _Recorder, table: DelimitedTable, rows: _Rows) -> int:
    """Add all records, and return the number of blank lines at the end that are no rows."""
    blank, head = 0, None
    for record in read_records(buffer, table.dialect, rows.width):
        original = buffer.take()
        if table.header.present and head is None:
            head = record.cells if record.cells else None
            continue
        if not record.cells and rows.width > 1:
            blank += 1  # a row if another one follows
            continue
        for _ in range(blank):
            rows.add([])
        blank = 0
        if rows.width > 1 and record.cells == head and table.header.certain:
            rows.add(record.cells, "the header again", original)
        else:
            _add_record(rows, record, original, table.dialect.exported)
    return blank


def _add_record(rows: _Rows, record: Record, original: str, exported: bool) -> None:
    cells = record.cells
    while len(cells) > rows.width and not cells[-1].strip():
        cells = cells[:-1]
    if rows.width == 1 and len(cells) != 1 and not exported:
        cells = [original]  # a separator in a list of texts is part of a text
    if len(cells) == rows.width:
        rows.add(cells)
        return
    noun = "cell" if len(cells) == 1 else "cells"
    rows.add(cells, f"unreadable: {len(cells):,} {noun} instead of {rows.width:,}", original)


def _read_text_lines(name: str, opener: Opener, options: ReadOptions) -> WholeTable:
    """Read one text per line, unless tabs separate every line into as many cells."""
    encoding = _find_encoding(name, opener, options)
    with closing(read_lines(name, opener, encoding.name)) as lines:
        texts = [line.rstrip("\r\n") for line in lines]
    if is_labeled(texts[:SAMPLE_ROWS]):
        return _read_delimited(name, opener, options)
    widths = {line.count("\t") for line in texts if line.strip()}
    if len(widths) == 1 and widths != {0}:
        return _read_delimited(name, opener, replace(options, separator="\t"))
    header = HeaderChoice(options.header is True, mark("it was chosen"))
    if options.header is None:
        header = find_header([[text] for text in texts[:SAMPLE_ROWS]])
        header = header if header.certain else HeaderChoice(False, FIRST_TEXT, certain=False)
    rows = _Rows(1)
    for text in texts[header.present :]:
        rows.add([text])
    columns = (" ".join(texts[0].split()) or "text",) if header.present else ("text",)
    frame, notes = rows.to_frame(columns), tuple(encoding.notes)
    return WholeTable(name, "lines", frame, header=header, encoding=encoding.name, notes=notes)


def _find_encoding(name: str, opener: Opener, options: ReadOptions) -> EncodingChoice:
    if options.encoding:
        return EncodingChoice(options.encoding)
    with opener() as file:
        return find_text_encoding(name, file)


NOT_OBJECT = "unreadable: not a JSON object"


def _read_json(name: str, opener: Opener, options: ReadOptions) -> WholeTable:
    import pandas as pd  # noqa: PLC0415 - as above

    encoding = _find_encoding(name, opener, options)
    reader, report = JsonReader(), ReadReport()
    columns: dict[str, None] = {}
    rows: list[JsonObject] = []
    problems: dict[int, str] = {}
    originals: dict[int, str] = {}
    damaged = 0
    renamed: dict[str, str] = {}
    for value, original in _read_values(name, opener, encoding.name, reader, renamed):
        if isinstance(value, dict):
            fields = {**flatten(value), **value}
            whole = {to_unicode(key): cell for key, cell in fields.items()}
            whole = {key: replace_surrogates(cell) for key, cell in whole.items()}
            damaged += whole != fields
            columns |= dict.fromkeys(whole)
            rows.append(whole)
        else:
            problems[len(rows)], originals[len(rows)] = NOT_OBJECT, original
            rows.append({})
    if len(problems) == len(rows) or not columns:
        raise DataError(f"{name} holds no JSON objects.", EXAMPLE)
    notes = encoding.notes + describe_renamed(renamed)
    if damaged:
        notes.append(f"Unpaired surrogates were replaced by � in rows: {damaged:,}.")
    if reader.duplicates:
        names = ", ".join(map(repr, reader.duplicates))
        notes.append(f"The last value counts of fields that a row has twice: {names}.")
    if len(rows) * len(columns) > MAX_CELLS_OF_PATH:
        raise explain_too_large(name)
    unique = make_unique(columns, report)
    cells = {
        new: [write_json(row[key]) if key in row else None for row in rows]
        for key, new in zip(columns, unique, strict=True)
    }
    frame = pd.DataFrame(cells, dtype="str")
    notes += report.notes
    return WholeTable(
        name, "JSON", frame, problems, originals, None, encoding.name, notes=tuple(notes)
    )


def _read_values(
    name: str, opener: Opener, encoding: str, reader: JsonReader, renamed: dict[str, str]
) -> Iterator[tuple[Json, str]]:
    """Yield the rows of a document, or the value of each line; and how it is written."""
    with closing(read_lines(name, opener, encoding)) as read:
        lines = list(read)
    try:
        document = reader.parse("".join(lines))
    except ValueError:
        document = None
    rows = None if _is_row(document) else find_rows(document, renamed)
    if rows is not None:
        for position, row in enumerate(rows):
            yield row, "" if row is not None else write_json(_item(document, position))
        return
    if isinstance(document, dict):
        yield document, ""
        return
    buffer, original = _Recorder(iter(lines)), ""
    for _, value in reader.read_lines(buffer):
        original = buffer.take() or original  # several values in one line share it
        yield value, original.strip()


def _is_row(document: Json) -> bool:
    """Whether a single object is one row: a field of a usual name holds a text."""
    return isinstance(document, dict) and any(
        isinstance(value, str) and key.lower() in TEXT_NAMES for key, value in document.items()
    )


def _item(document: Json, position: int) -> Json:
    rows = document.get("data") if isinstance(document, dict) else document
    return rows[position] if isinstance(rows, list) else None


def _decode_dictionaries(content: "pa.Table") -> "pa.Table":
    """Return a table whose cells take the memory that reading them takes."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    for position, column in enumerate(content.schema):
        if pa.types.is_dictionary(column.type):
            cells = content.column(position).cast(column.type.value_type)
            content = content.set_column(position, column.name, cells)
    return content


def _read_parquet(name: str, data: bytes) -> WholeTable:
    import pandas as pd  # noqa: PLC0415 - as above
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    opened = open_parquet(name, lambda: io.BytesIO(data))
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        groups = [file.metadata.row_group(n) for n in range(file.metadata.num_row_groups)]
        if sum(group.total_byte_size for group in groups) > MAX_UNPACKED:
            raise DataError(
                f"{name} unpacks to more than {MAX_UNPACKED / 1e9:.0f} GB.",
                "Use a sample, and only the columns you need.",
            )
        content = _decode_dictionaries(file.read())
        columns = make_unique(content.column_names, opened.report)
        frame = content.rename_columns(columns).to_pandas(
            types_mapper=pd.ArrowDtype, ignore_metadata=True
        )
    except MemoryError:  # of Arrow as well
        raise
    except (pa.ArrowException, OSError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(
            f"{name} looks like Parquet but cannot be read: {reason}.",
            "Export it again, or save the table as CSV.",
        ) from error
    names = read_class_names(content.schema.metadata)
    return WholeTable(name, "Parquet", frame, class_names=names, notes=tuple(opened.report.notes))
