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

AHEAD = 2  # parts per thread: one is computed and one waits
In = TypeVar("In")
Out = TypeVar("Out")


class MicrobatchPool:
    """A pool of ``count`` threads, as many as torch uses in the thread that creates it."""

    def __init__(self) -> None:
        self.count = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self.count)

    def map(self, compute: Callable[[In], Out], parts: Sequence[In]) -> Iterator[Out]:
        """Apply ``compute`` to each part, in order. A round of parts starts when the results of the
        round before have been read.

        ``compute`` must be thread-safe; torch's gradient mode is local to a thread. A single part
        in a round uses all threads.
        """
        for start in range(0, len(parts), self.count):
            together = parts[start : start + self.count]
            yield from (
                [compute(together[0])] if len(together) == 1 else self._round(compute, together)
            )

    def stream(self, compute: Callable[[In], Out], parts: Sequence[In]) -> Iterator[Out]:
        """Apply ``compute`` to each part, in order but without rounds: a thread starts its next
        part when it has finished one. Only a few parts are started before their results are read.
        """
        if len(parts) == 1:
            yield compute(parts[0])
            return
        threads, left = max(1, self.count // len(parts)), iter(parts)
        started = deque(
            self._pool.submit(_with_threads, threads, compute, part)
            for part in islice(left, AHEAD * self.count)
        )
        try:
            while started:
                output = started.popleft().result()
                started.extend(
                    self._pool.submit(_with_threads, threads, compute, part)
                    for part in islice(left, 1)
                )
                yield output
        finally:  # also if the reader stops early, or a part fails
            wait([part for part in started if not part.cancel()])
            torch.set_num_threads(self.count)

    def _round(self, compute: Callable[[In], Out], parts: Sequence[In]) -> list[Out]:
        started = [
            self._pool.submit(_with_threads, self.count // len(parts), compute, part)
            for part in parts
        ]
        wait(started)
        # a new thread gets the number that was last set in any thread
        torch.set_num_threads(self.count)
        return [part.result() for part in started]


def _with_threads(threads: int, compute: Callable[[In], Out], part: In) -> Out:
    torch.set_num_threads(threads)
    return compute(part)
