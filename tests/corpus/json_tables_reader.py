"""Run a JSON case through ``core.data.tables``: rows, left-out rows and notes."""

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from core.data.tables.json_table import JsonTable, open_json
from core.data.tables.json_values import JsonObject
from core.data.tables.labelling_exports import find_labels
from core.errors import DataError
from tests.corpus.case import Case, Counts, Exact, Overrides, Row
from tests.corpus.judge import Answer, Dropped, rows_right


def is_json(case: Case) -> bool:
    """Whether the case is one JSON file whose rows are expected."""
    files = case.build()
    return (
        len(files) == 1
        and not case.folder
        and Path(next(iter(files))).suffix in (".json", ".jsonl")
        and any(isinstance(outcome, Exact | Counts) for outcome in case.outcomes)
    )


def read_json_tables(case: Case, overrides: Overrides | None = None) -> Answer:
    """Read the only file of a case; of the pairs of fields, take the first that is right."""
    ((name, data),) = case.build().items()
    encoding = (overrides or case.options).encoding
    try:
        table = open_json(name, partial(io.BytesIO, data), encoding)
        rows = list(table.rows())
    except DataError as error:
        return Answer(error=str(error))
    answers = [_answer(table, rows, text, label) for text, label in _pairs(case, rows)]
    if not answers:
        return Answer(error=f"{name} has no column {case.label!r}")
    return next((item for item in answers if rows_right(case, item.parts)), answers[0])


def _pairs(case: Case, rows: list[tuple[int, JsonObject]]) -> Iterator[tuple[str, str]]:
    fields = list(dict.fromkeys(key for _, row in rows for key in row))
    for text in fields:
        for label in fields:
            if text != label and case.text in ("", text) and case.label in ("", label):
                yield text, label


def _answer(table: JsonTable, rows: list[tuple[int, JsonObject]], text: str, label: str) -> Answer:
    pairs: list[Row] = []
    missing: dict[str, list[int]] = {"no text": [], "no label": [], "several labels": []}
    for line, row in rows:
        texts, labels = find_labels(row.get(text)), find_labels(row.get(label))
        if len(texts) != 1 or not texts[0].strip():
            missing["no text"].append(line)
        elif not labels or not labels[0].strip():
            missing["no label"].append(line)
        elif len(labels) > 1:
            missing["several labels"].append(line)
        else:
            pairs.append((labels[0].strip(), texts[0]))
    left_out = [*((item.reason, item.lines) for item in table.report.left_out), *missing.items()]
    dropped = tuple(
        Dropped(reason, len(lines), tuple(lines)) for reason, lines in left_out if lines
    )
    return Answer((tuple(pairs),), dropped, "\n".join(table.report.notes))
