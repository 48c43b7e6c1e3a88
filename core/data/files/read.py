"""Read an uploaded table: CSV, TSV, JSON lines or Parquet, detected by content and not by name.

No content of a file is ever executed.
"""

from pathlib import Path

from core.data.files.csv_reader import read_delimited
from core.data.files.json_reader import read_json_rows
from core.data.files.parquet_reader import read_parquet_rows
from core.data.files.sniffing import find_format
from core.data.files.table import ReadOptions, Table, check_size
from core.errors import DataError


def read_table(name: str, data: bytes, reading: ReadOptions | None = None) -> Table:
    """Read ``data``, the content of a file called ``name``. Raises DataError if it is not a
    table.
    """
    check_size(name, len(data))
    options = reading or ReadOptions()
    match find_format(name, data):
        case "Parquet":
            return read_parquet_rows(name, data)
        case "JSON lines":
            return read_json_rows(name, data, options)
        case _:
            return read_delimited(name, data, options)


def read_file(path: Path) -> bytes:
    """Read the file at ``path`` if its size is within the limit. Raises DataError."""
    path = path.expanduser()
    if not path.is_file():
        problem = (
            "is a folder"
            if path.is_dir()
            else "does not exist"
            if not path.exists()
            else "is not a regular file"
        )
        raise DataError(
            f"{path} {problem}.", "Give the path of one file: CSV, TSV, JSON lines or Parquet."
        )
    check_size(path.name, path.stat().st_size)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}).", "Check its permissions."
        ) from error
