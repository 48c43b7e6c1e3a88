"""Cells of CSV files that this app writes: escaped for spreadsheets, and read back unchanged.

A spreadsheet executes a cell that begins with ``=``, ``+``, ``-`` or ``@``. Such a text gets an
apostrophe in front; so does a text that begins with apostrophes and such a sign, hence each escaped
cell has exactly one origin. A spreadsheet that separates cells by semicolons or tabs splits a text
there, and at a line end, whatever quotes it has: the rest is escaped in the same way. A file is
read back so only if this app would have written every byte of it. The file has a byte order mark,
without which Excel reads other letters than those of English wrongly.
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
# signs are formulas in Japanese spreadsheets. Blanks and invisible characters in front do not
# prevent it: spreadsheets trim them.
FORMULA_SIGNS = "=+\\-@|%\uff1d\uff0b\uff0d\uff20"
SIGNS = f"{FORMULA_SIGNS}\t\r\n"
# control, format and blank characters, without tab, line feed and carriage return
INVISIBLE = (
    " \\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\xa0\\xad\\u034f\\u061c\\u070f\\u115f\\u1160\\u1680"
    "\\u17b4\\u17b5\\u180b-\\u180f\\u2000-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u2800\\u3000"
    "\\u3164\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff9-\\ufffb\\U000e0000-\\U000e0fff"
)
FORMULA = re.compile(f"'*[{INVISIBLE}]*[{SIGNS}]")
ESCAPED = re.compile(f"'+[{INVISIBLE}]*[{SIGNS}]")
AFTER_SEPARATOR = f"'*[{INVISIBLE}\"]*[{FORMULA_SIGNS}]"
INNER = re.compile(f"([;\t\r\n])(?={AFTER_SEPARATOR})")
INNER_ESCAPED = re.compile(f"([;\t\r\n])'(?={AFTER_SEPARATOR})")
NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?%?", re.ASCII)  # no formula


def escape_cell(cell: object) -> object:
    """Prefix what a spreadsheet would execute of a text with an apostrophe; numbers stay as they
    are.
    """
    if not isinstance(cell, str) or NUMBER.fullmatch(cell):
        return cell
    front = "'" if FORMULA.match(cell) else ""
    return front + INNER.sub(r"\1'", cell)


def is_escaped(cell: object) -> bool:
    """Whether a cell gets an apostrophe."""
    return isinstance(cell, str) and escape_cell(cell) != cell


def unescape_cell(cell: str) -> str:
    """Return the text that ``escape_cell`` made ``cell`` of."""
    return INNER_ESCAPED.sub(r"\1", cell[1:] if ESCAPED.match(cell) else cell)


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
    """Return the number of cells to which ``to_csv`` adds apostrophes."""
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
