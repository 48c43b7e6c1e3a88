"""Cells of CSV files that this app writes: escaped for spreadsheets, and read back unchanged.

A spreadsheet executes a cell that begins with ``=``, ``+``, ``-`` or ``@``. Such a text gets an
apostrophe in front; so does a text that begins with apostrophes and such a sign, hence each escaped
cell has exactly one origin. A file is read back so only if this app would have written every byte
of it. The file has a byte order mark, without which Excel reads other letters than those of English
wrongly.
"""

import codecs
import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# A cell with one of these prefixes is executed as a formula (OWASP, CSV injection); full-width
# signs are formulas in Japanese spreadsheets. Blanks in front do not prevent it.
SIGNS = "=+\\-@\t\r\n|%\uff1d\uff0b\uff0d\uff20"
FORMULA = re.compile(f"'*[ \u00a0]*[{SIGNS}]")
ESCAPED = re.compile(f"'+[ \u00a0]*[{SIGNS}]")
NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?%?", re.ASCII)  # no formula


def escape_cell(cell: object) -> object:
    """Prefix a text that a spreadsheet would execute with an apostrophe; numbers stay as they
    are.
    """
    return f"'{cell}" if is_escaped(cell) else cell


def is_escaped(cell: object) -> bool:
    """Whether a cell gets an apostrophe."""
    return (
        isinstance(cell, str) and FORMULA.match(cell) is not None and NUMBER.fullmatch(cell) is None
    )


def unescape_cell(cell: str) -> str:
    """Return the text that ``escape_cell`` made ``cell`` of."""
    return cell[1:] if ESCAPED.match(cell) else cell


def write_header(names: Sequence[str]) -> str:
    """Write the first line of CSV: every name in quotes, by which a reader suspects such a file."""
    line = StringIO(newline="")
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow([escape_cell(name) for name in names])
    return line.getvalue()


def write_rows(rows: Iterable[Iterable[object]]) -> str:
    """Write lines of CSV: escaped cells, in quotes where CSV needs them."""
    lines = StringIO(newline="")
    csv.writer(lines).writerows(map(escape_cell, cells) for cells in rows)
    return lines.getvalue()


def to_csv(frame: "pd.DataFrame") -> bytes:
    """Convert a table without its index to CSV in UTF-8; cells and column names are escaped."""
    rows = frame.astype(object).where(frame.notna(), None).itertuples(index=False, name=None)
    text = write_header([str(name) for name in frame.columns]) + write_rows(rows)
    return codecs.BOM_UTF8 + text.encode()


def count_escaped(frame: "pd.DataFrame") -> int:
    """Return the number of cells to which ``to_csv`` adds an apostrophe."""
    return sum(is_escaped(cell) for name in frame.columns for cell in frame[name])


def read_exported(lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and unescaped cells of each record, the header included.

    Raises ValueError at the first record that this module would have written otherwise.
    """
    consumed: list[str] = []

    def record_lines() -> Iterator[str]:
        for line in lines:
            consumed.append(line)
            yield line

    number, width = 1, 0
    try:
        for escaped in csv.reader(record_lines(), strict=True):
            cells = [unescape_cell(cell) for cell in escaped]
            written = write_rows([cells]) if width else write_header(cells)
            if written != "".join(consumed) or len(cells) != (width or len(cells)):
                raise ValueError(f"line {number} was not written by this app")
            yield number, cells
            width = len(cells)
            number += len(consumed)
            consumed.clear()
    except csv.Error as error:
        raise ValueError(f"line {number} is no CSV") from error
