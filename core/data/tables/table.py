"""A table as stored in a file: every cell a string, with the way in which it was read."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from core.data.tables.read_report import ReadReport, WordPairs
from core.errors import DataError, NotEnoughRoom
from core.storage.resources import CallLimits
from core.translation import mark

if TYPE_CHECKING:
    import pandas as pd

Format = Literal["delimited", "JSON lines", "Parquet", "texts"]
MAX_BYTES = 100_000_000  # files that are read in the server, whose memory all visitors share
MAX_FILE_BYTES = 2_000_000_000  # files that the command line or a job reads
MAX_COLUMNS = 1000
MAX_ROWS = 5_000_000
SHOWN_NAMES = 12
BATCH_ROWS = 10_000
OFFSET_BYTES = 8  # that an empty cell takes
# of tables that the server holds in memory: uploads, and files on this machine
MAX_CELLS, MAX_CELLS_OF_PATH = 3_000_000, 20_000_000
MAX_UNPACKED, MAX_UNPACKED_OF_PATH = 60_000_000, 250_000_000  # bytes
PLAUSIBLE_RATIO = 10  # of unpacked to stored bytes
SMALL_BYTES = 500_000
JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
ReportRows = Callable[[int, int], None]
MIN_DISTINCT = 0.5  # proportion of different cells in a column of texts
START_CHARACTERS = 200
MIN_WORDS = 0.5  # proportion of its cells with two words or more


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How a file was read. ``separator`` is empty, ``header`` and ``quotes`` are None if the format
    has none.
    """

    name: str
    format: Format
    size: int
    encoding: str = ""
    separator: str = ""
    header: bool | None = None
    notes: tuple[str, ...] = ()
    quotes: bool | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """Cells as strings, missing ones as NaN. The index is the line number of each row, or its row
    number from 1.

    Args:
        frame: One column of strings per column of the file, in its order.
        file: How the file was read.
        report: Rows of the file, kept and left out, with all line numbers.
        encodings: Other encodings that decode the file, each with pairs of words that differ.
        unread: Columns that hold no text, with their type.
        texts: Columns whose cells look like texts.
        class_names: Names of classes in their order, by column, if the file defines them.
    """

    frame: "pd.DataFrame" = field(repr=False)
    file: FileFormat
    report: ReadReport
    encodings: tuple[tuple[str, WordPairs], ...] = ()
    unread: tuple[tuple[str, str], ...] = ()
    texts: tuple[str, ...] = ()
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of rows that were read."""
        return len(self.frame)

    @property
    def columns(self) -> list[str]:
        """Column names."""
        return [str(name) for name in self.frame.columns]

    def require(self, *columns: str) -> None:
        """Raise DataError if a column is missing."""
        missing = [name for name in columns if name not in self.frame.columns]
        if missing:
            listed = ", ".join(map(repr, self.columns[:SHOWN_NAMES])) + (
                " and more" if len(self.columns) > SHOWN_NAMES else ""
            )
            unread = "".join(
                f" {name!r} holds values of the type {kind}." for name, kind in self.unread
            )
            raise DataError(
                f"{self.file.name} has no column {missing[0]!r}.",
                f"Its columns are {listed}.{unread}",
            )


def build_frame(
    rows: Iterable[tuple[int, Mapping[str, str | None]]], report: ReportRows | None = None
) -> "pd.DataFrame":
    """Return the rows as columns of Arrow strings; the index is their line number. ``report`` gets
    the rows read so far and their bytes.

    A column that some rows lack is empty there. Rows are converted in batches, because Python
    objects take several times the memory.
    """
    import pandas as pd  # noqa: PLC0415 - as pyarrow, takes half a second, and
    import pyarrow as pa  # noqa: PLC0415 - the command line and the server start without them

    lines = array("q")
    tables: list[pa.Table] = []
    columns: set[str] = set()
    size = 0
    for batch in _batches(rows):
        lines.extend(line for line, _ in batch)
        check_rows(len(lines))
        names = dict.fromkeys(name for _, cells in batch for name in cells)
        tables.append(
            pa.table(
                {
                    name: pa.array([cells.get(name) for _, cells in batch], pa.large_string())
                    for name in names
                }
            )
        )
        size += tables[-1].nbytes
        columns.update(names)
        if report:
            report(len(lines), max(size, OFFSET_BYTES * len(lines) * len(columns)))
    if not tables:
        return pd.DataFrame()
    frame: pd.DataFrame = pa.concat_tables(tables, promote_options="default").to_pandas()
    frame.index = pd.Index(lines)
    return frame


def _batches(
    rows: Iterable[tuple[int, Mapping[str, str | None]]],
) -> Iterator[list[tuple[int, Mapping[str, str | None]]]]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_ROWS)):
        yield batch


def find_texts(frame: "pd.DataFrame") -> tuple[str, ...]:
    """Return the columns that hold texts: words, and most of them different."""
    return tuple(str(name) for name in frame.columns if _holds_texts(frame[name].dropna()))


def _holds_texts(cells: "pd.Series[str]") -> bool:
    starts = cells.str.slice(0, START_CHARACTERS).str.strip()
    if starts.empty or starts.nunique() < MIN_DISTINCT * len(starts):
        return False
    words = starts.str.contains(r"\s") & starts.str.contains(r"[^\W\d_]")
    return bool((words & ~starts.str.match(r"[\[{]")).mean() >= MIN_WORDS)


def clean(text: str) -> str:
    """Remove NUL characters and unpaired surrogates, which UTF-8 or a database cannot store."""
    text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def check_size(name: str, size: int, limit: int = MAX_BYTES) -> None:
    """Raise DataError if a file of ``size`` bytes is too large. Call this before reading it."""
    if size > limit:
        fix = (
            mark("Use a sample, or add the file with `python -m core data add`.")
            if limit == MAX_BYTES
            else mark("Use a sample.")
        )
        raise DataError(
            mark("{file} has {size:,.0f} MB; the limit is {limit:,.0f} MB."),
            fix,
            file=name,
            size=size / 1e6,
            limit=limit / 1e6,
        )


def check_columns(name: str, columns: Sequence[str]) -> None:
    """Raise DataError if a table has too many columns."""
    if len(columns) > MAX_COLUMNS:
        raise DataError(
            mark("{file} has {n:,} columns; the limit is {most:,}."),
            mark(
                "Keep only the text and label columns, and check that each text has its own line"
                " and that the separator is correct."
            ),
            file=name,
            n=len(columns),
            most=MAX_COLUMNS,
        )


def check_rows(rows: int) -> None:
    """Raise DataError if a table has too many rows."""
    if rows > MAX_ROWS:
        raise DataError(
            mark("The file has more than {most:,} rows."), mark("Use a sample."), most=MAX_ROWS
        )


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of a table that the server holds, and of the process that reads it."""

    cells: int
    unpacked: int  # bytes
    call: CallLimits

    @classmethod
    def of(cls, source: bytes | Path, size: int) -> "ServerLimits":
        """Return the limits of an upload, or of a file on this machine, of ``size`` bytes."""
        # the largest table of 20 MB that passes takes 15 s on two cores
        call = CallLimits(megabytes=500 + 15 * size // 10**6, seconds=10 + 3 * size // (2 * 10**6))
        if isinstance(source, bytes):
            return cls(MAX_CELLS, MAX_UNPACKED, call)
        unpacked = max(MAX_UNPACKED, min(MAX_UNPACKED_OF_PATH, PLAUSIBLE_RATIO * size))
        return cls(MAX_CELLS_OF_PATH, unpacked, call)

    def check_ends(self, source: bytes) -> None:
        """Raise NotEnoughRoom for a file with more ends of lines or objects than cells may be read.

        Without this check such a file takes a minute until it is refused.
        """
        if any(source.count(end) > self.cells for end in (b"\n", b"\r", b"}")):
            raise NotEnoughRoom("The table is too large for the server.")

    def check(self, rows: int, columns: int, unpacked: int = 0) -> None:
        """Raise NotEnoughRoom for a table that is too large for the server."""
        if rows > MAX_ROWS or rows * columns > self.cells or unpacked > self.unpacked:
            raise NotEnoughRoom("The table is too large for the server.")


def check_frame(limits: ServerLimits, frame: "pd.DataFrame") -> None:
    """Raise NotEnoughRoom for a table that is too large for the server."""
    limits.check(*frame.shape, int(frame.memory_usage().sum()))


def is_small_text(name: str, source: bytes) -> bool:
    """Whether a file can be read in the server, because its table is about as small as itself.

    A table has a cell per separator. Parquet is compressed; in JSON each row may add columns, which
    are empty in all others.
    """
    return (
        len(source) <= SMALL_BYTES
        and not name.lower().endswith(JSON_SUFFIXES)
        and not source.startswith(b"PAR1")
        and not any(mark in source[:64] for mark in (b"{", b"["))
    )


def explain_too_large(name: str) -> DataError:
    """Return the error for a file whose table is too large for the server."""
    return DataError(
        f"{name} holds a larger table than can be read in the browser.",
        "Use a sample, keep only the columns you need, or read it with `python -m core`.",
    )
