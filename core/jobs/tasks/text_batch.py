"""The rows of a file that a run classifies: every row of it, its text, and its true label if any.

<home>/batches/<key>.parquet
    The columns of the file, and those of ``Batch`` under names that no file can hold.

The key is a hash of the content, so an existing file is never stale.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.data.splits.columns import ColumnProposal, propose_columns
from core.data.splits.labels import read_label
from core.data.tables.json_values import JsonReader
from core.data.tables.labeling_exports import to_cell
from core.data.tables.read_report import ReadReport
from core.data.tables.table import FileFormat, Table
from core.data.tables.whole_table import WholeTable
from core.errors import ArtifactDamaged, DataError
from core.settings import Settings
from core.storage import files

if TYPE_CHECKING:
    import pandas as pd

KEPT_BATCHES = 20
AGAIN = "Upload the file again."
NO_TEXT = "no text"
TEXT, LABEL, PROBLEM, ORIGINAL = "\0text", "\0label", "\0problem", "\0original"
SHOWN_NAMES = 12
SAMPLE_ROWS = 2000


@dataclass(frozen=True, eq=False)
class Batch:
    """All rows of a file.

    Args:
        frame: The columns of the file.
        texts: Text of each row; empty in rows that are not classified.
        labels: True label of each row, empty if it has none; None without a column of labels.
        problems: Why a row is not classified; empty for the others.
        originals: Lines of unreadable rows as they are written; empty for the others.
        text: Name of the column of texts.
        label: Name of the column of labels; empty without one.
        is_json: Whether the cells of ``frame`` are JSON.
    """

    frame: "pd.DataFrame" = field(repr=False)
    texts: list[str] = field(repr=False)
    labels: list[str] | None = field(repr=False)
    problems: list[str] = field(repr=False)
    originals: list[str] = field(repr=False)
    text: str
    label: str = ""
    is_json: bool = False

    @property
    def filled(self) -> list[str]:
        """Texts of the rows that are classified."""
        return [text for text in self.texts if text]


def build_batch(table: WholeTable, text: str, label: str = "") -> Batch:
    """Choose the columns text and, with ``label``, true labels.

    Raises DataError if a column is missing.
    """
    for column in (text, *([label] if label else [])):
        _require(table, column)
    cells = read_cells(table.frame[text], table.is_json)
    texts, problems, originals = [], [], []
    for position, cell in enumerate(cells):
        problem = table.problems.get(position, "")
        clean = (cell or "").replace("\0", "")
        if not problem and not clean.strip():
            problem = NO_TEXT
        texts.append("" if problem else clean)
        problems.append(problem)
        originals.append(table.originals.get(position, ""))
    labels = read_labels(table, label) if label else None
    return Batch(table.frame, texts, labels, problems, originals, text, label, table.is_json)


def _require(table: WholeTable, column: str) -> None:
    if column in table.columns:
        return
    more = " and more" if len(table.columns) > SHOWN_NAMES else ""
    listed = ", ".join(map(repr, table.columns[:SHOWN_NAMES])) + more
    raise DataError(f"{table.name} has no column {column!r}.", f"Its columns are {listed}.")


def propose(table: WholeTable) -> ColumnProposal:
    """Propose the columns of texts and labels."""
    import pandas as pd  # noqa: PLC0415 - the command line also runs without tables

    head = table.frame.head(SAMPLE_ROWS)
    cells = {name: read_cells(head[name], table.is_json) for name in head.columns}
    sample = pd.DataFrame(cells, dtype=object)
    return propose_columns(Table(sample, FileFormat(table.name, "delimited", 0), ReadReport()))


def read_labels(table: WholeTable, column: str) -> list[str]:
    """Return the label of each row as it is written, without blanks around it; empty if there is
    none, or several.
    """
    if names := table.class_names.get(column, []):
        ids = list_values(table.frame[column])
        return [
            names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else "" for cell in ids
        ]
    return [read_label(cell) for cell in read_cells(table.frame[column], table.is_json)]


def to_plain_frame(frame: "pd.DataFrame", json_columns: int) -> "pd.DataFrame":
    """Return a frame of texts, of which the first ``json_columns`` columns hold JSON."""
    import pandas as pd  # noqa: PLC0415 - the command line also runs without tables

    cells = {
        name: to_plain(frame[name], position < json_columns)
        for position, name in enumerate(frame.columns)
    }
    return pd.DataFrame(cells, dtype=object)


def to_plain(column: "pd.Series[Any]", is_json: bool) -> list[str | None]:
    """Return cells as texts, lists and objects as JSON; None where there is no value."""
    if is_json:
        return [_json_text(cell) if isinstance(cell, str) else None for cell in column]
    return [_text(cell) for cell in list_values(column)]


def read_cells(column: "pd.Series[Any]", is_json: bool) -> list[str | None]:
    """Return cells as the reader of datasets does: a list or object of one value is this value."""
    if not is_json:
        return to_plain(column, is_json)
    return [
        to_cell(JsonReader().parse(cell))
        if isinstance(cell, str) and cell.startswith(("[", "{"))
        else plain
        for cell, plain in zip(column, to_plain(column, is_json), strict=True)
    ]


def _json_text(cell: str) -> str | None:
    if cell.startswith('"'):
        return str(json.loads(cell))
    return None if cell == "null" else cell


def list_values(column: "pd.Series[Any]") -> list[Any]:
    """Return the values of a column as Python's, None for none; times in a zone that this machine
    does not know are in UTC.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above

    values = pa.array(column)
    try:
        return list(values.to_pylist())
    except (ValueError, KeyError):
        times = values.cast(pa.timestamp(values.type.unit))
        return [f"{time} UTC" if time else None for time in times.cast(pa.string()).to_pylist()]


def _text(cell: Any) -> str | None:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, (list, dict)):
        return json.dumps(cell, ensure_ascii=False, default=str)
    if cell is None:
        return None
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def store_batch(settings: Settings, batch: Batch, needed: Collection[str] = ()) -> str:
    """Store the rows for the worker and return their key.

    Of all stored files that are not ``needed``, the oldest are removed.
    """
    added = {TEXT: batch.texts, PROBLEM: batch.problems, ORIGINAL: batch.originals}
    if batch.labels is not None:
        added[LABEL] = batch.labels
    data = batch.frame.assign(**added).to_parquet(index=False)
    key = files.compute_checksum(data)[:16]
    path = batch_path(settings, key)
    files.write_bytes(path, data)
    done = [each for each in path.parent.glob("*.parquet") if each.stem not in needed]
    by_age = sorted(done, key=lambda each: each.stat().st_mtime)
    for old in by_age[:-KEPT_BATCHES]:
        old.unlink(missing_ok=True)
    return key


def batch_path(settings: Settings, key: str) -> Path:
    """Return the path of the rows with this key."""
    return settings.home / "batches" / f"{key}.parquet"


def read_batch(settings: Settings, key: str, text: str, label: str, is_json: bool) -> Batch:
    """Read stored rows. Raises ArtifactDamaged."""
    path = batch_path(settings, key)
    if not path.is_file():
        raise ArtifactDamaged("The texts of this file are no longer stored.", AGAIN)
    frame = read_columns(path)
    if TEXT not in frame:
        raise ArtifactDamaged("The texts of this file were stored by an earlier version.", AGAIN)
    added = {name: frame.pop(name).tolist() for name in (TEXT, PROBLEM, ORIGINAL)}
    labels = frame.pop(LABEL).tolist() if LABEL in frame else None
    texts, problems, originals = added[TEXT], added[PROBLEM], added[ORIGINAL]
    return Batch(frame, texts, labels, problems, originals, text, label, is_json)


def read_columns(path: Path) -> "pd.DataFrame":
    """Read a Parquet file with the types that it has. Raises ArtifactDamaged."""
    import pandas as pd  # noqa: PLC0415 - as above
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.parquet as pq  # noqa: PLC0415 - as above

    try:
        content = pq.read_table(path).to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ArtifactDamaged(
            f"{path.name} is missing or damaged ({type(error).__name__})."
        ) from error
    frame: pd.DataFrame = content
    return frame
