"""The index of a prepared dataset: its texts, lengths and word ids as arrays that lie on disk and
are mapped, not read.

``<home>/data/<fingerprint>/index/{texts,words,patterns}.arrow, index.json``. Rows stand in one
order for all splits: train, validation, test. What a page asks (which rows match, how often a word
occurs) is a pass over arrays, without a loop over texts.
"""

import hashlib
import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from core.data.dataset import AGAIN, SPLITS, Dataset
from core.data.explore.boilerplate import Pattern, PatternKind
from core.data.rows import mix_positions
from core.data.sources import Split
from core.errors import ArtifactDamaged
from core.storage import files

Length = Literal["characters", "words", "tokens"]
FORMAT = 1  # another number makes every index be built anew
FOLDER = "index"
TABLES = ("texts", "words", "patterns")

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class IndexCard:
    """What ``index.json`` says: the rows of each split, and each table's checksum."""

    format: int
    rows: dict[Split, int]
    checksums: dict[str, str]


CARD = TypeAdapter(IndexCard)


@dataclass(frozen=True, eq=False)
class TextIndex:
    """n rows, V words in order of frequency, W occurrences. The arrays belong to mapped files:
    never change them.

    ``word_ids`` (W,) lists the words of each row one row after the other; those of row i are from
    ``word_starts`` (n + 1,) i to i + 1.
    """

    splits: dict[Split, slice]
    labels: NDArray[np.int16]
    rows: NDArray[np.int32]
    lengths: dict[Length, NDArray[np.int32]]
    texts: pa.LargeStringArray
    folded: pa.LargeStringArray
    word_starts: NDArray[np.int64]
    word_ids: NDArray[np.uint32]
    words: pa.LargeStringArray
    word_counts: NDArray[np.int64]
    patterns: tuple[Pattern, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def mixed(self) -> NDArray[np.int32]:
        """The rank of each row in an order at random that is always the same."""
        order = mix_positions(np.arange(len(self)), len(self))
        ranks = np.empty(len(self), np.int32)
        ranks[order] = np.arange(len(self), dtype=np.int32)
        return ranks

    def word_id(self, word: str) -> int | None:
        """The id of a folded word, or None if no text has it."""
        place = pc.index(self.words, pa.scalar(word, pa.large_string())).as_py()
        return None if place < 0 else int(place)

    def text(self, row: int) -> str:
        """The text in row ``row`` as it was written."""
        return str(self.texts[row].as_py())


def index_folder(dataset: Dataset) -> Path:
    """Where the index of ``dataset`` is kept."""
    return dataset.folder / FOLDER


def open_index(dataset: Dataset) -> TextIndex:
    """Map the index of ``dataset``. Raises ArtifactDamaged if it is missing, of another format or
    not what was written.
    """
    folder = index_folder(dataset)
    try:
        card = CARD.validate_python(files.read_json(folder / "index.json"))
        tables = {
            name: _map(folder / f"{name}.arrow", card.checksums.get(name, "")) for name in TABLES
        }
    except (ArtifactDamaged, ValidationError, OSError, ValueError, pa.ArrowException) as error:
        raise ArtifactDamaged(
            f"The index of {dataset.name} is missing or damaged.", AGAIN
        ) from error
    rows: dict[Split, int] = {split: dataset.rows(split) for split in SPLITS}
    if card.format != FORMAT or card.rows != rows:
        raise ArtifactDamaged(f"The index of {dataset.name} is of another version.", AGAIN)
    return _from_tables(card, **tables)


def write_index(
    folder: Path, splits: dict[Split, int], texts: pa.Table, words: pa.Table, patterns: pa.Table
) -> None:
    """Put the tables at ``folder``, together or not at all."""
    contents = {
        name: _to_bytes(table) for name, table in zip(TABLES, (texts, words, patterns), strict=True)
    }
    card = IndexCard(
        FORMAT, splits, {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    )
    named = {f"{name}.arrow": data for name, data in contents.items()}
    files.write_folder(folder, named | {"index.json": CARD.dump_json(card, indent=1)})


def read_rows(index: TextIndex, positions: NDArray[np.int64]) -> pd.DataFrame:
    """Rows at ``positions``: row, text, label, characters, words, tokens."""
    lengths: dict[str, np.ndarray] = {
        name: values[positions] for name, values in index.lengths.items()
    }
    texts = index.texts.take(pa.array(positions)).to_pylist()
    return pd.DataFrame(
        {"row": index.rows[positions], "text": texts, "label": index.labels[positions], **lengths}
    )


def _from_tables(
    card: IndexCard, texts: pa.Table, words: pa.Table, patterns: pa.Table
) -> TextIndex:
    bounds = np.cumsum([0, *(card.rows[split] for split in SPLITS)]).tolist()
    occurrences = _only_chunk(texts, "words_in_order", pa.large_list(pa.uint32()))
    rows = _only_chunk(patterns, "rows", pa.large_list(pa.int32()))
    starts = rows.offsets.to_numpy()
    found = zip(
        patterns["name"].to_pylist(),
        patterns["kind"].to_pylist(),
        starts[:-1],
        starts[1:],
        strict=True,
    )
    return TextIndex(
        splits={
            split: slice(bounds[number], bounds[number + 1]) for number, split in enumerate(SPLITS)
        },
        labels=_numbers(texts, "label"),
        rows=_numbers(texts, "row"),
        lengths={
            "characters": _numbers(texts, "characters"),
            "words": _numbers(texts, "words"),
            "tokens": _numbers(texts, "tokens"),
        },
        texts=_only_chunk(texts, "text", pa.large_string()),
        folded=_only_chunk(texts, "folded", pa.large_string()),
        word_starts=occurrences.offsets.to_numpy(),
        word_ids=occurrences.values.to_numpy(),
        words=_only_chunk(words, "word", pa.large_string()),
        word_counts=_numbers(words, "count"),
        patterns=tuple(
            Pattern(name, PatternKind(kind), rows.values.to_numpy()[low:high])
            for name, kind, low, high in found
        ),
    )


def _only_chunk(table: pa.Table, name: str, kind: pa.DataType) -> pa.Array:
    column = table[name]
    return column.chunk(0) if column.num_chunks else pa.array([], kind)


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    column = table[name]
    return (
        column.chunk(0).to_numpy()
        if column.num_chunks
        else np.zeros(0, column.type.to_pandas_dtype())
    )


def _map(path: Path, checksum: str) -> pa.Table:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        if hashlib.sha256(content).hexdigest() != checksum:
            raise ArtifactDamaged(f"{path.name} is not what was written.")
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=max(len(table), 1))
    return bytes(sink.getvalue())
