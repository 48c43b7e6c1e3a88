"""Encode texts as token ids, form batches with little padding, and compute them in parallel.

Shapes: n rows, B rows of a batch, T tokens.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from core.config import Precision
from core.errors import Stopped
from core.training.activations import STORED_TYPES, StoredActivations
from core.training.microbatches import POOL_BATCHES

AHEAD = 2  # micro-batches per thread: one is computed and one waits
In = TypeVar("In")
Out = TypeVar("Out")
CHUNK_ROWS = 500  # tokenized at once: limits memory and the delay of a stop


@dataclass(frozen=True)
class Encoded:
    """Token ids of n texts, with their row ids and labels, both (n,). ``frozen`` are the stored
    outputs of the layers below the first adapted one, if they are stored.
    """

    tokens: list[NDArray[np.int32]]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    pad: int
    frozen: StoredActivations | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens (n,) of each text."""
        return np.array([len(ids) for ids in self.tokens], dtype=np.int64)

    def read_frozen(self, rows: NDArray[np.int64], precision: Precision) -> torch.Tensor | None:
        """Return the stored outputs (B, T, d) of the texts at these places; None if none are stored
        in ``precision``.
        """
        usable = self.frozen is not None and self.frozen.dtype == STORED_TYPES.get(precision)
        return self.frozen.read(rows) if self.frozen and usable else None

    def compute_digest(self) -> str:
        """Return 32 hex digits that depend on the token ids of all texts in their order."""
        digest = hashlib.sha256(self.lengths.tobytes())
        for ids in self.tokens:
            digest.update(ids.tobytes())
        return digest.hexdigest()[:32]

    def pad_batch(
        self, rows: NDArray[np.int64], device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return token ids (B, T), mask (B, T) and labels (B,) of the texts at these places, padded
        to the longest.
        """
        ids = np.full(
            (len(rows), max(len(self.tokens[index]) for index in rows)),
            self.pad,
            dtype=np.int64,
        )
        mask = np.zeros_like(ids)
        for line, index in enumerate(rows):
            length = len(self.tokens[index])
            ids[line, :length], mask[line, :length] = self.tokens[index], 1
        labels = self.labels[rows]
        return (
            torch.from_numpy(ids).to(device),
            torch.from_numpy(mask).to(device),
            torch.from_numpy(labels).to(device),
        )


def encode(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_tokens: int
) -> list[NDArray[np.int32]]:
    """Tokenize each text with its special tokens, truncated to ``max_tokens``."""
    options = {"truncation": True, "max_length": max_tokens, "padding": False}
    ids = tokenizer(
        list(texts), **options, return_attention_mask=False, return_token_type_ids=False
    )["input_ids"]
    return [np.array(text_ids, dtype=np.int32) for text_ids in ids]


def encode_each(tokenizer: PreTrainedTokenizerBase, texts: Sequence[tuple[str, int]]) -> Encoded:
    """Encode texts that each have their own token limit; rows and labels are zeros."""
    tokens: list[NDArray[np.int32]] = [np.empty(0, np.int32)] * len(texts)
    for limit in {limit for _, limit in texts}:
        chosen = [index for index, (_, each) in enumerate(texts) if each == limit]
        for start in range(0, len(chosen), CHUNK_ROWS):
            part = chosen[start : start + CHUNK_ROWS]
            for index, ids in zip(
                part, encode(tokenizer, [texts[index][0] for index in part], limit), strict=True
            ):
                tokens[index] = ids
    nothing = np.zeros(len(texts), dtype=np.int64)
    return Encoded(tokens, nothing, nothing, tokenizer.pad_token_id or 0)


def encode_frame(
    tokenizer: PreTrainedTokenizerBase,
    frame: pd.DataFrame,
    max_tokens: int,
    should_stop: Callable[[], bool] = lambda: False,
) -> Encoded:
    """Encode a frame with columns row, text and label. Raises Stopped."""
    tokens: list[NDArray[np.int32]] = []
    for start in range(0, len(frame), CHUNK_ROWS):
        if should_stop():
            raise Stopped("The run was stopped.")
        tokens += encode(
            tokenizer, frame["text"].iloc[start : start + CHUNK_ROWS].tolist(), max_tokens
        )
    return Encoded(
        tokens,
        frame["row"].to_numpy(np.int64),
        frame["label"].to_numpy(np.int64),
        tokenizer.pad_token_id or 0,
    )


def draw_epoch_batches(
    lengths: NDArray[np.int64], batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Divide all rows into batches of similar length in random order, a function of the arguments
    only.

    Rows are sorted by length within a random pool, so that a batch has little padding and still
    differs from epoch to epoch.
    """
    generator = np.random.default_rng([seed, epoch])
    order = generator.permutation(len(lengths))
    pool = batch_size * POOL_BATCHES
    batches = []
    for start in range(0, len(order), pool):
        members = order[start : start + pool]
        members = members[np.argsort(lengths[members], kind="stable")]
        batches += [
            members[first : first + batch_size] for first in range(0, len(members), batch_size)
        ]
    return [batches[index] for index in generator.permutation(len(batches))]


def draw_shuffled_batches(
    n: int, batch_size: int, seed: int, epoch: int
) -> list[NDArray[np.int64]]:
    """Divide all n rows into random batches, a function of the arguments only."""
    order = np.random.default_rng([seed, epoch]).permutation(n)
    return [order[first : first + batch_size] for first in range(0, n, batch_size)]


def split_by_tokens(lengths: NDArray[np.int64], max_tokens: int) -> list[NDArray[np.int64]]:
    """Divide all rows, longest first, into batches of at most ``max_tokens`` tokens including
    padding (and at least one row).
    """
    order = np.argsort(-lengths, kind="stable")
    batches, start = [], 0
    while start < len(order):
        rows = max(1, max_tokens // int(lengths[order[start]]))
        batches.append(order[start : start + rows])
        start += rows
    return batches


class MicrobatchPool:
    """A pool of ``count`` threads, as many as torch uses in the thread that creates it.

    Threads that share a product wait for each other at its end, hundreds of times per micro-batch,
    and the small operations between products use only one thread. Threads with their own
    micro-batches wait once, at the end of all.
    """

    def __init__(self) -> None:
        self.count = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self.count)

    def stream(self, compute: Callable[[In], Out], microbatches: Sequence[In]) -> Iterator[Out]:
        """Apply ``compute`` to each micro-batch, in order: a thread starts its next one when it has
        finished one. Only a few are started before their results are read.

        ``compute`` must be thread-safe; torch's gradient mode is local to a thread. A single
        micro-batch uses all threads. An error is raised once no micro-batch is being computed.
        """
        if len(microbatches) == 1:
            yield compute(microbatches[0])
            return
        threads, left = max(1, self.count // len(microbatches)), iter(microbatches)
        started = deque(
            self._pool.submit(_with_threads, threads, compute, microbatch)
            for microbatch in islice(left, AHEAD * self.count)
        )
        try:
            while started:
                output = started.popleft().result()
                started.extend(
                    self._pool.submit(_with_threads, threads, compute, microbatch)
                    for microbatch in islice(left, 1)
                )
                yield output
        finally:  # also if the reader stops early, or a micro-batch fails
            wait([microbatch for microbatch in started if not microbatch.cancel()])
            torch.set_num_threads(self.count)


def _with_threads(threads: int, compute: Callable[[In], Out], microbatch: In) -> Out:
    torch.set_num_threads(threads)
    return compute(microbatch)
