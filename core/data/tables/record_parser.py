"""Split lines of delimited text into cells, and decide line by line what a double quote means.

A quoted cell may span lines if the record then has the width of the table, and if the lines are not
rows on their own. A quote that opens nothing is an ordinary character.
"""

import csv
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from core.data.tables.exported_cells import read_exported
from core.data.tables.read_report import Dialect

LONGEST_SPAN = 1000  # lines of one quoted cell; a quote that is never closed costs as many
# code points for private use, of which one that a line does not have stands for CR and another for
# a separator of several characters, which csv refuses
STAND_INS = range(0xF0000, 0xFFFFE)


class QuoteReading(StrEnum):
    """How the quotes of a record were read."""

    NONE = "no quotes"
    ENCLOSING = "quotes enclose cells, needed or not"
    NEEDED = "only as enclosing do the quotes give the right number of cells"
    ORDINARY = "only as ordinary characters do the quotes give the right number of cells"
    AMBIGUOUS = "a cell of several lines, each of which is a row on its own"


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its first line, its cells, and how its quotes were read."""

    line: int
    cells: list[str]
    quotes: QuoteReading = QuoteReading.NONE
    lines: int = 1


class LineBuffer:
    """Lines without their ends, with a look ahead; line numbers begin at 1."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._ahead: deque[str] = deque()
        self.number = 0

    def next(self) -> str | None:
        """Return the next line, None at the end."""
        line = self._ahead.popleft() if self._ahead else next(self._lines, None)
        self.number += line is not None
        return line

    def peek(self, offset: int) -> str | None:
        """Return the line ``offset`` lines ahead, 0 for the next."""
        while len(self._ahead) <= offset:
            line = next(self._lines, None)
            if line is None:
                return None
            self._ahead.append(line)
        return self._ahead[offset]

    def skip(self, count: int) -> None:
        """Drop lines that were looked at."""
        for _ in range(count):
            self.next()


def read_records(buffer: LineBuffer, dialect: Dialect, width: int) -> Iterator[Record]:
    """Yield a record per line, or per several lines; blank lines are records without cells."""
    if dialect.exported:
        for number, cells in read_exported(iter(buffer.next, None)):
            yield Record(number, cells)
    while (line := buffer.next()) is not None:
        content = line.rstrip("\r\n")
        if not content:
            yield Record(buffer.number, [])
        elif dialect.prefix:
            yield Record(buffer.number, split_labels(content, dialect.prefix))
        elif "\r" in content and (parts := _split_returns(content, dialect, width)):
            yield from (Record(buffer.number, cells) for cells in parts)
        elif not dialect.quotes or '"' not in content:
            yield Record(buffer.number, content.split(dialect.separator))
        else:
            yield _read_quoted(buffer, line, dialect.separator, width)


def split_labels(content: str, prefix: str) -> list[str]:
    """Return the label of a line of fastText and its text; several labels as JSON."""
    labels = []
    while content.startswith(prefix) and content[len(prefix) :].strip():
        label, *rest = content.removeprefix(prefix).split(maxsplit=1)
        labels.append(label)
        content = rest[0] if rest else ""
    return ["".join(labels) if len(labels) < 2 else json.dumps(labels, ensure_ascii=False), content]


def _split_returns(content: str, dialect: Dialect, width: int) -> list[list[str]]:
    """Return the records between the carriage returns of a line, if only they have its width."""
    if width < 2 or _fits(content.split(dialect.separator), width):
        return []
    if dialect.quotes and '"' in content:
        cells, is_open = _parse(content, dialect.separator)
        if is_open or (cells is not None and _fits(cells, width)):
            return []
    split = split_line if dialect.quotes else str.split
    parts = [split(part, dialect.separator) for part in content.split("\r") if part]
    return parts if all(_fits(cells, width) for cells in parts) else []


def split_line(content: str, separator: str) -> list[str]:
    """Split one line, with enclosing quotes where they are well formed."""
    if '"' in content:
        cells, _ = _parse(content, separator)
        if cells is not None:
            return cells
    return content.split(separator)


def _read_quoted(buffer: LineBuffer, line: str, separator: str, width: int) -> Record:
    number, content = buffer.number, line.rstrip("\r\n")
    ordinary = content.split(separator)
    cells, is_open = _parse(content, separator)
    if cells is not None and content.startswith('"') and f'{separator} "' in content:
        spaced, _ = _parse(content, separator, spaced=True)  # "text", "label"
        cells = spaced if spaced is not None and _fits(spaced, width) else cells
    if cells is not None and _fits(cells, width):
        if cells == ordinary:
            return Record(number, cells)
        needed = not _fits(ordinary, width) or '""' in content
        return Record(number, cells, QuoteReading.NEEDED if needed else QuoteReading.ENCLOSING)
    if is_open and (spanning := _read_spanning(buffer, line, separator, width)):
        return spanning
    if other := _parse_otherwise(content, separator, width):
        return Record(number, other, QuoteReading.NEEDED)
    if _fits(ordinary, width):
        return Record(number, ordinary, QuoteReading.ORDINARY)
    return Record(number, cells if cells is not None else ordinary)


def _parse_otherwise(content: str, separator: str, width: int) -> list[str]:
    """Return the cells of a line that is no CSV, empty if none of these readings fits: blanks
    before quotes, a backslash before quotes, and quotes around every cell with others in them.
    """
    spaces = content.startswith(' "') or f'{separator} "' in content
    if spaces and not _fits(content.split(separator), width):
        spaced, _ = _parse(content, separator, spaced=True)
        if spaced is not None and _fits(spaced, width):
            return spaced
    if '\\"' in content:
        escaped, _ = _parse(content, separator, escapes=True)
        if escaped is not None and _fits(escaped, width):
            return escaped
    trimmed = content
    while trimmed.endswith(separator):
        trimmed = trimmed.removesuffix(separator)
    enclosed = [cell.replace('""', '"') for cell in trimmed[1:-1].split(f'"{separator}"')]
    cells = enclosed + [""] * ((len(content) - len(trimmed)) // len(separator))
    quoted = len(enclosed) > 1 and trimmed[:1] == trimmed[-1:] == '"'
    return cells if quoted and _fits(cells, width) else []


def _read_spanning(buffer: LineBuffer, line: str, separator: str, width: int) -> Record | None:
    """Read a record of several lines; None if no closing quote makes it fit.

    A record that does not fit is one nevertheless, if at most one of its lines fits on its own.
    """
    number, text = buffer.number, line
    fitting = int(_fits(line.rstrip("\r\n").split(separator), width))
    for offset in range(LONGEST_SPAN):
        following = buffer.peek(offset)
        if following is None:
            return None
        text += following
        fitting += _fits(following.rstrip("\r\n").split(separator), width)
        if '"' in following and text.count('"') % 2 == 0:
            cells, _ = _parse(text.rstrip("\r\n"), separator)
            if cells is None or (not _fits(cells, width) and fitting > 1):
                return None
            buffer.skip(offset + 1)
            # a quote within a text of several lines was written as two: the quotes enclose
            escaped = any('"' in cell and "\n" in cell for cell in cells)
            alone = fitting == offset + 2 and not escaped
            reading = QuoteReading.NEEDED if _fits(cells, width) else QuoteReading.ENCLOSING
            return Record(number, cells, QuoteReading.AMBIGUOUS if alone else reading, offset + 2)
    return None


def _fits(cells: list[str], width: int) -> bool:
    """Whether there are ``width`` cells, and beyond them only empty ones."""
    return len(cells) == width or (len(cells) > width and not any(cells[width:]))


def _parse(
    content: str, separator: str, *, spaced: bool = False, escapes: bool = False
) -> tuple[list[str] | None, bool]:
    """Parse one record strictly; None if it is malformed, and whether a quote stays open.

    ``spaced`` allows blanks before a cell, ``escapes`` a backslash before a quote.
    """
    unused = (sign for sign in map(chr, STAND_INS) if sign not in content)
    refused = [part for part in ("\r", separator) if len(part) > 1 or part == "\r" in content]
    stand_ins = dict(zip(refused, unused, strict=False))
    safe = content
    for part, sign in stand_ins.items():
        safe = safe.replace(part, sign)
    reader = csv.reader(
        [safe],
        delimiter=stand_ins.get(separator, separator),
        strict=True,
        skipinitialspace=spaced,
        doublequote=not escapes,
        escapechar="\\" if escapes else None,
    )
    try:
        cells = next(reader)
    except csv.Error as error:
        return None, "unexpected end" in str(error)
    except StopIteration:
        return None, False
    for part, sign in stand_ins.items():
        cells = [cell.replace(sign, part) for cell in cells]
    return cells, False
