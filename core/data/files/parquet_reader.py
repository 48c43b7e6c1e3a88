"""Read Parquet: cells as strings, class ids by the names that Hugging Face ``datasets`` stores in
the schema.
"""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd

from core.data.files.table import MAX_COLUMNS, FileFormat, Table, check_shape, clean, unique_names
from core.errors import DataError

BATCH_ROWS = 1000
MAX_UNPACKED = 1_000_000_000  # bytes: a small file can unpack to a very large table


def read_parquet_rows(name: str, data: bytes) -> Table:
    """Read the rows of a Parquet file; columns of lists, structures or bytes are left out. Raises
    DataError.
    """
    import pyarrow as pa  # noqa: PLC0415 - takes half a second, and only these files need it
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        schema = file.schema_arrow
        check_shape(name, len(schema.names), file.metadata.num_rows)
        usable = [field.name for field in schema if _holds_values(field.type)]
        notes = [
            f"The column {clean(n)[:80]!r} has no plain values and cannot be used."
            for n in schema.names
            if n not in usable
        ]
        columns = _read_columns(name, file, usable[:MAX_COLUMNS])
        names = _read_class_names(schema.metadata)
    except (pa.ArrowException, OSError, ValueError, KeyError, TypeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise DataError(
            f"{name} looks like Parquet but cannot be read: {reason}.",
            "Export it again, or save the table as CSV.",
        ) from error
    if not columns or not file.metadata.num_rows:
        raise DataError(
            f"{name} has no rows of plain values.", "Choose a file with texts and labels."
        )
    new_names = unique_names(list(columns), notes)
    cells = {
        new: _to_strings(columns[old], names.get(old, ()))
        for old, new in zip(columns, new_names, strict=True)
    }
    frame = pd.DataFrame(cells, dtype=object)
    frame.index += 1
    return Table(frame, FileFormat(name, "Parquet", len(data), notes=tuple(notes)))


def _holds_values(kind: Any) -> bool:
    import pyarrow as pa  # noqa: PLC0415 - as above

    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    return not (
        pa.types.is_nested(value)
        or pa.types.is_binary(value)
        or pa.types.is_large_binary(value)
        or pa.types.is_null(value)
    )


def _read_columns(name: str, file: Any, usable: list[str]) -> dict[str, list[object]]:
    columns: dict[str, list[object]] = {column: [] for column in usable}
    unpacked = 0
    for batch in file.iter_batches(BATCH_ROWS, columns=usable):
        unpacked += batch.nbytes
        if unpacked > MAX_UNPACKED:
            raise DataError(
                f"{name} unpacks to more than {MAX_UNPACKED / 1e9:.0f} GB.",
                "Use a sample, and only the columns you need.",
            )
        for number, column in enumerate(batch.schema.names):
            columns[column] += batch.column(number).to_pylist()
    return columns


def _read_class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Return the class names of each ClassLabel column."""
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {
            name: [str(label) for label in feature["names"]]
            for name, feature in features.items()
            if "names" in feature
        }
    # without valid metadata only the ids are known
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def _to_strings(values: list[object], names: Sequence[str]) -> list[str | None]:
    def text(value: object) -> str | None:
        if value is None or value != value:
            return None
        if names and isinstance(value, int):
            return (
                names[value] if 0 <= value < len(names) else None
            )  # -1 marks rows without a label
        return clean(str(value)) if not isinstance(value, bool) else str(value).lower()

    return [text(value) for value in values]
