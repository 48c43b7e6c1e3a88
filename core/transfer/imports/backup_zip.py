"""Read a backup: a zip of many runs, as ``python -m core backup`` writes it.

    lora-lab-backup.json               {"format": 1}
    people.json                        id and name of the owners, in a teacher's backup
    runs/<id>/job.json                 the record and the learning curves
    runs/<id>/adapter/…                adapter_model.safetensors and adapter_config.json
    runs/<id>/predictions-….parquet    as in the run's folder
    runs/<id>/tags.json

Nothing is unpacked to disk. Only these names are read; other files in the zip are never opened.
"""

import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from core.data.tables.table import clean
from core.errors import ArtifactDamaged, DataError
from core.evaluation.predictions import Predictions
from core.transfer.imports.archive import (
    ADAPTER,
    BAD_ZIP,
    CONFIG,
    JSON_BYTES,
    MOST_BYTES,
    AdapterArchive,
    check_entries,
    require_small_directory,
)
from core.transfer.imports.metadata import MOST_LINES
from core.transfer.imports.peft_adapter import read_object

HEADER, PEOPLE, FORMAT = "lora-lab-backup.json", "people.json", 1
RECORD_BYTES, TABLE_BYTES = 100_000_000, 100_000_000
MOST_FILES = 50_000  # for example 500 runs with 100 validations each
MOST_RUNS = 2000
MOST_UNPACKED = 300_000_000  # bytes of one table
LONGEST_TEXT = 100_000  # bytes
RUN = re.compile(r"runs/([0-9a-f]{8})/job\.json")
TABLE = re.compile(r"predictions-(?:test|untrained|validation(?:-[0-9]{8})?)\.parquet")
AGAIN = "Create the backup again, with python -m core backup or on the page Runs."
FAILURES = (*BAD_ZIP, KeyError, ValueError)


class Backup:
    """An open backup; the names, sizes and types of its entries have been checked."""

    def __init__(self, name: str, archive: zipfile.ZipFile) -> None:
        self.name = name
        self._archive = archive
        entries = archive.infolist()
        check_entries(name, entries, MOST_FILES)
        self._names = {entry.filename for entry in entries}
        if (
            HEADER not in self._names
            or self.read_object(HEADER, JSON_BYTES).get("format") != FORMAT
        ):
            raise DataError(f"{name} is not a backup of runs in a supported format.", AGAIN)

    def list_runs(self) -> list[str]:
        """List the ids of the runs. Raises DataError if there are too many."""
        ids = sorted(match[1] for name in self._names if (match := RUN.fullmatch(name)))
        if len(ids) > MOST_RUNS:
            raise DataError(
                f"{self.name} contains {len(ids):,} runs; the limit is {MOST_RUNS:,}.",
                "Restore several smaller backups.",
            )
        return ids

    def read_object(self, name: str, most: int) -> dict[str, object]:
        """Read a JSON object. Raises DataError."""
        return read_object(self._read(name, most), name)

    def read_list(self, name: str, most: int) -> list[object]:
        """Read a JSON list. Raises DataError."""
        try:
            content = json.loads(self._read(name, most))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name} is not valid JSON ({type(error).__name__}).", AGAIN) from error
        if not isinstance(content, list):
            raise DataError(f"{name} is not a JSON list.", AGAIN)
        return content

    def has(self, name: str) -> bool:
        """Return whether the zip contains a file with that name."""
        return name in self._names

    def read_adapter(self, run: str) -> AdapterArchive | None:
        """Read the adapter of a run, unchecked; None if it has none. Raises DataError."""
        folder = f"runs/{run}/adapter"
        if f"{folder}/{ADAPTER}" not in self._names:
            return None
        return AdapterArchive(
            self.name,
            {
                ADAPTER: self._read(f"{folder}/{ADAPTER}", MOST_BYTES),
                CONFIG: self._read(f"{folder}/{CONFIG}", JSON_BYTES),
            },
        )

    def read_tables(self, run: str, classes: int) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield the file name and the checked predictions of each evaluation of a run.

        Raises DataError.
        """
        for name in sorted(self._names):
            folder, _, file_name = name.rpartition("/")
            if folder == f"runs/{run}" and TABLE.fullmatch(file_name):
                yield file_name, read_table(file_name, self._read(name, TABLE_BYTES), classes)

    def _read(self, name: str, most: int) -> bytes:
        try:
            with self._archive.open(name) as file:
                data = file.read(most + 1)  # the size in the zip's directory may be wrong
        except FAILURES as error:
            raise DataError(
                f"{name[:80]} in {self.name} cannot be read ({type(error).__name__}).", AGAIN
            ) from error
        if len(data) > most:
            raise DataError(
                f"{name[:80]} in {self.name} is larger than {most / 1e6:,.0f} MB.", AGAIN
            )
        return data


@contextmanager
def open_backup(path: Path, name: str = "") -> Iterator[Backup]:
    """Open the backup at ``path``, called ``name`` in messages. Raises DataError."""
    title = name or path.name
    try:
        with path.open("rb") as file:
            require_small_directory(title, file, MOST_FILES)
        archive = zipfile.ZipFile(path)
    except FAILURES as error:
        raise DataError(
            f"{title} is not a readable zip file ({type(error).__name__}).", AGAIN
        ) from error
    with archive:
        yield Backup(title, archive)


def read_table(
    name: str, data: bytes, classes: int, most_unpacked: int = MOST_UNPACKED
) -> pd.DataFrame:
    """Read predictions from Parquet: known columns with valid values only. Raises DataError."""
    import pyarrow as pa  # noqa: PLC0415 - takes half a second to import; only a restore needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    required = ["row", "label", *(f"p{index}" for index in range(classes)), "loss"]
    try:
        texts = ["text"] if "text" in pq.read_schema(pa.BufferReader(data)).names else []
        # as a dictionary, a long text that is repeated a million times is stored once
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
        if file.metadata.num_rows > MOST_LINES:
            raise ValueError(f"{file.metadata.num_rows:,} rows, more than {MOST_LINES:,}")
        columns: dict[str, list[object]] = {column: [] for column in [*required, *texts]}
        unpacked = 0
        for batch in file.iter_batches(1000, columns=[*required, *texts]):
            for column in columns:
                values = _to_list(batch.column(column))
                unpacked += sum(map(len, values)) if column == "text" else 8 * len(values)
                if unpacked > most_unpacked:
                    raise ValueError(f"more than {most_unpacked / 1e6:,.0f} MB")
                columns[column] += values
        return _build_frame(columns, required, classes)
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        MemoryError,
        ArtifactDamaged,
    ) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataError(f"{name} is damaged ({reason}).", AGAIN) from error


def _to_list(column: Any) -> list[Any]:
    """Return the values of a column of a batch: numbers, or texts of a limited length.

    Raises ValueError for other types and for a text that is too long.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415

    if isinstance(column, pa.DictionaryArray):
        # before any text is unpacked
        longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        if longest > LONGEST_TEXT:
            raise ValueError(f"a text of {longest:,} bytes")
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise ValueError(f"a column of type {column.type}")
    return list(column.to_pylist())


def _build_frame(
    columns: dict[str, list[object]], required: Sequence[str], classes: int
) -> pd.DataFrame:
    numbers = {
        column: np.array(
            columns[column], dtype=np.int64 if column in ("row", "label") else np.float32
        )
        for column in required
    }
    frame = pd.DataFrame(numbers)
    if "text" in columns:
        frame["text"] = [clean(str(text)) for text in columns["text"]]
    return Predictions.of(frame, classes).frame
