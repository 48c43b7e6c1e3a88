"""Run a case of delimited text through ``core.data.tables``: rows, left-out rows and notes."""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from core.data.tables.delimited_table import Chosen, DelimitedTable, open_delimited
from core.errors import DataError
from tests.corpus.case import Case, Exact, Overrides, Rows
from tests.corpus.judge import Answer, Dropped, rows_right

NO_TEXT, NO_LABEL = "no text", "no label"


def read_tables(case: Case, overrides: Overrides | None = None) -> Answer:
    """Read the only file of a case; of the pairs of columns, take the first that is right."""
    ((name, data),) = case.build().items()
    options = overrides or case.options
    chosen = Chosen(
        options.encoding,
        options.separator,
        options.header,
        options.quotes if options != Overrides() else None,
    )
    try:
        table = open_delimited(Path(name).name, partial(io.BytesIO, data), chosen)
        rows = list(table.rows())
    except DataError as error:
        return Answer(error=str(error))
    answers = [_answer(table, rows, text, label) for text, label in _pairs(case, table)]
    if not answers:
        return Answer(error=f"{name} has no column {case.label!r}: {table.columns}")
    return next((item for item in answers if rows_right(case, item.parts)), answers[0])


def is_delimited(case: Case) -> bool:
    """Whether the case is one file of delimited text whose rows are expected."""
    files = case.build()
    (name,) = list(files)[:1]
    return (
        len(files) == 1
        and not case.folder
        and case.kind != "container"
        and Path(name).suffix in (".csv", ".tsv", ".txt")
        and not next(iter(files.values())).lstrip(b"\xef\xbb\xbf").startswith((b"{", b"[", b"PAR1"))
        and any(isinstance(outcome, Exact) for outcome in case.outcomes)
    )


def _pairs(case: Case, table: DelimitedTable) -> Iterator[tuple[int, int]]:
    for i, text in enumerate(table.columns):
        for j, label in enumerate(table.columns):
            if i != j and case.text in ("", text) and case.label in ("", label):
                yield i, j


def _answer(
    table: DelimitedTable, rows: list[tuple[int, list[str]]], text: int, label: int
) -> Answer:
    missing: dict[str, list[int]] = {NO_TEXT: [], NO_LABEL: []}
    pairs: Rows = ()
    for line, cells in rows:
        if not cells[text].strip():
            missing[NO_TEXT].append(line)
        elif not cells[label].strip():
            missing[NO_LABEL].append(line)
    pairs = tuple(
        (cells[label].strip(), cells[text])
        for _, cells in rows
        if cells[text].strip() and cells[label].strip()
    )
    left_out = [
        *((item.reason, item.lines) for item in table.report.left_out),
        *missing.items(),
    ]
    dropped = tuple(
        Dropped(reason, len(lines), tuple(lines)) for reason, lines in left_out if lines
    )
    return Answer((pairs,), dropped, "\n".join(table.report.notes))
