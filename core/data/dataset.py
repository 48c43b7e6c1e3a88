"""A prepared dataset: a card and one Parquet file per split with one row per text, read with
pandas.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from core.data.rows import stratified_sample
from core.data.sources import SourceKind, Split
from core.errors import ArtifactDamaged
from core.storage import files

SPLITS: tuple[Split, ...] = get_args(Split)
AGAIN = "Prepare the data again."
FileState = tuple[int, int, int, int]  # device, inode, time of the last change, bytes
GROUP_ROWS = 10_000  # of a file, which can be read on their own: 3 MB of news items


@dataclass(frozen=True, slots=True)
class DataFile:
    """The expected content of ``<split>.parquet``: rows, size in bytes and SHA-256."""

    split: Split
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """The content of ``dataset.json``."""

    format: Literal[1]  # a new number invalidates every prepared dataset
    fingerprint: str
    source: SourceKind
    name: str
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[DataFile, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A prepared dataset. ``train_rows`` counts the source's training split, including the
    ``validation_rows`` held out for validation.
    """

    fingerprint: str
    source: SourceKind
    name: str
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    train_rows: int
    validation_rows: int
    test_rows: int
    files: tuple[DataFile, ...]
    folder: Path

    def read(self, split: Split, columns: list[str] | None = None) -> pd.DataFrame:
        """Return the rows of ``split``: row, text, label, characters, words, tokens.

        ``train`` excludes the validation rows. Raises ArtifactDamaged if the file is missing or was
        changed.
        """
        with self._name_damage():
            frame = files.read_parquet(self._path(split), columns)
        self._check_rows(split, len(frame))
        return frame

    def identify_file(self, split: Split) -> FileState | None:
        """Return what changes with the file of ``split``; None if it is missing."""
        try:
            status = self._path(split).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size

    def draw_sample(
        self, split: Split, rows: int, seed: int, most: int | None = None
    ) -> pd.DataFrame:
        """Draw ``stratified_sample`` of ``split``, or the first ``most`` of it: row, text, label.

        Only its texts are held in memory. 0 rows means all. Raises ArtifactDamaged.
        """
        total = self.rows(split)
        if (rows or total) >= total and (most or total) >= total:
            return stratified_sample(self.read(split, ["row", "text", "label"]), rows, seed)
        drawn = stratified_sample(self.read_labels(split), rows, seed).head(most or total)
        return self.add_texts(split, drawn)

    def read_labels(self, split: Split) -> pd.DataFrame:
        """Return row, label and position of all rows of ``split``. Raises ArtifactDamaged."""
        frame = self.read(split, ["row", "label"])
        return frame.assign(position=range(len(frame)))

    def add_texts(self, split: Split, chosen: pd.DataFrame) -> pd.DataFrame:
        """Replace the column position of ``chosen`` rows of ``split`` by their texts. Raises
        ArtifactDamaged.
        """
        texts = self.take_texts(split, chosen["position"].to_numpy(np.int64))
        others = chosen.drop(columns="position")
        others.insert(1, "text", pd.Series(texts, others.index, dtype="str"))
        return others

    def take_texts(self, split: Split, positions: NDArray[np.int64]) -> list[str]:
        """Return the texts at ``positions``; only these are held in memory. Raises
        ArtifactDamaged.
        """
        order = np.unique(positions)
        texts: dict[int, str] = {}
        with self._name_damage():
            for start, batch in files.iterate_parquet_groups(self._path(split), "text", order):
                inside = order[(order >= start) & (order < start + len(batch))]
                chosen = batch.take(inside - start).to_pylist()
                texts |= zip(inside.tolist(), chosen, strict=True)
        return [texts[position] for position in positions.tolist()]

    def iterate_texts(self, split: Split, rows: int) -> Iterator[list[str]]:
        """Iterate over the texts of ``split`` in lists of up to ``rows``, so that never more of
        them are in memory. Raises ArtifactDamaged.
        """
        total = 0
        with self._name_damage():
            for batch in files.iterate_parquet(self._path(split), ["text"], rows):
                total += len(batch)
                yield batch["text"].to_pylist()
        self._check_rows(split, total)

    def hash_texts(self, split: Split) -> NDArray[np.uint64]:
        """Return a 64-bit hash of each text of ``split`` (n,). Raises ArtifactDamaged."""
        hashes = [
            pd.util.hash_array(np.array(texts, dtype=object), categorize=False)
            for texts in self.iterate_texts(split, GROUP_ROWS)
        ]
        return np.concatenate([np.empty(0, dtype=np.uint64), *hashes])

    @property
    def card(self) -> DatasetCard:
        """The content of ``dataset.json``."""
        return DatasetCard(
            1, self.fingerprint, self.source, self.name, self.classes, self.notes, self.files
        )

    def rows(self, split: Split) -> int:
        """Return the number of rows in ``split``."""
        return next(file.rows for file in self.files if file.split == split)

    def is_complete(self) -> bool:
        """Whether each file exists with its recorded size. Reads no content."""
        return all(
            self._path(file.split).is_file() and self._path(file.split).stat().st_size == file.size
            for file in self.files
        )

    def is_intact(self) -> bool:
        """Whether the checksum of each file is correct. Reads every byte."""
        return self.is_complete() and all(
            files.compute_file_checksum(self._path(file.split)) == file.sha256
            for file in self.files
        )

    @contextmanager
    def _name_damage(self) -> Iterator[None]:
        try:
            yield
        except ArtifactDamaged as error:
            raise ArtifactDamaged(
                f"The prepared data of {self.name}: {error.message}", AGAIN
            ) from error

    def _check_rows(self, split: Split, rows: int) -> None:
        if rows != self.rows(split):
            raise ArtifactDamaged(
                f"{split}.parquet of {self.name} has {rows:,} rows instead of"
                f" {self.rows(split):,}.",
                AGAIN,
            )

    def _path(self, split: Split) -> Path:
        return self.folder / f"{split}.parquet"


CARD = TypeAdapter(DatasetCard)


def read_dataset(folder: Path) -> Dataset:
    """Open the dataset stored in ``folder``. Raises ArtifactDamaged if its card is damaged or a
    file is missing or truncated.
    """
    try:
        card = CARD.validate_python(files.read_json(folder / "dataset.json"))
    except (ArtifactDamaged, ValidationError) as error:
        raise ArtifactDamaged(
            f"The card of the prepared data {folder.name} is missing or damaged.", AGAIN
        ) from error
    if {file.split for file in card.files} != set(SPLITS):
        raise ArtifactDamaged(
            f"The card of the prepared data {folder.name} does not name its three files.", AGAIN
        )
    dataset = from_card(card, folder)
    if not dataset.is_complete():
        raise ArtifactDamaged(
            f"The prepared data of {card.name} ({card.fingerprint}) is incomplete or damaged.",
            AGAIN,
        )
    return dataset


def from_card(card: DatasetCard, folder: Path) -> Dataset:
    """Return the dataset that ``card`` describes and ``folder`` contains."""
    rows = {file.split: file.rows for file in card.files}
    return Dataset(
        fingerprint=card.fingerprint,
        source=card.source,
        name=card.name,
        classes=card.classes,
        notes=card.notes,
        train_rows=rows["train"] + rows["validation"],
        validation_rows=rows["validation"],
        test_rows=rows["test"],
        files=card.files,
        folder=folder,
    )


def write_split(folder: Path, split: Split, frames: Iterable[pd.DataFrame]) -> DataFile:
    """Write the rows of ``frames``, at least one, to ``<split>.parquet``. Each frame becomes a row
    group, which can be read on its own.
    """
    import pyarrow as pa  # noqa: PLC0415 - the server reads datasets with pandas
    import pyarrow.parquet as pq  # noqa: PLC0415

    path, rows = folder / f"{split}.parquet", 0
    groups = (pa.Table.from_pandas(frame, preserve_index=False) for frame in frames)
    first = next(groups)
    with pq.ParquetWriter(path, first.schema) as writer:
        for group in chain([first], groups):
            writer.write_table(group)
            rows += len(group)
    return DataFile(split, rows, path.stat().st_size, files.compute_file_checksum(path))


def write_dataset(
    card: DatasetCard, folder: Path, part: Path, others: Mapping[str, bytes] | None = None
) -> Dataset:
    """Write the card and ``others`` to ``folder`` and move the splits in ``part`` there, in one
    step.
    """
    named = {f"{file.split}.parquet": part / f"{file.split}.parquet" for file in card.files}
    content = {"dataset.json": CARD.dump_json(card, indent=1), **(others or {})}
    files.write_folder(folder, {**named, **content})
    return from_card(card, folder)
