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

EXAMPLE = 'Write one object per line, for example {"text": "…", "label": "…"}.'
NAMED_LINES = 5


def read_json_rows(name: str, data: bytes, reading: ReadOptions) -> Table:
    """Read one row per object; lines without an object are skipped and counted. Raises DataError if
    most are.
    """
    encoding = reading.encoding or find_encoding(data)
    text = decode(name, data, encoding)
    objects: dict[int, dict[str, object]] = {}
    broken: list[int] = []
    columns: dict[str, None] = {}
    for line, value in _read_values(name, text):
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
            f"{name}{where} is not a JSON object." if broken else f"{name} has no rows.", EXAMPLE
        )
    notes: list[str] = []
    usable = [key for key in columns if not _is_nested(objects, key, notes)]
    if not usable:
        raise DataError(f"{name} contains only lists and objects.", EXAMPLE)
    cells = {
        unique: [_to_cell(row.get(key)) for row in objects.values()]
        for key, unique in zip(usable, unique_names(usable, notes), strict=True)
    }
    skipped = (
        (SkippedLines("not a JSON object", len(broken), tuple(broken[:NAMED_LINES])),)
        if broken
        else ()
    )
    frame = pd.DataFrame(cells, index=list(objects), dtype=object)
    return Table(
        frame, FileFormat(name, "JSON lines", len(data), encoding, notes=tuple(notes)), skipped
    )


def _read_values(name: str, text: str) -> Iterator[tuple[int, object]]:
    if text.lstrip()[:1] == "[":
        values = _parse(text)
        if not isinstance(values, list):
            raise DataError(f"{name} is not a complete JSON list.", EXAMPLE)
        yield from enumerate(values, 1)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, _parse(line)


def _parse(text: str) -> object:
    try:
        return json.loads(text)
    # invalid JSON, a number with thousands of digits, or too deeply nested brackets
    except (ValueError, RecursionError):
        return None


def _is_nested(objects: dict[int, dict[str, object]], key: str, notes: list[str]) -> bool:
    nested = any(isinstance(row.get(key), (dict, list)) for row in objects.values())
    if nested:
        notes.append(f"The field {clean(key)[:80]!r} contains lists or objects and cannot be used.")
    return nested


def _to_cell(value: object) -> str | None:
    if value is None or value != value:  # NaN, which Python's reader accepts
        return None
    return clean(value) if isinstance(value, str) else json.dumps(value)
