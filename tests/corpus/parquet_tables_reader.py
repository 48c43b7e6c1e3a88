"""Run a Parquet case through ``core.data.tables``: rows, left-out rows and notes."""

import io
from functools import partial
from pathlib import Path

from core.data.tables.labelling_exports import find_labels
from core.data.tables.parquet_table import ParquetTable, open_parquet
from core.errors import DataError
from tests.corpus.case import Case, Counts, Exact, Row
from tests.corpus.judge import Answer, Dropped, rows_right


def is_parquet(case: Case) -> bool:
    """Whether the case is one Parquet file whose rows are expected."""
    files = case.build()
    (data,) = list(files.values())[:1]
    return (
        len(files) == 1
        and not case.folder
        and data.startswith(b"PAR1")
        and Path(next(iter(files))).suffix == ".parquet"
        and any(isinstance(outcome, Exact | Counts) for outcome in case.outcomes)
    )


def read_parquet_tables(case: Case) -> Answer:
    """Read the only file of a case; of the pairs of columns, take the first that is right."""
    ((name, data),) = case.build().items()
    try:
        names = open_parquet(name, partial(io.BytesIO, data)).columns
        answers = [
            _answer(open_parquet(name, partial(io.BytesIO, data)), text, label)
            for text, text_name in enumerate(names)
            for label, label_name in enumerate(names)
            if text != label and case.text in ("", text_name) and case.label in ("", label_name)
        ]
    except DataError as error:
        return Answer(error=str(error))
    return next((item for item in answers if rows_right(case, item.parts)), answers[0])


def _answer(table: ParquetTable, text: int, label: int) -> Answer:
    pairs: list[Row] = []
    missing: dict[str, list[int]] = {"no text": [], "no label": [], "several labels": []}
    for number, (text_cell, label_cell) in table.rows([text, label]):
        texts, labels = find_labels(text_cell), find_labels(label_cell)
        if len(texts) != 1 or not texts[0].strip():
            missing["no text"].append(number)
        elif not labels or not labels[0].strip():
            missing["no label"].append(number)
        elif len(labels) > 1:
            missing["several labels"].append(number)
        else:
            pairs.append((labels[0].strip(), texts[0]))
    dropped = tuple(
        Dropped(reason, len(numbers), tuple(numbers))
        for reason, numbers in missing.items()
        if numbers
    )
    return Answer((tuple(pairs),), dropped, "\n".join(table.report.notes))
