"""Parts of a batch side by side, each on a thread of its own.

Threads that share a product wait for each other at its end, hundreds of times a part, and the small
operations between products keep one of them busy and the others idle. Threads that have parts of
their own wait once a round.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

import torch

AHEAD = 2  # parts a thread: one at work and one that waits
In = TypeVar("In")
Out = TypeVar("Out")


class MicrobatchPool:
    """``count`` threads, those that torch uses where this is made."""

    def __init__(self) -> None:
        self.count = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self.count)

    def map(self, compute: Callable[[In], Out], parts: Sequence[In]) -> Iterator[Out]:
        """What ``compute`` makes of each part, in their order. A round of parts is begun when the
        one before it has been taken.

        ``compute`` must be safe to run side by side; gradients and dropout modes of torch are a
        thread's own. A part that is alone in its round has all threads to itself.
        """
        for start in range(0, len(parts), self.count):
            together = parts[start : start + self.count]
            yield from (
                [compute(together[0])] if len(together) == 1 else self._round(compute, together)
            )

    def stream(self, compute: Callable[[In], Out], parts: Sequence[In]) -> Iterator[Out]:
        """The same without rounds: each thread begins its next part when it is done with one. Few
        are begun before they are wanted.
        """
        if len(parts) == 1:
            yield compute(parts[0])
            return
        threads, left = max(1, self.count // len(parts)), iter(parts)
        begun = deque(
            self._pool.submit(_with_threads, threads, compute, part)
            for part in islice(left, AHEAD * self.count)
        )
        try:
            while begun:
                made = begun.popleft().result()
                begun.extend(
                    self._pool.submit(_with_threads, threads, compute, part)
                    for part in islice(left, 1)
                )
                yield made
        finally:  # also where the reader stops early, or a part failed
            wait([part for part in begun if not part.cancel()])
            torch.set_num_threads(self.count)

    def _round(self, compute: Callable[[In], Out], parts: Sequence[In]) -> list[Out]:
        begun = [
            self._pool.submit(_with_threads, self.count // len(parts), compute, part)
            for part in parts
        ]
        wait(begun)
        torch.set_num_threads(
            self.count
        )  # torch gives a new thread the number that was set last anywhere
        return [one.result() for one in begun]


def _with_threads(threads: int, compute: Callable[[In], Out], part: In) -> Out:
    torch.set_num_threads(threads)
    return compute(part)
