"""The index of a prepared dataset: texts, lengths and word ids as memory-mapped arrays.

``<home>/data/<fingerprint>/index/{texts,words,patterns}.arrow, index.json``. Rows of all splits are
in the order train, validation, test. Queries (which rows match, how often a word occurs) are array
operations without a loop over texts. Jobs build it in one pass: 120,000 rows take about 20 s.
"""

import hashlib
import mmap
from array import array
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

    def iterate_parts(self, rows: int = PART_ROWS) -> Iterator[slice]:
        """Iterate over slices of all rows, for a pass over a whole column: with a million texts it
        takes more memory than the rest of the server, so each part is released after its use.
        """
        for start in range(0, len(self), rows):
            yield slice(start, min(start + rows, len(self)))
            self.release()

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
    contents = {
        name: _to_bytes(table) for name, table in zip(TABLES, (texts, words, patterns), strict=True)
    }
    card = IndexCard(
        FORMAT, splits, {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    )
    named = {f"{name}.arrow": data for name, data in contents.items()}
    files.write_folder(folder, named | {"index.json": CARD.dump_json(card, indent=1)})


def read_rows(index: TextIndex, positions: NDArray[np.int64] | NDArray[np.int32]) -> pd.DataFrame:
    """Read the rows at ``positions``: row, text, label, characters, words, tokens."""
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
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if hashlib.sha256(content).hexdigest() != checksum:
        raise ArtifactDamaged(f"{path.name} has the wrong checksum.")
    content.madvise(mmap.MADV_DONTNEED)
    return content


def _read_table(content: mmap.mmap) -> pa.Table:
    return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(content))).read_all()


def _to_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks(), max_chunksize=max(len(table), 1))
    return bytes(sink.getvalue())


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
    frame = pd.concat([dataset.read(split) for split in SPLITS], ignore_index=True)
    texts = frame["text"].to_list()
    folded, starts, ids, vocabulary = _read_words(texts, report, should_stop)
    ids, words, counts = _sort_by_frequency(ids, vocabulary)
    patterns = find_patterns(_check_while_iterating(texts, should_stop))
    table = pa.table(
        {
            "row": pa.array(frame["row"], pa.int32()),
            "label": pa.array(frame["label"], pa.int16()),
            **{
                name: pa.array(frame[name], pa.int32())
                for name in ("characters", "words", "tokens")
            },
            "text": pa.array(texts, pa.large_string()),
            "folded": pa.array(folded, pa.large_string()),
            "words_in_order": pa.LargeListArray.from_arrays(pa.array(starts), pa.array(ids)),
        }
    )
    splits = {split: dataset.rows(split) for split in SPLITS}
    word_table = pa.table({"word": pa.array(words, pa.large_string()), "count": pa.array(counts)})
    write_index(index_folder(dataset), splits, table, word_table, _tabulate_patterns(patterns))


def _read_words(
    texts: list[str], report: Report, should_stop: ShouldStop
) -> tuple[list[str], NDArray[np.int64], NDArray[np.uint32], dict[str, int]]:
    """Return the folded texts, the start (n + 1,) of each text's words, the word ids (W,) in order
    of first occurrence, and the vocabulary.
    """
    vocabulary: dict[str, int] = {}
    folded, ids, starts = [], array("I"), array("q", [0])
    for row, text in enumerate(texts):
        if row % CHUNK_ROWS == 0:
            _check_stop(should_stop)
            report(Progress(Phase.INDEXING, row, len(texts)))
        folded.append(fold(text))
        ids.extend(
            [vocabulary.setdefault(word, len(vocabulary)) for word in split_words(folded[-1])]
        )
        starts.append(len(ids))
    report(Progress(Phase.INDEXING, len(texts), len(texts)))
    return folded, np.array(starts, np.int64), np.array(ids, np.uint32), vocabulary


def _sort_by_frequency(
    ids: NDArray[np.uint32], vocabulary: dict[str, int]
) -> tuple[NDArray[np.uint32], list[str], NDArray[np.int64]]:
    """Renumber the word ids by descending frequency (ties alphabetically), and return the ids, the
    words and their counts.
    """
    words = list(vocabulary)
    counts = np.bincount(ids, minlength=len(words))
    order = sorted(range(len(words)), key=lambda word: (-counts[word], words[word]))
    ranks = np.empty(len(words), np.uint32)
    ranks[order] = np.arange(len(words), dtype=np.uint32)
    return ranks[ids], [words[word] for word in order], counts[order].astype(np.int64)


def _tabulate_patterns(patterns: list[Pattern]) -> pa.Table:
    return pa.table(
        {
            "name": pa.array([pattern.name for pattern in patterns], pa.string()),
            "kind": pa.array([pattern.kind.value for pattern in patterns], pa.string()),
            "rows": pa.array([pattern.rows for pattern in patterns], pa.large_list(pa.int32())),
        }
    )


def _check_while_iterating(texts: list[str], should_stop: ShouldStop) -> Iterator[str]:
    for row, text in enumerate(texts):
        if row % CHUNK_ROWS == 0:
            _check_stop(should_stop)
        yield text


def _check_stop(should_stop: ShouldStop) -> None:
    if should_stop():
        raise Stopped("The preparation was stopped.", AGAIN)
