"""A table as stored in a file: every cell a string, with the detected format and skipped lines."""

from dataclasses import dataclass, field

import pandas as pd

from core.data.files.sniffing import Format
from core.errors import DataError

# uploads are read into the server's memory; data folders have no limit
MAX_BYTES = 100_000_000
MAX_COLUMNS = 1000
MAX_ROWS = 2_000_000
SHOWN_NAMES = 12


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Overrides for the detected format of a delimited file; the defaults keep the detected one."""

    encoding: str = ""
    separator: str = ""
    header: bool | None = None
    quotes: bool = True


@dataclass(frozen=True, slots=True)
class FileFormat:
    """The detected format of a file. ``separator`` is empty and ``header`` None if the format has
    none.
    """

    name: str
    format: Format
    size: int
    encoding: str = ""
    separator: str = ""
    header: bool | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SkippedLines:
    """Skipped lines of a file: reason, count, and the first line numbers."""

    reason: str
    rows: int
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Table:
    """Cells as strings, missing ones as None. The index is the line number of each row, or its row
    number from 1.
    """

    frame: pd.DataFrame = field(repr=False)
    file: FileFormat
    skipped: tuple[SkippedLines, ...] = ()

    @property
    def rows(self) -> int:
        """Number of rows."""
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
            raise DataError(
                f"{self.file.name} has no column {missing[0]!r}.", f"Its columns are {listed}."
            )


def unique_names(names: list[str], notes: list[str]) -> list[str]:
    """Return column names without duplicates and blanks: ``text``, ``text (2)``, ``column 3``.

    Each change is appended to ``notes``.
    """
    used: set[str] = set()
    result = []
    for position, name in enumerate(names, 1):
        stem = " ".join(clean(name).split())[:80] or f"column {position}"
        number = 1
        unique = stem
        while unique in used:
            number += 1
            unique = f"{stem} ({number})"
        used.add(unique)
        result.append(unique)
        if number > 1:
            notes.append(f"Two columns are called {stem!r}; the second is shown as {unique!r}.")
    return result


def clean(text: str) -> str:
    """Remove NUL characters and unpaired surrogates, which UTF-8 or a database cannot store."""
    text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def check_size(name: str, size: int) -> None:
    """Raise DataError if a file of ``size`` bytes is too large. Call this before reading it."""
    if size > MAX_BYTES:
        fix = (
            "Use a sample, or put Parquet files with the columns text and label into a folder and"
            " use that as the data folder."
        )
        raise DataError(
            f"{name} has {size / 1e6:,.0f} MB; the limit is {MAX_BYTES / 1e6:.0f} MB.", fix
        )


def check_shape(name: str, columns: int, rows: int = 0) -> None:
    """Raise DataError if a table has too many columns or rows."""
    if columns > MAX_COLUMNS:
        fix = (
            "Keep only the text and label columns, and check that each text has its own line and"
            " that the separator is correct."
        )
        raise DataError(f"{name} has {columns:,} columns; the limit is {MAX_COLUMNS:,}.", fix)
    if rows > MAX_ROWS:
        raise DataError(f"{name} has {rows:,} rows; the limit is {MAX_ROWS:,}.", "Use a sample.")
