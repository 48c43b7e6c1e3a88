"""A table as a file holds it: every cell a string, with what was found about the file and which
lines were left out.
"""

from dataclasses import dataclass, field

import pandas as pd

from core.data.files.sniffing import Format
from core.errors import DataError

# read into the server's memory; more is prepared from a folder, which needs no upload
MAX_BYTES = 100_000_000
MAX_COLUMNS = 1000
MAX_ROWS = 2_000_000
SHOWN_NAMES = 12


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a delimited file where what is found is wrong: None, the empty string and True
    leave it as it is found.
    """

    encoding: str = ""
    separator: str = ""
    header: bool | None = None
    quotes: bool = True


@dataclass(frozen=True, slots=True)
class FileFormat:
    """What was found about a file. ``separator`` is empty and ``header`` None where the format has
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
    """Lines of a file that hold no row: why, how many, and where the first ones are."""

    reason: str
    rows: int
    lines: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Table:
    """Cells as strings, missing ones as None. The index is the number of each row's line, or of the
    row itself, from 1.
    """

    frame: pd.DataFrame = field(repr=False)
    found: FileFormat
    skipped: tuple[SkippedLines, ...] = ()

    @property
    def rows(self) -> int:
        """Rows that were read."""
        return len(self.frame)

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return [str(name) for name in self.frame.columns]

    def require(self, *columns: str) -> None:
        """Raise DataError if a column is not there."""
        missing = [name for name in columns if name not in self.frame.columns]
        if missing:
            there = ", ".join(map(repr, self.columns[:SHOWN_NAMES])) + (
                " and more" if len(self.columns) > SHOWN_NAMES else ""
            )
            raise DataError(
                f"{self.found.name} has no column {missing[0]!r}.", f"Its columns are {there}."
            )


def unique_names(names: list[str], notes: list[str]) -> list[str]:
    """Names of columns, each once and none empty: ``text``, ``text (2)``, ``column 3``. What was
    changed is added to ``notes``.
    """
    taken: set[str] = set()
    given = []
    for place, name in enumerate(names, 1):
        stem = " ".join(clean(name).split())[:80] or f"column {place}"
        number = 1
        unique = stem
        while unique in taken:
            number += 1
            unique = f"{stem} ({number})"
        taken.add(unique)
        given.append(unique)
        if number > 1:
            notes.append(f"Two columns are called {stem!r}; the later one is {unique!r} here.")
    return given


def clean(text: str) -> str:
    """``text`` without what neither UTF-8 nor a database can keep: zero characters and halves of
    surrogate pairs.
    """
    text = text.replace("\0", "")
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def check_size(name: str, size: int) -> None:
    """Raise DataError for a file that is too large to be read here. Ask before it is read."""
    if size > MAX_BYTES:
        fix = (
            "Take a sample of it, or put Parquet files with the columns text and label into a"
            " folder and give that as the data folder."
        )
        raise DataError(
            f"{name} has {size / 1e6:,.0f} MB; up to {MAX_BYTES / 1e6:.0f} MB are read.", fix
        )


def check_shape(name: str, columns: int, rows: int = 0) -> None:
    """Raise DataError for a table that is too wide or too long."""
    if columns > MAX_COLUMNS:
        fix = (
            "Keep the columns with texts and labels. Is each text on a line of its own, and the"
            " separator right?"
        )
        raise DataError(
            f"{name} has {columns:,} columns; up to {MAX_COLUMNS:,} can be chosen from.", fix
        )
    if rows > MAX_ROWS:
        raise DataError(
            f"{name} has {rows:,} rows; up to {MAX_ROWS:,} are read.", "Take a sample of it."
        )
