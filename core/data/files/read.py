"""Read a table somebody brings: CSV, TSV, JSON lines or Parquet, by what it holds and not by its
name. Nothing in it is ever run.
"""

from pathlib import Path

from core.data.files.csv_reader import read_delimited
from core.data.files.json_reader import read_json_rows
from core.data.files.parquet_reader import read_parquet_rows
from core.data.files.sniffing import find_format
from core.data.files.table import ReadOptions, Table, check_size
from core.errors import DataError


def read_table(name: str, data: bytes, reading: ReadOptions | None = None) -> Table:
    """The table in ``data``, a file called ``name``. Raises DataError, which says what to do, for
    whatever is no table.
    """
    check_size(name, len(data))
    chosen = reading or ReadOptions()
    match find_format(name, data):
        case "Parquet":
            return read_parquet_rows(name, data)
        case "JSON lines":
            return read_json_rows(name, data, chosen)
        case _:
            return read_delimited(name, data, chosen)


def read_file(path: Path) -> bytes:
    """The bytes of the file at ``path``, if it is of a size that can be read here. Raises
    DataError.
    """
    path = path.expanduser()
    if not path.is_file():
        what = (
            "is a folder"
            if path.is_dir()
            else "does not exist"
            if not path.exists()
            else "is no ordinary file"
        )
        raise DataError(
            f"{path} {what}.", "Give the path of one file: CSV, TSV, JSON lines or Parquet."
        )
    check_size(path.name, path.stat().st_size)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}).", "Check who may read it."
        ) from error
