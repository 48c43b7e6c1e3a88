"""Rows of labeling tools: Label Studio, Prodigy, doccano and spaCy, as one text and its labels."""

from collections.abc import Iterable, Mapping

from core.data.tables.json_values import Json, JsonObject, write_json
from core.data.tables.read_report import find_unused

WRAPPERS = ("data", "_source")  # fields whose fields are those of the row
MOST_FIELDS = 50  # of an object whose fields become columns
REJECTED = "answer"  # the field in which Prodigy stores accept, reject or ignore
DECLINED = ("reject", "ignore")


def flatten(row: JsonObject, renamed: dict[str, str] | None = None) -> JsonObject:
    """Return the fields of a row, with those of a known export as plain fields.

    Label Studio's tasks give the fields of ``data`` and one field per control with the choices of
    all annotations, ``data`` alone or Elasticsearch's ``_source`` its fields; spaCy's ``cats``
    gives the categories whose value is not 0. A label that Prodigy's user declined is none. Other
    objects of several fields give
    ``object.field``, and lists of objects lists of their fields.

    ``renamed`` gets the new and the old name of fields whose name another field has, too.
    """
    renamed = {} if renamed is None else renamed
    if row.get(REJECTED) in DECLINED and isinstance(row.get("label"), str):
        row = {**row, "label": None}
    data, annotations = row.get("data"), row.get("annotations")
    if isinstance(data, dict) and isinstance(annotations, list):
        return _merge("data", data, _choices(annotations), renamed)
    for key in WRAPPERS:
        if isinstance(inner := row.get(key), dict):
            rest = {name: value for name, value in row.items() if name != key}
            return _spread(_merge(key, inner, rest, renamed), renamed)
    if isinstance(cats := row.get("cats"), dict):
        labels: list[Json] = [name for name, value in cats.items() if _is_positive(value)]
        return {**row, "cats": labels}
    return _spread(row, renamed)


def _merge(key: str, inner: JsonObject, rest: JsonObject, renamed: dict[str, str]) -> JsonObject:
    """Return the fields of ``key`` and the others; of two equal names, one is ``key.field``."""
    fields: JsonObject = {}
    for name, value in inner.items():
        if name in rest:
            renamed[f"{key}.{name}"] = name
        _add(fields, {f"{key}.{name}" if name in rest else name: value}, renamed)
    _add(fields, rest, renamed)
    return fields


def _add(fields: JsonObject, others: Mapping[str, Json], renamed: dict[str, str]) -> None:
    """Add fields, with a number after names that are used."""
    for name, value in others.items():
        new = find_unused(name, fields)
        fields[new] = value
        if new != name:
            renamed[new] = name


def _spread(row: JsonObject, renamed: dict[str, str]) -> JsonObject:
    """Return a field for each value of objects and lists of objects."""
    if not any(map(_is_structure, row.values())):
        return row
    fields: JsonObject = {}
    for key, value in row.items():
        if not _is_structure(value):
            _add(fields, {key: value}, renamed)
        elif isinstance(value, dict):
            inner = _spread(value, renamed)
            _add(fields, {f"{key}.{name}": item for name, item in inner.items()}, renamed)
        else:
            lists = _collect(value, renamed)
            _add(fields, {f"{key}.{name}": items for name, items in lists.items()}, renamed)
    return fields


def _collect(rows: Json, renamed: dict[str, str]) -> dict[str, list[Json]]:
    """Return the values of each field of a list of objects."""
    values: dict[str, list[Json]] = {}
    for row in rows if isinstance(rows, list) else []:
        for name, value in (_spread(row, renamed) if isinstance(row, dict) else {}).items():
            values.setdefault(name, []).append(value)
    return values


def _is_structure(value: Json) -> bool:
    """Whether a value holds several fields; an object of one field is read as this field."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, dict) for item in value)
    if not isinstance(value, dict) or "choices" in value:
        return False
    if len(value) > MOST_FIELDS or any(key[:1].isdigit() for key in value):
        return False  # values by id: each row may have others
    return len(value) > 1 or any(map(_is_structure, value.values()))


def find_labels(value: Json) -> list[str]:
    """Return the labels of a cell: none, one or several.

    Lists and Label Studio's ``{"choices": [...]}`` hold any number; a repeated one counts once.
    """
    if isinstance(value, dict):
        return find_labels(value.get("choices"))
    items = value if isinstance(value, list) else [value]
    return list(dict.fromkeys(text for item in items if (text := to_text(item))))


def is_rejected(row: JsonObject) -> bool:
    """Whether Prodigy's answer to a choice was not to accept it."""
    return "accept" in row and row.get(REJECTED) not in (None, "accept")


def to_text(value: Json) -> str:
    """Return a cell as text; empty for null and for what is no text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else ""


def to_cell(value: Json) -> str | None:
    """Return a value as the string of a cell: a list or object of one value as this value, longer
    ones as JSON.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, dict)) and len(value) < 2 and "choices" not in value:
        inner = value.values() if isinstance(value, dict) else value
        return to_cell(next(iter(inner), None))
    return write_json(value) if isinstance(value, (list, dict)) else to_text(value)


def _choices(annotations: Iterable[Json]) -> JsonObject:
    fields: dict[str, list[Json]] = {}
    for annotation in annotations:
        if not isinstance(annotation, dict) or annotation.get("was_cancelled") is True:
            continue
        results = annotation.get("result")
        for result in results if isinstance(results, list) else []:
            if isinstance(result, dict) and isinstance(value := result.get("value"), dict):
                choices = value.get("choices")
                if isinstance(choices, list):
                    fields.setdefault(to_text(result.get("from_name")), []).extend(choices)
    return dict(fields)


def _is_positive(value: Json) -> bool:
    """Whether a category applies: true, or a number above 0."""
    try:
        return value is True or (isinstance(value, str) and float(value) > 0)
    except ValueError:
        return False
