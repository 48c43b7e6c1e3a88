"""Micro-batches in parallel, each on its own thread.

Threads that share a product wait for each other at its end, hundreds of times per micro-batch, and
the small operations between products use only one thread. Threads with their own micro-batches wait
once per round.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

import torch

AHEAD = 2  # micro-batches per thread: one is computed and one waits
In = TypeVar("In")
Out = TypeVar("Out")


class MicrobatchPool:
    """A pool of ``count`` threads, as many as torch uses in the thread that creates it."""

    def __init__(self) -> None:
        self.count = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self.count)

    def map(self, compute: Callable[[In], Out], microbatches: Sequence[In]) -> Iterator[Out]:
        """Apply ``compute`` to each micro-batch, in order. A round of micro-batches starts when the
        results of the round before have been read.

        ``compute`` must be thread-safe; torch's gradient mode is local to a thread. A single
        micro-batch in a round uses all threads.
        """
        for start in range(0, len(microbatches), self.count):
            together = microbatches[start : start + self.count]
            yield from (
                [compute(together[0])] if len(together) == 1 else self._round(compute, together)
            )

    def stream(self, compute: Callable[[In], Out], microbatches: Sequence[In]) -> Iterator[Out]:
        """Apply ``compute`` to each micro-batch, in order but without rounds: a thread starts its
        next one when it has finished one. Only a few are started before their results are read.
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

    def _round(self, compute: Callable[[In], Out], microbatches: Sequence[In]) -> list[Out]:
        started = [
            self._pool.submit(_with_threads, self.count // len(microbatches), compute, microbatch)
            for microbatch in microbatches
        ]
        wait(started)
        # a new thread gets the number that was last set in any thread
        torch.set_num_threads(self.count)
        return [microbatch.result() for microbatch in started]


def _with_threads(threads: int, compute: Callable[[In], Out], microbatch: In) -> Out:
    torch.set_num_threads(threads)
    return compute(microbatch)
