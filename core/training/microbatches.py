"""How texts are put together for the model: sizes of the parts that go through it at once, without
its tokens and without torch.

``core.training.batches`` forms the real ones by the same rules. Shapes: n texts, k parts.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

MICROBATCH_TOKENS = {"cpu": 448, "cuda": 32768}  # the most tokens of a part, with their padding
LANE_TOKENS = 128  # of a part that is worth a thread of its own
SLACK = 1.1  # for the last text of a part
USUAL_TOKENS = 53  # of a text, where no length is known
POOL_BATCHES = 50  # texts are sorted by length within pools of so many batches
SIMULATED_POOLS = 4  # enough for the mean of all: more would take the form longer than they tell
SEED = 0


@dataclass(frozen=True, slots=True)
class Microbatches:
    """Rows and tokens (with padding) of each part, both (k,), each of which stands for ``weight``
    parts like it.

    ``at_once`` of them are in memory together.
    """

    rows: NDArray[np.float64]
    tokens: NDArray[np.float64]
    weight: float = 1.0
    at_once: int = 1


def microbatch_limit(tokens: int, part_tokens: int, threads: int) -> int:
    """The most tokens of a part of a batch of so many, such that each of ``threads`` has about as
    much to do; ``part_tokens`` at most.
    """
    lanes = max(1, min(threads, tokens // LANE_TOKENS))
    if lanes == 1:
        return part_tokens
    rounds = math.ceil(tokens / (lanes * part_tokens))
    return min(part_tokens, int(SLACK * tokens / (lanes * rounds)))


def spread(lengths: NDArray[np.int64], rows: int, max_tokens: int) -> NDArray[np.int64]:
    """Lengths (rows,) that are distributed as the sorted ``lengths``, cut at ``max_tokens``; all
    the same where none is known.
    """
    if not len(lengths):
        return np.full(rows, min(USUAL_TOKENS, max_tokens), dtype=np.int64)
    places = ((np.arange(rows) + 0.5) / max(rows, 1) * len(lengths)).astype(np.int64)
    return np.minimum(lengths[places], max_tokens)


def train_microbatches(
    lengths: NDArray[np.int64],
    rows: int,
    batch_size: int,
    max_tokens: int,
    part_tokens: int,
    threads: int = 1,
) -> Microbatches:
    """The parts of one epoch over ``rows`` texts whose lengths are distributed as ``lengths``,
    ``threads`` of them side by side.
    """
    pool = batch_size * POOL_BATCHES
    simulated = rows if rows <= SIMULATED_POOLS * pool else SIMULATED_POOLS * pool
    texts = np.random.default_rng(SEED).permutation(spread(lengths, simulated, max_tokens))
    sizes: list[tuple[int, int]] = []
    for start in range(0, len(texts), pool):
        members = np.sort(texts[start : start + pool])
        for first in range(0, len(members), batch_size):
            batch = members[first : first + batch_size]
            sizes += _cut(batch, microbatch_limit(int(batch.sum()), part_tokens, threads))
    return replace(_parts(sizes, rows / max(simulated, 1)), at_once=threads)


def evaluation_microbatches(
    lengths: NDArray[np.int64], rows: int, max_tokens: int, part_tokens: int
) -> Microbatches:
    """The parts in which ``rows`` texts are predicted, longest first."""
    simulated = min(rows, 2000)
    return _parts(
        _cut(spread(lengths, simulated, max_tokens), part_tokens), rows / max(simulated, 1)
    )


def _cut(ascending: NDArray[np.int64], part_tokens: int) -> list[tuple[int, int]]:
    """(rows, tokens of the longest) of each part, longest first."""
    sizes, left = [], len(ascending)
    while left:
        longest = int(ascending[left - 1])
        rows = min(left, max(1, part_tokens // longest))
        sizes.append((rows, longest))
        left -= rows
    return sizes


def _parts(sizes: list[tuple[int, int]], weight: float) -> Microbatches:
    table = np.array(sizes, dtype=np.float64).reshape(-1, 2)
    return Microbatches(table[:, 0], table[:, 1], weight)
