"""Detect the separator, the lines before the table, and whether there is a header."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from core.data.tables.read_report import Dialect, HeaderChoice
from core.data.tables.record_parser import LineBuffer, read_records, split_line
from core.translation import mark

SEPARATORS = (",", ";", "\t", "|")
RARE_SEPARATORS = (
    "^",
    "~",
    "¦",
    "::",
    "\x1f",
    "\x01",
)  # only where no usual one separates all lines
NAMED_SEPARATORS = ("#", ":")  # only between usual names of columns
NAMES = {
    ",": mark("comma"),
    ";": mark("semicolon"),
    "\t": mark("tab"),
    "|": mark("vertical bar"),
    "||": mark("two vertical bars"),
    " | ": mark("vertical bar between blanks"),
    ";;": mark("two semicolons"),
    "::": mark("two colons"),
    "¦": mark("broken bar"),
    "^": mark("caret"),
    "~": mark("tilde"),
}
SEP_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)  # the first line of some files of Excel
SAMPLE_LINES = 400
PREAMBLE_LINES = 10  # a title and some blank lines, before a table
ALL_LINES = (True, 1.0, -1.0)  # lowest score where the first line and nearly all others fit
REGULAR = 0.8  # proportion of lines of one width, from which other lines are no part of the table
HEADER_LENGTH = 64  # characters: a longer cell is a text, not a column name
USUAL_NAMES = frozenset(
    (
        *("text", "sentence", "review", "content", "body", "message", "title", "description"),
        *("comment", "tweet", "headline", "label", "class", "category", "topic", "sentiment"),
        *("target", "tag", "split", "set", "id", "index", "idx", "row", "rating"),
    )
)


def find_separator(lines: Sequence[str], suffix: str) -> str:
    """Find the separator that splits most lines, and the first one, into as many cells.

    Of several, the one between usual names in the first line, or whose columns repeat their values
    most, as labels do.
    """
    filled = [line for line in lines if line.strip()]
    preferred = "\t" if suffix == ".tsv" else ","
    usual, rare, others = (
        [_widen(filled, separator) for separator in separators]
        for separators in (SEPARATORS, RARE_SEPARATORS, NAMED_SEPARATORS)
    )
    known = (*usual, *rare, *others)
    named = [separator for separator in known if _separates_names(filled, separator)]
    scores = {separator: _score(filled, separator) for separator in known}

    def find_best(candidates: Sequence[str]) -> str:
        # texts often contain commas, hardly ever tabs
        return max(candidates, key=lambda mark: (scores[mark], mark == "\t", mark == preferred))

    best = find_best(named or usual)
    best_rare = find_best(rare)
    if not named and scores[best] < scores[best_rare] >= ALL_LINES:
        return best_rare
    candidates = (best,) if named else (best, best_rare)
    return next((separator for separator in candidates if scores[separator][1]), preferred)


def _widen(lines: Sequence[str], separator: str) -> str:
    """Return the separator twice or between blanks, if all lines have it so; else as it is.

    Texts may contain it on its own, where it does not separate all lines.
    """
    first = lines[0] if lines else ""
    for wide in (f" {separator * 2} ", separator * 2, f" {separator} "):
        cells = split_line(first, wide)
        if (
            len(cells) > 1
            and all(cell.strip(f" {separator}") for cell in cells)
            and _is_regular(lines, wide)
            and (
                first.count(separator) == wide.count(separator) * (len(cells) - 1)
                or not _is_regular(lines, separator)
            )
        ):
            return wide
    return separator


def _is_regular(lines: Sequence[str], separator: str) -> bool:
    """Whether most lines have as many cells as the first."""
    widths = [len(split_line(line, separator)) for line in lines]
    return widths.count(widths[0]) >= REGULAR * len(widths)


def _separates_names(lines: Sequence[str], separator: str) -> bool:
    names = {cell.strip().lower() for cell in split_line(lines[0], separator)} if lines else set()
    return len(names & USUAL_NAMES) > 1


def find_width(lines: Sequence[str], separator: str) -> tuple[int, int]:
    """Return the number of cells of the table, and of the lines that precede it.

    The width is that of the first line, or of most lines: one that all records have, or that more
    of them have.
    """
    widths = [len(split_line(line, separator)) if line.strip() else 0 for line in lines]
    filled = [width for width in widths if width]
    if not filled:
        return 0, 0
    several = [width for width in filled if width > 1]  # a line of one cell may be part of a text
    common, count = Counter(several or filled).most_common(1)[0]
    first = widths.index(common)
    plain = max(widths[:first], default=0) < 2 and '"' not in "".join(lines[:first])
    if plain and first <= PREAMBLE_LINES and count >= REGULAR * len(filled):
        return common, first
    return max((filled[0], common), key=lambda width: _count_fitting(lines, separator, width)), 0


def _count_fitting(lines: Sequence[str], separator: str, width: int) -> tuple[bool, int]:
    """Return whether all records have ``width`` cells, and how many have."""
    buffer = LineBuffer(f"{line}\n" for line in lines)
    records = [record for record in read_records(buffer, Dialect(separator), width) if record.cells]
    fitting = sum(len(record.cells) == width for record in records)
    return fitting == len(records), fitting


def find_header(records: Sequence[Sequence[str]]) -> HeaderChoice:
    """Decide whether the first record names the columns, from it and some records below."""
    first, rest = trim(cell.strip() for cell in records[0]), records[1:]
    usual = sorted({cell.lower() for cell in first} & USUAL_NAMES)
    if len(usual) > 1 or (usual and not _is_repeated(first, rest)):
        return HeaderChoice(True, mark("it holds the name {name!r}").format(name=usual[0]))
    if any(len(cell) > HEADER_LENGTH for cell in first):
        return HeaderChoice(False, mark("its cells are as long as texts"))
    if any(not cell or re.fullmatch(r"[-+]?[0-9.,]+", cell) for cell in first):
        return HeaderChoice(False, mark("a cell is empty or a number"))
    if len(set(first)) < len(first) or _is_repeated(first, rest):
        return HeaderChoice(False, mark("its values occur again below"))
    if _is_numbered(first, rest):
        return HeaderChoice(False, mark("its cells look like those below"))
    return HeaderChoice(True, mark("its values do not occur again below"), certain=False)


def find_title(records: Sequence[Sequence[str]]) -> int:
    """Return the number of records, none of a usual name, before a record of two usual names."""
    for position, record in enumerate(records[: PREAMBLE_LINES + 1]):
        names = {cell.strip().lower() for cell in record}
        if len(names & USUAL_NAMES) > 1:
            return position
        if names & USUAL_NAMES:
            return 0
    return 0


def trim(cells: Iterable[str]) -> list[str]:
    """Return cells without the empty ones at the end."""
    trimmed = list(cells)
    while trimmed and not trimmed[-1].strip():
        trimmed.pop()
    return trimmed


def _is_repeated(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    return any(
        cell == record[number].strip()
        for record in rest
        for number, cell in enumerate(first)
        if number < len(record)
    )


def _is_numbered(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Whether a cell differs from all those below only in its digits, as ids and dates do."""
    columns = zip(first, *rest, strict=False)
    shapes = ([re.sub(r"\d+", "0", cell.strip()) for cell in column] for column in columns)
    return any("0" in cells[0] and len(cells) > 1 and len(set(cells)) == 1 for cells in shapes)


def _score(lines: Sequence[str], separator: str) -> tuple[bool, float, float]:
    """Return whether the first line fits, the share of regular lines, and minus the share of
    distinct values in the column that repeats most.
    """
    records = [split_line(line, separator) for line in lines]
    widths = Counter(len(record) for record in records if len(record) > 1)
    if not widths:
        return False, 0.0, 0.0
    named = _separates_names(lines, separator)
    size = len(records[0])
    # a header may lack the name of the first or last column
    candidates = (size, size + 1) if named else widths
    width = max(candidates, key=lambda size: (widths[size], size))
    regular = [record for record in records if len(record) == width]
    values = [len({record[number] for record in regular}) for number in range(width)]
    distinct = min((count for count in values if count > 1), default=len(regular)) / len(regular)
    share = len(regular) / len(records)
    starts = named or (size == width and share > 0.5)
    return starts, round(share, 1), -round(distinct, 1)
