"""Read JSON lines, or a list of JSON objects."""

import json
from collections.abc import Iterator

import pandas as pd

from core.data.files.sniffing import decode, find_encoding
from core.data.files.table import (
    MAX_COLUMNS,
    MAX_ROWS,
    FileFormat,
    ReadOptions,
    SkippedLines,
    Table,
    check_shape,
    clean,
    unique_names,
)
from core.errors import DataError

EXAMPLE = 'Write one object a line, such as {"text": "…", "label": "…"}.'
NAMED_LINES = 5


def read_json_rows(name: str, data: bytes, reading: ReadOptions) -> Table:
    """A row for each object; lines that hold none are left out and counted. Raises DataError where
    most do not.
    """
    encoding = reading.encoding or find_encoding(data)
    text = decode(name, data, encoding)
    objects: dict[int, dict[str, object]] = {}
    broken: list[int] = []
    columns: dict[str, None] = {}
    for line, value in _values(name, text):
        if isinstance(value, dict):
            objects[line] = value
            columns |= dict.fromkeys(value)
            if len(columns) > MAX_COLUMNS:
                check_shape(name, len(columns))
        else:
            broken.append(line)
        check_shape(name, 0, len(objects) if len(objects) > MAX_ROWS else 0)
    if not objects or len(broken) > len(objects):
        where = f", line {broken[0]:,}," if broken else ""
        raise DataError(
            f"{name}{where} holds no JSON object." if broken else f"{name} holds no rows.", EXAMPLE
        )
    notes: list[str] = []
    kept = [key for key in columns if not _nested(objects, key, notes)]
    if not kept:
        raise DataError(f"{name} holds lists and objects only.", EXAMPLE)
    cells = {
        new: [_cell(row.get(key)) for row in objects.values()]
        for key, new in zip(kept, unique_names(kept, notes), strict=True)
    }
    skipped = (
        (SkippedLines("no JSON object", len(broken), tuple(broken[:NAMED_LINES])),)
        if broken
        else ()
    )
    frame = pd.DataFrame(cells, index=list(objects), dtype=object)
    return Table(
        frame, FileFormat(name, "JSON lines", len(data), encoding, notes=tuple(notes)), skipped
    )


def _values(name: str, text: str) -> Iterator[tuple[int, object]]:
    if text.lstrip()[:1] == "[":
        whole = _parsed(text)
        if not isinstance(whole, list):
            raise DataError(f"{name} is no complete JSON list.", EXAMPLE)
        yield from enumerate(whole, 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _parsed(line)


def _parsed(text: str) -> object:
    try:
        return json.loads(text)
    except (
        ValueError,
        RecursionError,
    ):  # no JSON, a number of thousands of digits, or brackets nested without end
        return None


def _nested(objects: dict[int, dict[str, object]], key: str, notes: list[str]) -> bool:
    nested = any(isinstance(row.get(key), (dict, list)) for row in objects.values())
    if nested:
        notes.append(f"The field {clean(key)[:80]!r} holds lists or objects and is not offered.")
    return nested


def _cell(value: object) -> str | None:
    if value is None or value != value:  # NaN, which Python's reader lets pass
        return None
    return clean(value) if isinstance(value, str) else json.dumps(value)
