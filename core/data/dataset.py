"""A prepared dataset: its card, and Parquet files with one line a text, which the server reads with
pandas.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from core.data.sources import SourceKind, Split
from core.errors import ArtifactDamaged
from core.storage import files

SPLITS: tuple[Split, ...] = get_args(Split)
AGAIN = "Prepare the data again."


@dataclass(frozen=True, slots=True)
class DataFile:
    """What a prepared file must be: ``name.parquet`` of so many bytes and rows."""

    split: Split
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """What ``dataset.json`` says."""

    format: Literal[1]  # another number makes every dataset be prepared anew
    fingerprint: str
    source: SourceKind
    name: str
    classes: tuple[str, ...]
    notes: tuple[str, ...]
    files: tuple[DataFile, ...]


@dataclass(frozen=True, slots=True)
class Dataset:
    """A prepared dataset. ``train_rows`` counts the source's training split, of which
    ``validation_rows`` are kept for validation.
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
        """Rows of ``split``: row, text, label, characters, words, tokens. ``train`` is without the
        validation rows.

        Raises ArtifactDamaged if the file is missing or is not what was written.
        """
        try:
            frame = files.read_parquet(self._path(split), columns)
        except ArtifactDamaged as error:
            raise ArtifactDamaged(
                f"The prepared data of {self.name}: {error.message}", AGAIN
            ) from error
        if len(frame) != self.rows(split):
            raise ArtifactDamaged(
                f"{split}.parquet of {self.name} has {len(frame):,} rows instead of"
                f" {self.rows(split):,}.",
                AGAIN,
            )
        return frame

    def rows(self, split: Split) -> int:
        """Rows that ``read(split)`` gives."""
        return next(file.rows for file in self.files if file.split == split)

    def is_complete(self) -> bool:
        """Whether each file is there with the size it was written with. Takes no reading."""
        return all(
            self._path(file.split).is_file() and self._path(file.split).stat().st_size == file.size
            for file in self.files
        )

    def is_intact(self) -> bool:
        """Whether each byte is as it was written."""
        return self.is_complete() and all(
            checksum(self._path(file.split).read_bytes()) == file.sha256 for file in self.files
        )

    def _path(self, split: Split) -> Path:
        return self.folder / f"{split}.parquet"


CARD = TypeAdapter(DatasetCard)


def read_dataset(folder: Path) -> Dataset:
    """The dataset kept in ``folder``. Raises ArtifactDamaged if its card is damaged or a file is
    missing or cut short.
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
    """The dataset that ``card`` describes, kept in ``folder``."""
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


def write_dataset(card: DatasetCard, folder: Path, contents: dict[str, bytes]) -> Dataset:
    """Put card and files at ``folder``, together or not at all."""
    card_json = CARD.dump_json(card, indent=1)
    files.write_folder(folder, contents | {"dataset.json": card_json})
    return from_card(card, folder)


def checksum(data: bytes) -> str:
    """SHA-256 of ``data`` in hex."""
    return hashlib.sha256(data).hexdigest()
