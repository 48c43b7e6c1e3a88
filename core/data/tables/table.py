"""A table as stored in a file: every cell a string, with the way in which it was read."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

import pandas as pd

from core.data.tables.read_report import ReadReport, WordPairs
from core.errors import DataError

Format = Literal["delimited", "JSON lines", "Parquet", "texts"]
MAX_BYTES = 100_000_000  # files that are read in the server, whose memory all visitors share
MAX_FILE_BYTES = 2_000_000_000  # files that the command line or a job reads
MAX_COLUMNS = 1000
MAX_ROWS = 5_000_000
SHOWN_NAMES = 12
BATCH_ROWS = 10_000
ReportRows = Callable[[int], None]
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

    frame: pd.DataFrame = field(repr=False)
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
) -> pd.DataFrame:
    """Return the rows as columns of Arrow strings; the index is their line number. ``report`` gets
    the rows read so far.

    A column that some rows lack is empty there. Rows are converted in batches, because Python
    objects take several times the memory.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes half a second, and the server starts without it

    lines = array("q")
    tables = []
    for batch in _batches(rows):
        lines.extend(line for line, _ in batch)
        check_rows(len(lines))
        if report:
            report(len(lines))
        names = dict.fromkeys(name for _, cells in batch for name in cells)
        tables.append(
            pa.table(
                {
                    name: pa.array([cells.get(name) for _, cells in batch], pa.large_string())
                    for name in names
                }
            )
        )
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


def find_texts(frame: pd.DataFrame) -> tuple[str, ...]:
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
            "Use a sample, or add the file with `python -m core data add`."
            if limit == MAX_BYTES
            else "Use a sample."
        )
        raise DataError(
            f"{name} has {size / 1e6:,.0f} MB; the limit is {limit / 1e6:,.0f} MB.", fix
        )


def check_columns(name: str, columns: Sequence[str]) -> None:
    """Raise DataError if a table has too many columns."""
    if len(columns) > MAX_COLUMNS:
        fix = (
            "Keep only the text and label columns, and check that each text has its own line and"
            " that the separator is correct."
        )
        raise DataError(f"{name} has {len(columns):,} columns; the limit is {MAX_COLUMNS:,}.", fix)


def check_rows(rows: int) -> None:
    """Raise DataError if a table has too many rows."""
    if rows > MAX_ROWS:
        raise DataError(f"The file has more than {MAX_ROWS:,} rows.", "Use a sample.")
