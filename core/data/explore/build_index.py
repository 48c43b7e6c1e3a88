"""Build the index of a prepared dataset in one pass over its texts. Runs in jobs: 120,000 rows take
about 20 s.
"""

from array import array
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from core.data.dataset import AGAIN, SPLITS, Dataset
from core.data.explore.boilerplate import Pattern, find_patterns
from core.data.explore.index import TextIndex, index_folder, open_index, write_index
from core.data.explore.words import fold, split_words
from core.errors import ArtifactDamaged, Stopped
from core.progress import Phase, Progress

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
