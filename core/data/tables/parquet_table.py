"""Read Parquet in batches: only the columns that are needed, by position, with cells as strings."""

import datetime
import io
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from core.data.tables.delimited_table import Opener
from core.data.tables.json_values import Json
from core.data.tables.read_report import ReadReport
from core.data.tables.table import MAX_COLUMNS, ServerLimits, check_columns
from core.errors import DataError

BATCH_ROWS = 10_000
MAX_UNPACKED = 2_000_000_000  # bytes: a small file can unpack to a very large table
PARQUET_MAGIC = b"PAR1"
NEEDED_COLUMNS = 3  # text, label and split
PADDING = "\0 "  # fills cells of a fixed size


@dataclass(frozen=True, slots=True)
class ColumnType:
    """The Arrow type of a column, and whether its values can be read as text."""

    name: str
    readable: bool


@dataclass(frozen=True, slots=True)
class ParquetTable:
    """An opened Parquet file. Columns of one name differ in position.

    ``class_names`` are those that Hugging Face ``datasets`` stores, by column.
    """

    name: str
    columns: tuple[str, ...]
    types: tuple[ColumnType, ...]
    class_names: dict[str, list[str]]
    row_count: int
    report: ReadReport
    open: Opener

    def rows(self, positions: Sequence[int]) -> Iterator[tuple[int, list[Json]]]:
        """Yield row number, from 1, and the cells of the columns at ``positions``.

        Raises DataError if one of these columns cannot be read as text.
        """
        import pyarrow as pa  # noqa: PLC0415 - takes half a second, and only these files need it
        import pyarrow.parquet as pq  # noqa: PLC0415

        number = unpacked = 0
        try:
            with self.open() as source, pq.ParquetFile(source) as file:
                schema, names = file.schema_arrow, self.class_names
                converters = [_converter(self, schema.field(position)) for position in positions]
                leaves = [_leaves(schema, position) for position in positions]
                used_leaves = sorted({leaf for group in leaves for leaf in group})
                order = sorted(range(len(positions)), key=lambda item: positions[item])
                for batch in file.reader.iter_batches(
                    BATCH_ROWS, range(file.num_row_groups), used_leaves
                ):
                    unpacked += batch.nbytes
                    _check_unpacked(self.name, unpacked)
                    columns: list[list[Json]] = [[] for _ in positions]
                    for place, item in enumerate(order):
                        column = self._to_values(batch.column(place), positions[item])
                        field = schema.field(positions[item])
                        classes = names.get(field.name) if _holds_ids(field.type) else None
                        convert = converters[item]
                        columns[item] = [
                            _class_name(cell, classes) if classes else convert(cell)
                            for cell in column
                        ]
                    for cells in zip(*columns, strict=True):
                        number += 1
                        self.report.rows_kept += 1
                        yield number, list(cells)
        except (pa.ArrowException, OSError) as error:
            raise _unreadable(self.name, error) from error

    def _to_values(self, array: Any, position: int) -> list[Any]:
        """Return the values of a batch; None, with a note, where Python has no such value."""
        try:
            values: list[Any] = _decode(array).to_pylist()
        except (ValueError, OverflowError, TypeError, KeyError):  # ArrowInvalid is a ValueError
            note = f"The values of {self.columns[position]!r} cannot be read as text."
            if note not in self.report.notes:
                self.report.notes.append(note)
            return [None] * len(array)
        return values


def open_parquet(name: str, opener: Opener) -> ParquetTable:
    """Read the schema of a Parquet file. Raises DataError if it is damaged or has no rows."""
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415

    report = ReadReport()
    try:
        with opener() as source, pq.ParquetFile(source) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(name, error) from error
    if not rows:
        raise DataError(f"{name} has no rows.", "Choose a file with texts and labels.")
    columns = tuple(schema.names)
    for column, times in sorted(Counter(columns).items()):
        if times > 1:
            report.notes.append(f"{times} columns are called {column!r}.")
    types = tuple(
        ColumnType(str(kind).partition("<")[0].partition("[")[0], _is_readable(kind))
        for kind in schema.types
    )
    class_names = read_class_names(schema.metadata)
    return ParquetTable(name, columns, types, class_names, rows, report, opener)


def check_parquet_extent(
    name: str, source: bytes | Path, limits: ServerLimits, needed_only: bool = False
) -> None:
    """Raise NotEnoughRoom for Parquet with too many rows and columns, from its schema alone."""
    if isinstance(source, Path) and not source.is_file():
        return

    def opener() -> IO[bytes]:
        return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")

    with opener() as file:
        if file.read(len(PARQUET_MAGIC)) != PARQUET_MAGIC:
            return
    opened = open_parquet(name, opener)
    check_columns(name, opened.columns)
    columns = min(len(opened.columns), NEEDED_COLUMNS if needed_only else MAX_COLUMNS)
    limits.check(opened.row_count, columns)


def _is_readable(kind: Any) -> bool:
    """Whether values are text, numbers, dates, or lists of texts or whole numbers."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    lists = (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType)
    if isinstance(kind, (*lists, pa.LargeListViewType)):
        item = kind.value_type
        return not pa.types.is_nested(item) and not pa.types.is_floating(item)
    return not pa.types.is_nested(kind) and not pa.types.is_null(kind)


def _check_unpacked(name: str, size: int) -> None:
    if size > MAX_UNPACKED:
        raise DataError(
            f"{name} unpacks to more than {MAX_UNPACKED / 1e9:.0f} GB.",
            "Use a sample, and only the columns you need.",
        )


def _unreadable(name: str, error: Exception) -> DataError:
    if isinstance(error, MemoryError):  # of Arrow as well
        raise error
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return DataError(
        f"{name} looks like Parquet but cannot be read: {reason}.",
        "Export it again, or save the table as CSV.",
    )


def _leaves(schema: Any, position: int) -> range:
    """Return the positions of a column's leaves among those of all columns."""
    before = sum(_count_leaves(schema.field(item).type) for item in range(position))
    return range(before, before + _count_leaves(schema.field(position).type))


def _count_leaves(kind: Any) -> int:
    if hasattr(kind, "num_fields") and kind.num_fields:
        return sum(_count_leaves(kind.field(item).type) for item in range(kind.num_fields))
    return 1


def _decode(array: Any) -> Any:
    return array.dictionary_decode() if hasattr(array, "dictionary_decode") else array


def _converter(table: ParquetTable, field: Any) -> Callable[[Any], Json]:
    """Return the function for the cells of a column. Raises DataError for structures and maps."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    kind = str(field.type).partition("<")[0]
    if pa.types.is_struct(field.type) or pa.types.is_map(field.type):
        raise DataError(
            f"The column {field.name!r} of {table.name} holds values of the type {kind}.",
            "Choose another column, or save its values as a column of text.",
        )
    padded = pa.types.is_fixed_size_binary(field.type) and not pa.types.is_decimal(field.type)
    short = _short_float(field.type)
    damaged = False

    def convert(cell: Any) -> Json:
        nonlocal damaged
        if isinstance(cell, bytes):
            text = cell.decode("utf-8", "replace")
            if "\ufffd" in text and not damaged:
                damaged = True
                table.report.notes.append(
                    f"Bytes in {field.name!r} that are not UTF-8 could not be decoded."
                )
            return text.rstrip(PADDING) if padded else text
        if isinstance(cell, str) and "\0" in cell:
            note = f"NUL characters were removed in {field.name!r}."
            table.report.notes += [] if note in table.report.notes else [note]
            return cell.replace("\0", "")
        if isinstance(cell, float) and short is not None and not cell.is_integer():
            return str(short(cell))
        return [convert(item) for item in cell] if isinstance(cell, list) else _to_cell(cell)

    return convert


def _short_float(kind: Any) -> Callable[[float], object] | None:
    """Return the type of NumPy that writes 0.1 of a column of 16 or 32 bits as 0.1."""
    import numpy as np  # noqa: PLC0415 - as above

    return {"halffloat": np.float16, "float": np.float32}.get(str(kind))


def _to_cell(cell: Any) -> Json:
    """Return a cell as text; a whole number of a floating-point column without its ``.0``."""
    if cell is None or cell != cell:
        return None
    if isinstance(cell, bool):
        return cell
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(" ")
    return str(cell)


def _holds_ids(kind: Any) -> bool:
    """Whether values may be class ids: whole numbers, also of a floating-point column."""
    import pyarrow as pa  # noqa: PLC0415 - as above

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _class_name(cell: Any, names: list[str]) -> Json:
    """Return the name of a class id, or the id if it has none; None for -1, which marks rows
    without a label.
    """
    if cell is None or cell != cell or cell < 0:
        return None
    return names[int(cell)] if cell in range(len(names)) else _to_cell(cell)


def read_class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Return the class names that Hugging Face ``datasets`` stores in the schema."""
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
