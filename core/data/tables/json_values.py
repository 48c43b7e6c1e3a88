"""Parse JSON values with numbers as they are written, and find the objects that are rows."""

import json
import re
from collections.abc import Iterator
from typing import TypeAlias

from core.data.tables.read_report import find_unused
from core.data.tables.record_parser import LineBuffer

Json: TypeAlias = "str | bool | None | list[Json] | dict[str, Json]"  # numbers are strings
JsonObject: TypeAlias = dict[str, Json]
MAX_DEPTH = 100  # of lists and objects, which are read recursively
LONGEST_OBJECT = 1000  # lines of one object that is written over several
SPLIT = "split"
TEXT_FIELDS = ("text", "utterance", "sentence", "query")  # of intents, in exports of assistants
HALF = re.compile("[\ud800-\udfff]")
# characters between objects: commas, the separator of RFC 7464, a mark of joined files
BETWEEN = " \t\r\n,\x1e\x00\ufeff"


class Number(str):
    """A number as it is written in a file."""


class _Decoder(json.JSONDecoder):
    """A decoder that keeps numbers as written and counts keys that occur twice in an object."""

    def __init__(self) -> None:
        self.duplicates: set[str] = set()
        super().__init__(
            strict=False,
            parse_float=Number,
            parse_int=Number,
            parse_constant=lambda name: None if name == "NaN" else name,
            object_pairs_hook=self._object,
        )

    def _object(self, pairs: list[tuple[str, Json]]) -> JsonObject:
        value = dict(pairs)
        if len(value) < len(pairs):
            keys = [key for key, _ in pairs]
            self.duplicates |= {key for key in keys if keys.count(key) > 1}
        return value


class JsonReader:
    """Read the values of JSON lines, or of one JSON document, with their line numbers."""

    def __init__(self) -> None:
        self._decoder = _Decoder()

    @property
    def duplicates(self) -> list[str]:
        """Keys that occurred twice in one object; the last value counts."""
        return sorted(self._decoder.duplicates)

    def parse(self, text: str) -> Json:
        """Parse one document. Raises ValueError if it is none."""
        values = self._values(text)
        if values is None or len(values) != 1:
            raise ValueError(text[:40])
        return values[0]

    def read_lines(self, buffer: LineBuffer) -> Iterator[tuple[int, Json]]:
        """Yield each value and the line in which it begins, None for what is no JSON.

        A line may hold several objects, and an object may be written over several lines.
        """
        while (line := buffer.next()) is not None:
            number = buffer.number
            if not line.strip(BETWEEN):
                continue
            values = self._values(line)
            if values is None and line.lstrip(BETWEEN).startswith("{"):
                values = self._read_spanning(buffer, line)
            if values is None:
                yield number, None
            else:
                yield from ((number, value) for value in values)

    def _read_spanning(self, buffer: LineBuffer, line: str) -> list[Json] | None:
        """Read an object of several lines; None if another one begins before it ends."""
        text = line
        for offset in range(LONGEST_OBJECT):
            following = buffer.peek(offset)
            if following is None or following.startswith("{"):
                return None
            text += following
            if following.rstrip(BETWEEN).endswith("}"):
                values = self._values(text)
                if values is not None:
                    buffer.skip(offset + 1)
                    return values
        return None

    def _values(self, text: str) -> list[Json] | None:
        """Return the values one after another in ``text``; None if anything else is in it, or if
        they are nested too deeply.
        """
        values: list[Json] = []
        position, end = 0, len(text)
        may_be_deep = text.count("{") + text.count("[") > MAX_DEPTH
        while True:
            while position < end and text[position] in BETWEEN:
                position += 1
            if position == end:
                return values
            try:
                value, position = self._decoder.raw_decode(text, position)
            # no JSON, or brackets that are nested too deeply
            except (ValueError, RecursionError):
                return None
            if may_be_deep and _is_deep(value):
                return None
            values.append(value)


def _is_deep(value: Json) -> bool:
    """Whether lists and objects are nested more than ``MAX_DEPTH`` deep."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        nested = [item for item in level if isinstance(item, (list, dict))]
        level = [
            inner
            for item in nested
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
        if not nested:
            return False
    return True


def to_unicode(text: str) -> str:
    """Return ``text`` with U+FFFD for halves of characters, which no file can store."""
    if text.isascii() or not HALF.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def replace_surrogates(value: Json) -> Json:
    """Return ``value`` with all its texts through ``to_unicode``."""
    if isinstance(value, str):
        return to_unicode(value)
    if isinstance(value, list):
        return [replace_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {key: replace_surrogates(item) for key, item in value.items()}
    return value


def write_json(value: Json) -> str:
    """Write a value as JSON on one line, with numbers as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(write_json, value))}]"
    if isinstance(value, dict):
        fields = (f"{write_json(key)}: {write_json(item)}" for key, item in value.items())
        return f"{{{', '.join(fields)}}}"
    return json.dumps(value, ensure_ascii=False)


def find_rows(value: Json, renamed: dict[str, str] | None = None) -> list[JsonObject | None] | None:
    """Return the rows of one JSON document, in any of the shapes that pandas and others write.

    A list of objects; an object of columns, as lists or by index, or of rows; ``columns`` and
    ``data``; a list of objects under one key, or under several, which are the field ``split`` of
    these rows; of other objects the only list whose rows have a text. An element of a list that is
    no row is None; so is the result if there are no rows in ``value``. ``renamed`` gets the new and
    the old name of a field ``split`` that rows have already.
    """
    if isinstance(value, list):
        rows = [item if isinstance(item, dict) else None for item in value]
        return rows if any(row is not None for row in rows) or not rows else None
    if not isinstance(value, dict):
        return None
    names, data = value.get("columns"), value.get("data")
    if isinstance(names, list) and isinstance(data, list):
        return [
            dict(zip(map(str, names), row, strict=True))
            if isinstance(row, list) and len(row) == len(names)
            else None
            for row in data
        ]
    if utterances := find_utterances(value)[0]:
        return list(utterances)
    if len(value) > 1 and all(map(_holds_rows, value.values())):
        return _name_splits(value, {} if renamed is None else renamed)
    if len(value) > 1 and _are_rows(value):
        return [row for row in value.values() if isinstance(row, dict)]
    columns = [
        list(item.values()) if isinstance(item, dict) else item
        for item in value.values()
        if isinstance(item, (list, dict))
    ]
    lists = [column for column in columns if isinstance(column, list)]
    if len(lists) == len(value) > 1 and len({len(column) for column in lists}) == 1:
        return [dict(zip(value, row, strict=True)) for row in zip(*lists, strict=True)]
    nested = [item for item in value.values() if item and _holds_rows(item)]
    if len(nested) == 1:
        return find_rows(nested[0])
    inner = value.get("hits", next(iter(value.values()), None) if len(value) == 1 else None)
    return find_rows(inner, renamed) if isinstance(inner, dict) else None


def find_utterances(value: Json) -> tuple[list[JsonObject], list[str]]:
    """Return the only list of rows with a text in an object, and the keys of its other lists.

    LUIS, CLU and Rasa store texts next to lists of intents and entities. Both are empty if there is
    no other list, or if the object is a text itself.
    """
    if not isinstance(value, dict) or _has_text(value):
        return [], []
    lists = _list_objects(value)
    texts = [key for key, rows in lists.items() if any(map(_has_text, rows))]
    if len(texts) != 1 or len(lists) < 2:
        return [], []
    return lists[texts[0]], [key for key in lists if key != texts[0]]


def _has_text(row: JsonObject) -> bool:
    return any(isinstance(row.get(name), str) for name in TEXT_FIELDS)


def _list_objects(value: JsonObject, depth: int = 2) -> dict[str, list[JsonObject]]:
    """Return the lists of objects in an object and in those that it holds, by key."""
    lists: dict[str, list[JsonObject]] = {}
    for key, item in value.items():
        if item and _holds_rows(item) and isinstance(item, list):
            lists[key] = [row for row in item if isinstance(row, dict)]
        elif isinstance(item, dict) and depth:
            lists |= _list_objects(item, depth - 1)
    return lists


def _name_splits(value: JsonObject, renamed: dict[str, str]) -> list[JsonObject | None]:
    """Return the rows of several lists, with the key of their list as the field ``split``."""
    rows = [
        (key, row)
        for key, listed in value.items()
        for row in (listed if isinstance(listed, list) else [])
        if isinstance(row, dict)
    ]
    own = SPLIT
    if any(SPLIT in row for _, row in rows):
        own = find_unused(SPLIT, {name for _, row in rows for name in row})
        renamed[own] = SPLIT
    return [
        {SPLIT: key, **{own if name == SPLIT else name: cell for name, cell in row.items()}}
        for key, row in rows
    ]


def _holds_rows(value: Json) -> bool:
    return isinstance(value, list) and all(isinstance(row, dict) for row in value)


def _are_rows(value: JsonObject) -> bool:
    """Whether all values are objects of the same few keys: rows by their index, not columns."""
    names = [tuple(item) for item in value.values() if isinstance(item, dict)]
    return len(set(names)) == 1 and len(names) == len(value) > len(names[0]) > 0
