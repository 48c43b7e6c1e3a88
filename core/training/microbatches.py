"""Sizes of micro-batches, computed from text lengths without tokens and without torch.

``core.training.batches`` forms the real micro-batches by the same rules. Shapes: n texts, k
micro-batches.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

MICROBATCH_TOKENS = {"cpu": 448, "cuda": 32768}  # most tokens of one, including padding
BF16_TOKENS = 512  # in a training step in bf16, where values need half the memory; 576: 17 MB more
MIN_THREAD_TOKENS = 128  # fewer tokens are not worth a separate thread
SLACK = 1.1  # room for the last text of a micro-batch
DEFAULT_TOKENS_PER_TEXT = 53  # if no length is known
POOL_BATCHES = 50  # batches per pool; texts are sorted by length within one, as in group_by_length
SIMULATED_POOLS = 4  # enough for the mean; more would only slow down the form
SEED = 0


@dataclass(frozen=True, slots=True)
class Microbatches:
    """Rows and tokens (including padding) of each micro-batch, both (k,).

    Each stands for ``weight`` similar ones; ``parallel`` of them are in memory at the same time.
    """

    rows: NDArray[np.float64]
    tokens: NDArray[np.float64]
    weight: float = 1.0
    parallel: int = 1


def choose_training_tokens(device: str, bf16: bool) -> int:
    """Return the most tokens of a micro-batch in training; ``bf16`` is whether the hand-written
    encoder trains in bf16.
    """
    return BF16_TOKENS if bf16 and device == "cpu" else MICROBATCH_TOKENS[device]


def compute_microbatch_limit(tokens: int, microbatch_tokens: int, threads: int) -> int:
    """Return the most tokens of a micro-batch, at most ``microbatch_tokens``, such that ``threads``
    share a batch of ``tokens`` evenly.
    """
    parallel = max(1, min(threads, tokens // MIN_THREAD_TOKENS))
    if parallel == 1:
        return microbatch_tokens
    rounds = math.ceil(tokens / (parallel * microbatch_tokens))
    return min(microbatch_tokens, int(SLACK * tokens / (parallel * rounds)))


def resample_lengths(lengths: NDArray[np.int64], rows: int, max_tokens: int) -> NDArray[np.int64]:
    """Return lengths (rows,) distributed like the sorted ``lengths``, truncated to ``max_tokens``;
    all equal if no length is known.
    """
    if not len(lengths):
        return np.full(rows, min(DEFAULT_TOKENS_PER_TEXT, max_tokens), dtype=np.int64)
    places = ((np.arange(rows) + 0.5) / max(rows, 1) * len(lengths)).astype(np.int64)
    return np.minimum(lengths[places], max_tokens)


def simulate_train_microbatches(
    lengths: NDArray[np.int64],
    rows: int,
    batch_size: int,
    max_tokens: int,
    microbatch_tokens: int,
    threads: int = 1,
) -> Microbatches:
    """Simulate the micro-batches of an epoch, ``threads`` of them in parallel.

    The epoch has ``rows`` texts with lengths distributed like ``lengths``.
    """
    pool = batch_size * POOL_BATCHES
    simulated = rows if rows <= SIMULATED_POOLS * pool else SIMULATED_POOLS * pool
    texts = np.random.default_rng(SEED).permutation(
        resample_lengths(lengths, simulated, max_tokens)
    )
    sizes: list[tuple[int, int]] = []
    for start in range(0, len(texts), pool):
        members = np.sort(texts[start : start + pool])
        for first in range(0, len(members), batch_size):
            batch = members[first : first + batch_size]
            sizes += _split_sizes(
                batch, compute_microbatch_limit(int(batch.sum()), microbatch_tokens, threads)
            )
    return replace(_tabulate(sizes, rows / max(simulated, 1)), parallel=threads)


def simulate_evaluation_microbatches(
    lengths: NDArray[np.int64], rows: int, max_tokens: int, microbatch_tokens: int
) -> Microbatches:
    """Simulate the micro-batches of an evaluation of ``rows`` texts, longest first."""
    simulated = min(rows, 2000)
    return _tabulate(
        _split_sizes(resample_lengths(lengths, simulated, max_tokens), microbatch_tokens),
        rows / max(simulated, 1),
    )


def _split_sizes(ascending: NDArray[np.int64], microbatch_tokens: int) -> list[tuple[int, int]]:
    """Return (rows, tokens of the longest text) of each micro-batch, longest first."""
    sizes, left = [], len(ascending)
    while left:
        longest = int(ascending[left - 1])
        rows = min(left, max(1, microbatch_tokens // longest))
        sizes.append((rows, longest))
        left -= rows
    return sizes


def _tabulate(sizes: list[tuple[int, int]], weight: float) -> Microbatches:
    table = np.array(sizes, dtype=np.float64).reshape(-1, 2)
    return Microbatches(table[:, 0], table[:, 1], weight)
