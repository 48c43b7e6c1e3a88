"""Read a table from any file: the format is detected from the content and not from the name.

No content of a file is ever executed. Whatever is left out, renamed or converted is in the report.
"""

import io
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import IO

import pandas as pd

from core.data.tables.delimited_table import Opener, open_delimited
from core.data.tables.json_table import open_json
from core.data.tables.labeling_exports import to_cell
from core.data.tables.parquet_table import PARQUET_MAGIC, open_parquet
from core.data.tables.read_report import (
    ReadOptions,
    ReadReport,
    describe_renamed,
    find_unused,
    make_unique,
    name_lines,
)
from core.data.tables.table import (
    MAX_FILE_BYTES,
    FileFormat,
    Format,
    ReportRows,
    Table,
    build_frame,
    check_columns,
    check_size,
    clean,
    find_texts,
)
from core.errors import DataError
from core.translation import mark

START_BYTES = 4096
ZEROS_BYTES = 1 << 16
UNPACK = mark("Unpack it and choose the file inside.")
CONTAINERS = (  # first bytes, message, fix
    (b"\x1f\x8b", mark("{file} is compressed with gzip."), UNPACK),
    (b"BZh", mark("{file} is compressed with bzip2."), UNPACK),
    (b"\xfd7zXZ", mark("{file} is compressed with xz."), UNPACK),
    (b"\x28\xb5\x2f\xfd", mark("{file} is compressed with zstd."), UNPACK),
    (
        b"PK",
        mark("{file} is a ZIP archive or an Excel workbook."),
        mark("Unpack it, or save the sheet as CSV (UTF-8)."),
    ),
    (
        b"\xd0\xcf\x11\xe0",
        mark("{file} is an old Office document."),
        mark("Save the sheet as CSV (UTF-8)."),
    ),
    (b"%PDF", mark("{file} is a PDF."), mark("Use a table: CSV, TSV, JSON lines or Parquet.")),
    (
        b"\x89PNG",
        mark("{file} is a picture."),
        mark("Use a table: CSV, TSV, JSON lines or Parquet."),
    ),
    (b"SQLite format 3", mark("{file} is a database."), mark("Export the table as CSV.")),
    (b"ARROW1", mark("{file} is an Arrow file."), mark("Save the table as Parquet.")),
    (b"\xff\xff\xff\xff", mark("{file} is an Arrow stream."), mark("Save the table as Parquet.")),
)
TAR = range(257, 262)  # where "ustar" stands
MARKS = (b"\xff\xfe", b"\xfe\xff")  # of UTF-16 and UTF-32, whose bytes may be any
CONTROLS = [bytes([code]) for code in range(1, 32) if code not in b"\t\n\r\f\v\x1b"]
MANY, MANY_IN_UTF8 = 0.05, 0.5  # proportion of control characters in files that are no text
PICKLE = re.compile(rb"\x80[\x02-\x05](\x95|[c}\](qX\x8a\x8c])")
SAVE_AS_CSV = mark("Save the table as CSV (UTF-8).")
OTHER_TEXTS = (  # pattern of the first bytes, message, fix
    (rb"<(!doctype html|html|head|meta|table)\b", mark("{file} is an HTML page."), SAVE_AS_CSV),
    (rb"<\?xml\b", mark("{file} is an XML document."), SAVE_AS_CSV),
    (rb"\{\\rtf", mark("{file} is a document in RTF."), SAVE_AS_CSV),
    (rb"(%[^\n]*\n|\s)*@relation\b", mark("{file} is an ARFF file."), SAVE_AS_CSV),
    (
        rb"((--|#)[^\n]*\n|/\*.*?\*/;?|\s)*(insert into|create table|drop table)\s",
        mark("{file} is a dump of SQL commands."),
        mark("Export the table as CSV."),
    ),
    (
        rb"version https://git-lfs\.github\.com/",
        mark("{file} is a pointer of Git LFS: the data themselves were not downloaded."),
        mark("Run `git lfs pull`, or download the file itself."),
    ),
    (
        rb"(window\.[\w.]+|(var|let|const)\s+\w+)\s*=\s*[\[{]",
        mark("{file} is a JavaScript file."),
        mark("Delete what precedes the first bracket, and save it as .json."),
    ),
)
# an object, or a list of anything but words; a text may begin with a brace, too
JSON = re.compile(rb'\x1e?(\{[\0\s]*["\'}]|\[[\0\s]*[{"\]\[])')
JSON_NAMED = re.compile(rb'\x1e?[\[{"/#]')
PADDING = b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n"
SAMPLE_ROWS = 2000
WITHOUT_ROWS = {  # by whether there is a header, and whether rows were left out
    (False, False): mark("{file} has no rows."),
    (True, False): mark("{file} has a header and no rows."),
    (False, True): mark("{file} has no rows. Left out: {left_out}."),
    (True, True): mark("{file} has a header and no rows. Left out: {left_out}."),
}
NEEDED = mark("Choose a file with rows that hold a text and a label.")
ChooseColumns = Callable[[Table], Collection[str]]
TextRow = tuple[int, Mapping[str, str | None]]  # line number, cells by column


def read_table(
    name: str,
    source: bytes | Path,
    options: ReadOptions | None = None,
    choose: ChooseColumns | None = None,
    report: ReportRows | None = None,
) -> Table:
    """Read the file called ``name``, from its content or its path. Raises DataError if it is not a
    table.

    ``choose`` gets a table of the first rows, and returns the columns to read. ``report`` gets the
    rows read so far and their bytes.
    """
    size, opener = _open(name, source)
    chosen = options or ReadOptions()
    with opener() as file:
        kind = _find_format(name, file)
    match kind:
        case "Parquet":
            table = _read_parquet(name, opener, choose, report)
        case "JSON lines":
            table = _read_json(name, opener, chosen, choose, report)
        case _:
            table = _read_delimited(name, opener, chosen, choose, report)
    if not table.rows or not table.columns:
        left_out = table.report.describe_left_out()
        raise DataError(
            WITHOUT_ROWS[bool(table.file.header), bool(left_out)],
            NEEDED,
            file=name,
            left_out=left_out,
        )
    return replace(table, file=replace(table.file, size=size, notes=tuple(table.report.notes)))


def _find_format(name: str, file: IO[bytes]) -> Format:
    """Recognize the format of ``file``. Raises DataError as the checks of its first bytes do."""
    data = file.read(START_BYTES)
    while data and not data.strip(PADDING):
        data = file.read(ZEROS_BYTES)
    if not data:
        raise DataError(
            mark("{file} is empty."), mark("Choose a file that holds texts and labels."), file=name
        )
    check_binary(name, data)
    if data.startswith(PARQUET_MAGIC):
        return "Parquet"
    check_text(name, data)
    json_name = name.lower().endswith((".json", ".jsonl", ".ndjson"))
    is_json = (JSON_NAMED if json_name else JSON).match(data.lstrip(PADDING))
    return "JSON lines" if is_json else "delimited"


def check_binary(name: str, data: bytes) -> None:
    """Raise DataError, with a fix, if a file that begins with ``data`` is neither Parquet nor text:
    nothing is unpacked or unpickled.
    """
    for start, message, fix in CONTAINERS:
        if data.startswith(start) and not (start in {b"PK", b"BZh"} and _is_printable(data)):
            raise DataError(message, fix, file=name)
    if data[TAR.start : TAR.stop] == b"ustar":
        raise DataError(mark("{file} is a tar archive."), UNPACK, file=name)
    if PICKLE.match(data) and not _is_printable(data):
        raise DataError(
            mark("{file} is a Python pickle, which can run code when it is opened."),
            mark("Save the table as Parquet or CSV."),
            file=name,
        )
    if not data.startswith((PARQUET_MAGIC, *MARKS)) and _is_binary(data):
        raise DataError(
            mark("{file} is not a text file: it is full of control characters."),
            mark("Use a table: CSV, TSV, JSON lines or Parquet."),
            file=name,
        )


def check_text(name: str, data: bytes) -> None:
    """Raise DataError, with a fix, if a file that begins with ``data`` is text but no table."""
    for pattern, message, fix in OTHER_TEXTS:
        if re.match(pattern, data.lstrip(PADDING), re.IGNORECASE | re.DOTALL):
            raise DataError(message, fix, file=name)


def _is_binary(data: bytes) -> bool:
    """Whether there are many control characters, and too few zeros for UTF-16."""
    share = sum(map(data.count, CONTROLS)) / len(data)
    try:
        data[:-4].decode()  # the start may end within a character
        limit = MANY_IN_UTF8
    except UnicodeDecodeError:
        limit = MANY
    return share > limit and data.count(0) < MANY * len(data)


def _is_printable(data: bytes) -> bool:
    """Whether the first bytes are printable: a text may also begin with the letters PK."""
    return not any(code < 9 or 13 < code < 27 for code in data[:64]) and all(
        code < 128 for code in data[:16]
    )


def check_file(path: Path) -> Path:
    """Return the path of a regular file with ``~`` expanded. Raises DataError for anything else."""
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
    return path


def read_file(path: Path) -> bytes:
    """Read a file of a size that fits in memory. Raises DataError."""
    size, opener = _open(path.name, path)
    check_size(path.name, size)
    with opener() as file:
        return file.read()


def _open(name: str, source: bytes | Path) -> tuple[int, Opener]:
    """Return the size of a file, and a function that opens it."""
    if isinstance(source, bytes):
        check_size(name, len(source))
        return len(source), partial(io.BytesIO, source)
    path = check_file(source)
    size = path.stat().st_size
    check_size(name, size, MAX_FILE_BYTES)
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}).", "Check its permissions."
        ) from error
    return size, lambda: path.open("rb")


def _read_delimited(
    name: str,
    opener: Opener,
    options: ReadOptions,
    choose: ChooseColumns | None,
    report: ReportRows | None,
) -> Table:
    opened = open_delimited(name, opener, options if options != ReadOptions() else None)
    check_columns(name, opened.columns)
    rows = ((line, dict(zip(opened.columns, cells, strict=True))) for line, cells in opened.rows())
    dialect = opened.dialect
    file = FileFormat(
        name,
        "delimited",
        0,
        opened.encoding.name,
        dialect.separator,
        opened.header.present,
        quotes=dialect.quotes,
    )
    empty = Table(pd.DataFrame(), file, opened.report, opened.encoding.alternatives)
    return _assemble(empty, rows, choose, report)


def _read_json(
    name: str,
    opener: Opener,
    options: ReadOptions,
    choose: ChooseColumns | None,
    report: ReportRows | None,
) -> Table:
    opened = open_json(name, opener, options.encoding)
    nested: dict[str, bool] = {}  # column: whether JSON remains
    damaged: dict[int, None] = {}
    renamed: dict[str, str] = {}

    def rows() -> Iterator[TextRow]:
        columns: dict[str, None] = {}
        for line, fields in opened.rows():
            cells: dict[str, str | None] = {}
            for key, value in fields.items():
                stem = " ".join(key.split()) or "(no name)"
                column = find_unused(stem, cells)
                if column != stem:
                    renamed[column] = stem
                cell = to_cell(value)
                if cell is not None and isinstance(value, (list, dict)):
                    nested[column] = nested.get(column, False) or cell[:1] in "[{"
                if cell is not None and "\0" in cell:
                    cell = cell.replace("\0", "")
                    damaged.setdefault(line)
                cells[column] = cell
            columns |= dict.fromkeys(cells)
            check_columns(name, list(columns))
            yield line, cells

    file = FileFormat(name, "JSON lines", 0, opened.encoding.name)
    empty = Table(pd.DataFrame(), file, opened.report, opened.encoding.alternatives)
    table = _assemble(empty, rows(), choose, report)
    for is_json, note in (
        (True, "Fields with lists or objects, read as JSON"),
        (False, "Lists or objects of one value were read as this value"),
    ):
        if listed := [column for column in table.columns if nested.get(column) is is_json]:
            table.report.notes.append(f"{note}: {', '.join(map(repr, listed))}.")
    table.report.notes += describe_renamed(renamed)
    if damaged:
        table.report.notes.append(f"NUL characters were removed in {name_lines(list(damaged))}.")
    return table


def _read_parquet(
    name: str, opener: Opener, choose: ChooseColumns | None, report: ReportRows | None
) -> Table:
    opened = open_parquet(name, opener)
    check_columns(name, opened.columns)
    opened.report.notes.clear()  # columns of one name get different names below
    names = make_unique(map(clean, opened.columns), opened.report)
    usable = [number for number, kind in enumerate(opened.types) if kind.readable]
    unread = tuple(
        (names[number], kind.name) for number, kind in enumerate(opened.types) if not kind.readable
    )
    if not usable:
        listed = "".join(f" {column!r} holds values of the type {kind}." for column, kind in unread)
        raise DataError(f"{name} has no rows of plain values.{listed}", NEEDED)

    def rows(positions: list[int], counts: ReadReport) -> Iterator[TextRow]:
        columns = [names[position] for position in positions]
        for number, cells in replace(opened, report=counts).rows(positions):
            yield number, dict(zip(columns, map(to_cell, cells), strict=True))

    class_names = {
        column: tuple(opened.class_names[stored])
        for column, stored in zip(names, opened.columns, strict=True)
        if stored in opened.class_names
    }
    empty = Table(
        pd.DataFrame(),
        FileFormat(name, "Parquet", 0),
        opened.report,
        unread=unread,
        class_names=class_names,
    )
    positions = usable
    texts: tuple[str, ...] | None = None
    if choose:
        frame = build_frame(islice(rows(usable, ReadReport()), SAMPLE_ROWS))
        sample = replace(empty, frame=frame, texts=find_texts(frame))
        needed, texts = choose(sample), sample.texts
        positions = [number for number in usable if names[number] in needed] or usable
    table = _assemble(empty, rows(positions, opened.report), None, report)
    return replace(table, texts=table.texts if texts is None else texts)


def _assemble(
    empty: Table,
    rows: Iterator[TextRow],
    choose: ChooseColumns | None,
    report: ReportRows | None,
) -> Table:
    """Collect the rows of ``empty``, with the columns that ``choose`` returns for the first."""
    first = list(islice(rows, SAMPLE_ROWS))
    frame = build_frame(first)
    sample = replace(empty, frame=frame, texts=find_texts(frame))
    if choose and sample.columns:
        chosen = choose(sample)
        needed = [column for column in sample.columns if column in chosen]
        remaining = (
            (line, {column: cells.get(column) for column in needed})
            for line, cells in chain(first, rows)
        )
        return replace(sample, frame=build_frame(remaining, report))
    return replace(sample, frame=build_frame(chain(first, rows), report))
