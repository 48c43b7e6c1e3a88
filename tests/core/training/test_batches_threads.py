import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.config import RunConfig
from core.errors import Stopped
from core.training.adapted_model import ALL_ON
from core.training.batches import AHEAD, In, MicrobatchPool, Out
from core.training.fast.encoder import DropoutMasks
from core.training.loop import Loop
from core.training.predict import predict
from tests.support.training_lab import Lab

THREADS = 2


@pytest.fixture(autouse=True)
def two_threads() -> object:
    """Use two threads in each test, independent of the machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


def make_loop(lab: Lab, config: RunConfig, parallel: bool) -> Loop:
    frame = lab.data.sample("train", 0, config.seed)
    # longer texts: a batch of all rows is several micro-batches per thread
    texts = [f"{text} {'the ' * (number % 30)}" for number, text in enumerate(frame["text"])]
    return lab.make_loop(
        config, replace(ALL_ON, microbatch_threads=parallel), frame.assign(text=texts)
    )


def step(loop: Loop) -> tuple[float, list[torch.Tensor]]:
    loss = loop.add_gradients(np.arange(len(loop.train)))
    return loss, [
        parameter.grad for parameter in loop.weights.values() if parameter.grad is not None
    ]


def test_parts_side_by_side_add_up_to_the_same_gradients(lab: Lab, config: RunConfig) -> None:
    steady = config.model_copy(update={"dropout": 0.0})
    alone, together = make_loop(lab, steady, parallel=False), make_loop(lab, steady, parallel=True)
    assert len(together.network.split_microbatches(together.train.lengths)) > THREADS

    (loss, required), (found_loss, result) = step(alone), step(together)

    assert found_loss == pytest.approx(loss, abs=1e-6)
    for item, other in zip(result, required, strict=True):
        assert torch.allclose(item, other, atol=1e-6)


def test_threads_in_any_order_give_the_same_bits(lab: Lab, config: RunConfig) -> None:
    dropping = config.model_copy(update={"dropout": 0.5})

    (loss, gradients), (again, repeated) = (
        step(make_loop(lab, dropping, parallel=True)) for _ in range(2)
    )

    assert loss == again
    assert all(torch.equal(item, other) for item, other in zip(gradients, repeated, strict=True))


def test_predictions_side_by_side_are_the_same(lab: Lab, config: RunConfig) -> None:
    alone, together = make_loop(lab, config, parallel=False), make_loop(lab, config, parallel=True)

    assert predict(together.network, together.train) == pytest.approx(
        predict(alone.network, alone.train), abs=1e-6
    )


def test_a_stop_within_a_step_waits_for_its_threads(lab: Lab, config: RunConfig) -> None:
    loop = make_loop(lab, config, parallel=True)
    pool = CountingPool()
    loop.network = replace(loop.network, pool=pool)
    loop.should_stop = lambda: True

    with pytest.raises(Stopped):
        step(loop)

    assert pool.begun == pool.ended > 0
    assert all(weight.grad is None for weight in loop.weights.values())
    assert torch.get_num_threads() == THREADS


class CountingPool(MicrobatchPool):
    """Counts the micro-batches that a thread begins and ends."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = self.ended = 0

    def stream(self, compute: Callable[[In], Out], microbatches: Sequence[In]) -> Iterator[Out]:
        def count(microbatch: In) -> Out:
            self.begun += 1
            output = compute(microbatch)
            self.ended += 1
            return output

        return super().stream(count, microbatches)


def test_an_error_in_a_part_is_raised_once_no_thread_computes() -> None:
    second_begun, first_failed = threading.Event(), threading.Event()
    done = []

    def fail(part: int) -> None:
        if part == 0:
            assert second_begun.wait(10)
            first_failed.set()
            raise ValueError("no")
        second_begun.set()
        assert first_failed.wait(10)
        done.append(part)

    with pytest.raises(ValueError, match="no"):
        list(MicrobatchPool().stream(fail, range(2)))
    assert done == [1]
    assert torch.get_num_threads() == THREADS


def test_a_stream_gives_results_in_order_from_threads_that_wait_for_no_one() -> None:
    second_done = threading.Event()

    def work(part: int) -> tuple[int, int]:
        if part == 0:
            assert second_done.wait(10), "a thread waited for the end of a round"
        if part == 2:  # on the thread of part 1
            second_done.set()
        return part, torch.get_num_threads()

    assert list(MicrobatchPool().stream(work, range(4))) == [(part, 1) for part in range(4)]
    assert torch.get_num_threads() == THREADS


def test_a_stream_that_no_one_reads_on_ends() -> None:
    begun: list[int] = []
    pool = MicrobatchPool()

    stream = pool.stream(begun.append, range(1000))
    next(stream)
    assert isinstance(stream, Generator)
    stream.close()

    assert torch.get_num_threads() == THREADS
    list(pool.stream(lambda part: None, range(2)))  # after the parts that had started
    assert len(begun) <= AHEAD * THREADS + 1


def test_one_part_alone_has_all_threads() -> None:
    assert list(MicrobatchPool().stream(lambda part: torch.get_num_threads(), range(1))) == [
        THREADS
    ]


def test_masks_of_a_thread_are_its_own() -> None:
    bits, size = DropoutMasks(), torch.Size((4, 64))
    bits.restart(1, 2, 0)
    expected = [bits.mask(size, 0.5) for _ in range(2)]
    bits.restart(1, 2, 0)
    first = bits.mask(size, 0.5)

    other = threading.Thread(target=lambda: bits.restart(1, 2, 9))
    other.start()
    other.join()

    assert torch.equal(first, expected[0])
    assert torch.equal(bits.mask(size, 0.5), expected[1])
