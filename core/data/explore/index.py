"""The index of a prepared dataset: texts, lengths and word ids as memory-mapped arrays.

``<home>/data/<fingerprint>/index/{texts,words,patterns}.arrow, index.json``. Rows of all splits are
in the order train, validation, test. Queries (which rows match, how often a word occurs) are array
operations without a loop over texts. Jobs build it in one pass: 1,000,000 texts of 40 words take
about 50 s of one core and 1 GB of memory.
"""

import hashlib
import itertools
import mmap
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
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
from core.data.explore.boilerplate import Pattern, PatternKind, find_patterns
from core.data.explore.words import fold, split_words
from core.data.rows import mix_positions
from core.data.sources import Split
from core.errors import ArtifactDamaged, Stopped
from core.progress import Phase, Progress
from core.storage import files

Length = Literal["characters", "words", "tokens"]
FORMAT = 1  # a new number invalidates every index
FOLDER = "index"
TABLES = ("texts", "words", "patterns")
PART_ROWS = 100_000  # 25 MB of news items
PART_WORDS = 1_000_000  # 8 MB as 64-bit numbers
NUMBERS = {
    "row": pa.int32(),
    "label": pa.int16(),
    "characters": pa.int32(),
    "words": pa.int32(),
    "tokens": pa.int32(),
}

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class IndexCard:
    """The content of ``index.json``: rows per split, and the checksum of each table."""

    format: int
    rows: dict[Split, int]
    checksums: dict[str, str]


CARD = TypeAdapter(IndexCard)


@dataclass(frozen=True, eq=False)
class TextIndex:
    """Index of n rows with V words in order of frequency and W occurrences.

    ``word_ids`` (W,) concatenates the words of all rows; row i is ``word_starts`` (n + 1,) i to i +
    1. The arrays are read-only views of mapped files.
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
    mapped: tuple[mmap.mmap, ...] = ()

    def list_parts(self, rows: int = PART_ROWS) -> list[slice]:
        """Return slices of all rows, for a pass over a whole column: with a million texts it takes
        more memory than the rest of the server, so ``release`` each part after its use.
        """
        return [slice(start, min(start + rows, len(self))) for start in range(0, len(self), rows)]

    def release(self) -> None:
        """Let the kernel count the pages of the mapped files as its cache again. The next access
        maps them again, from the cache.
        """
        for content in self.mapped:
            content.madvise(mmap.MADV_DONTNEED)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def mixed(self) -> NDArray[np.int32]:
        """The rows (n,) in a fixed random order."""
        return mix_positions(np.arange(len(self)), len(self)).astype(np.int32)

    def mix(self, positions: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the positions in the fixed random order, without sorting them."""
        chosen = np.zeros(len(self), dtype=bool)
        chosen[positions] = True
        mixed: NDArray[np.int32] = self.mixed[chosen[self.mixed]]
        return mixed

    def word_id(self, word: str) -> int | None:
        """Return the id of a folded word, or None if no text contains it."""
        position = pc.index(self.words, pa.scalar(word, pa.large_string())).as_py()
        return None if position < 0 else int(position)

    def text(self, row: int) -> str:
        """Return the original text of row ``row``."""
        return str(self.texts[row].as_py())


def index_folder(dataset: Dataset) -> Path:
    """Folder of the index of ``dataset``."""
    return dataset.folder / FOLDER


def open_index(dataset: Dataset) -> TextIndex:
    """Map the index of ``dataset``. Raises ArtifactDamaged if it is missing, changed, or of another
    format version.
    """
    folder = index_folder(dataset)
    try:
        card = CARD.validate_python(files.read_json(folder / "index.json"))
        mapped = {
            name: _map_file(folder / f"{name}.arrow", card.checksums.get(name, ""))
            for name in TABLES
        }
        tables = {name: _read_table(content) for name, content in mapped.items()}
    except (ArtifactDamaged, ValidationError, OSError, ValueError, pa.ArrowException) as error:
        raise ArtifactDamaged(
            f"The index of {dataset.name} is missing or damaged.", AGAIN
        ) from error
    rows: dict[Split, int] = {split: dataset.rows(split) for split in SPLITS}
    if card.format != FORMAT or card.rows != rows:
        raise ArtifactDamaged(f"The index of {dataset.name} has another format version.", AGAIN)
    return replace(_from_tables(card, **tables), mapped=tuple(mapped.values()))


def write_index(
    folder: Path, splits: dict[Split, int], texts: pa.Table, words: pa.Table, patterns: pa.Table
) -> None:
    """Write the tables to ``folder`` atomically."""
    with files.scratch_folder(folder) as part:
        written: dict[str, bytes | Path] = {}
        checksums = {}
        for name, table in zip(TABLES, (texts, words, patterns), strict=True):
            written[f"{name}.arrow"] = path = part / name
            checksums[name] = _write_table(path, table)
        card = IndexCard(FORMAT, splits, checksums)
        files.write_folder(folder, written | {"index.json": CARD.dump_json(card, indent=1)})


def read_rows(index: TextIndex, positions: NDArray[np.int64] | NDArray[np.int32]) -> pd.DataFrame:
    """Read the rows at ``positions``: row, text, label, characters, words, tokens."""
    lengths: dict[str, np.ndarray] = {
        name: values[positions] for name, values in index.lengths.items()
    }
    texts = index.texts.take(pa.array(positions)).to_pylist()
    index.release()  # the kernel may map 2 MB for each text
    return pd.DataFrame(
        {"row": index.rows[positions], "text": texts, "label": index.labels[positions], **lengths}
    )


def _from_tables(
    card: IndexCard, texts: pa.Table, words: pa.Table, patterns: pa.Table
) -> TextIndex:
    bounds = np.cumsum([0, *(card.rows[split] for split in SPLITS)]).tolist()
    occurrences = _get_chunk(texts, "words_in_order", pa.large_list(pa.uint32()))
    rows = _get_chunk(patterns, "rows", pa.large_list(pa.int32()))
    starts = rows.offsets.to_numpy()
    pattern_rows = zip(
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
        labels=_get_numbers(texts, "label"),
        rows=_get_numbers(texts, "row"),
        lengths={
            "characters": _get_numbers(texts, "characters"),
            "words": _get_numbers(texts, "words"),
            "tokens": _get_numbers(texts, "tokens"),
        },
        texts=_get_chunk(texts, "text", pa.large_string()),
        folded=_get_chunk(texts, "folded", pa.large_string()),
        word_starts=occurrences.offsets.to_numpy(),
        word_ids=occurrences.values.to_numpy(),
        words=_get_chunk(words, "word", pa.large_string()),
        word_counts=_get_numbers(words, "count"),
        patterns=tuple(
            Pattern(name, PatternKind(kind), rows.values.to_numpy()[low:high])
            for name, kind, low, high in pattern_rows
        ),
    )


def _get_chunk(table: pa.Table, name: str, kind: pa.DataType) -> pa.Array:
    column = table[name]
    return column.chunk(0) if column.num_chunks else pa.array([], kind)


def _get_numbers(table: pa.Table, name: str) -> np.ndarray:
    column = table[name]
    return (
        column.chunk(0).to_numpy()
        if column.num_chunks
        else np.zeros(0, column.type.to_pandas_dtype())
    )


def _map_file(path: Path, checksum: str) -> mmap.mmap:
    with path.open("rb") as file:
        # through a small buffer: the pages of a mapping would count as memory of this process
        if hashlib.file_digest(file, "sha256").hexdigest() != checksum:
            raise ArtifactDamaged(f"{path.name} has the wrong checksum.")
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _read_table(content: mmap.mmap) -> pa.Table:
    return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(content))).read_all()


def _write_table(path: Path, table: pa.Table) -> str:
    """Write ``table`` as one batch, and return the SHA-256 of the file."""
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=max(len(table), 1))
    return files.compute_file_checksum(path)


CHUNK_ROWS = 1000  # about 0.1 s between checks for a stop

Report = Callable[[Progress], None]
ShouldStop = Callable[[], bool]


def ensure_index(dataset: Dataset, report: Report, should_stop: ShouldStop) -> TextIndex:
    """Open the index of ``dataset``, or build it if it is missing or damaged. Raises
    ArtifactDamaged and Stopped.
    """
    try:
        return open_index(dataset)
    except ArtifactDamaged:
        _build(dataset, report, should_stop)
    return open_index(dataset)


def _build(dataset: Dataset, report: Report, should_stop: ShouldStop) -> None:
    columns = _TextColumns()
    patterns = find_patterns(_add_texts(columns, dataset, report, should_stop))
    words, counts = columns.words.sort_by_frequency()
    numbers = pd.concat([dataset.read(split, list(NUMBERS)) for split in SPLITS])
    table = pa.table(
        {
            **{name: pa.array(numbers[name], kind) for name, kind in NUMBERS.items()},
            "text": columns.texts.to_arrow(),
            "folded": columns.folded.to_arrow(),
            "words_in_order": columns.words.to_arrow(),
        }
    )
    splits = {split: dataset.rows(split) for split in SPLITS}
    word_table = pa.table({"word": pa.array(words, pa.large_string()), "count": pa.array(counts)})
    write_index(index_folder(dataset), splits, table, word_table, _tabulate_patterns(patterns))


class _Strings:
    """A column of strings that grows in one buffer, so that no second copy of it is needed."""

    def __init__(self) -> None:
        self.starts, self.content = array("q", [0]), bytearray()

    def extend(self, values: list[str]) -> None:
        for value in values:
            self.content += value.encode()
            self.starts.append(len(self.content))

    def to_arrow(self) -> pa.LargeStringArray:
        """Return an array that shares the buffers."""
        buffers = map(pa.py_buffer, (self.starts, self.content))
        return pa.LargeStringArray.from_buffers(len(self.starts) - 1, *buffers)


class _WordIds:
    """The words of each text as ids: ``vocabulary`` has the id of each word."""

    def __init__(self) -> None:
        self.vocabulary: dict[str, int] = defaultdict(itertools.count().__next__)
        self.starts, self.ids = array("q", [0]), array("I")

    def extend(self, folded: list[str]) -> None:
        id_of = self.vocabulary.__getitem__  # a new word gets the next id
        for text in folded:
            self.ids.extend(map(id_of, split_words(text)))
            self.starts.append(len(self.ids))

    def sort_by_frequency(self) -> tuple[list[str], NDArray[np.int64]]:
        """Renumber the ids by descending frequency (ties alphabetically), and return the words and
        their counts.
        """
        words, ids = list(self.vocabulary), np.frombuffer(self.ids, np.uint32)
        parts = [ids[start : start + PART_WORDS] for start in range(0, len(ids), PART_WORDS)]
        counts = np.zeros(len(words), np.int64)
        for part in parts:
            counts += np.bincount(part, minlength=len(words))
        order = sorted(range(len(words)), key=lambda word: (-counts[word], words[word]))
        ranks = np.empty(len(words), np.uint32)
        ranks[order] = np.arange(len(words), dtype=np.uint32)
        for part in parts:
            part[:] = ranks[part]
        return [words[word] for word in order], counts[order]

    def to_arrow(self) -> pa.LargeListArray:
        """Return an array that shares the buffers."""
        starts, ids = np.frombuffer(self.starts, np.int64), np.frombuffer(self.ids, np.uint32)
        return pa.LargeListArray.from_arrays(pa.array(starts), pa.array(ids))


class _TextColumns:
    """The columns of the index that are made from the texts."""

    def __init__(self) -> None:
        self.texts, self.folded, self.words = _Strings(), _Strings(), _WordIds()

    def extend(self, texts: list[str]) -> None:
        folded = [fold(text) for text in texts]
        self.texts.extend(texts)
        self.folded.extend(folded)
        self.words.extend(folded)


def _add_texts(
    columns: _TextColumns, dataset: Dataset, report: Report, should_stop: ShouldStop
) -> Iterator[str]:
    """Add all texts to ``columns`` in one pass, and yield each."""
    row, total = 0, sum(dataset.rows(split) for split in SPLITS)
    for split in SPLITS:
        for texts in dataset.iterate_texts(split, CHUNK_ROWS):
            _check_stop(should_stop)
            report(Progress(Phase.INDEXING, row, total))
            columns.extend(texts)
            yield from texts
            row += len(texts)
    report(Progress(Phase.INDEXING, row, total))


def _tabulate_patterns(patterns: list[Pattern]) -> pa.Table:
    return pa.table(
        {
            "name": pa.array([pattern.name for pattern in patterns], pa.string()),
            "kind": pa.array([pattern.kind.value for pattern in patterns], pa.string()),
            "rows": pa.array([pattern.rows for pattern in patterns], pa.large_list(pa.int32())),
        }
    )


def _check_stop(should_stop: ShouldStop) -> None:
    if should_stop():
        raise Stopped("The preparation was stopped.", AGAIN)
