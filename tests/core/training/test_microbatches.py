import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.training import batches
from core.training.microbatches import (
    MICROBATCH_TOKENS,
    choose_training_tokens,
    compute_microbatch_limit,
    resample_lengths,
    simulate_evaluation_microbatches,
    simulate_train_microbatches,
)

pytestmark = pytest.mark.slow

NEWS = np.sort(np.random.default_rng(0).integers(12, 120, 5000))


def real_train_parts(
    lengths: NDArray[np.int64], batch_size: int, threads: int
) -> list[tuple[int, int]]:
    parts = []
    for batch in batches.draw_epoch_batches(lengths, batch_size, seed=1, epoch=0):
        limit = compute_microbatch_limit(
            int(lengths[batch].sum()), MICROBATCH_TOKENS["cpu"], threads
        )
        for part in batches.split_by_tokens(lengths[batch], limit):
            parts.append((len(part), int(lengths[batch][part].max())))
    return parts


@pytest.mark.parametrize(
    ("device", "bf16", "tokens"), [("cpu", False, 448), ("cpu", True, 512), ("cuda", True, 32768)]
)
def test_a_training_in_bf16_on_a_cpu_reads_more_tokens_at_once(
    device: str, bf16: bool, tokens: int
) -> None:
    assert choose_training_tokens(device, bf16) == tokens


@pytest.mark.parametrize(
    ("tokens", "threads", "limit"),
    [
        (800, 1, 448),
        (100, 2, 448),  # too little to share
        (800, 2, 440),  # 1.1 · 800 / 2
        (1600, 2, 440),  # two rounds
        (850, 2, 448),
        (600, 16, 165),  # four threads; 128 tokens are worth one
    ],
)
def test_a_batch_is_cut_so_that_each_thread_has_as_much_to_do(
    tokens: int, threads: int, limit: int
) -> None:
    assert compute_microbatch_limit(tokens, 448, threads) == limit


def test_texts_of_one_length_are_cut_into_full_parts_and_a_rest() -> None:
    parts = simulate_train_microbatches(
        np.full(32, 64), rows=32, batch_size=16, max_tokens=128, microbatch_tokens=768
    )

    assert (
        list(zip(parts.rows, parts.tokens, strict=True)) == [(12, 64), (4, 64)] * 2
    )  # 768 // 64 = 12
    assert parts.weight == 1


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch_size", [4, 16, 64])
def test_an_epoch_computes_as_many_tokens_in_as_many_parts_as_the_real_one(
    batch_size: int, threads: int
) -> None:
    real = np.array(
        real_train_parts(np.random.default_rng(3).permutation(NEWS), batch_size, threads)
    )

    parts = simulate_train_microbatches(
        NEWS,
        len(NEWS),
        batch_size,
        max_tokens=512,
        microbatch_tokens=MICROBATCH_TOKENS["cpu"],
        threads=threads,
    )

    assert len(parts.rows) * parts.weight == pytest.approx(len(real), rel=0.02)
    assert (parts.rows * parts.tokens).sum() * parts.weight == pytest.approx(
        (real[:, 0] * real[:, 1]).sum(), rel=0.01
    )


def test_an_evaluation_has_the_real_parts() -> None:
    lengths = NEWS[::10]
    real = [(len(part), int(lengths[part].max())) for part in batches.split_by_tokens(lengths, 768)]

    parts = simulate_evaluation_microbatches(
        lengths, len(lengths), max_tokens=512, microbatch_tokens=768
    )

    assert list(zip(parts.rows, parts.tokens, strict=True)) == real


def test_a_sample_has_the_lengths_of_all() -> None:
    assert resample_lengths(np.array([10, 20, 30, 40]), 2, 128).tolist() == [20, 40]
    assert resample_lengths(np.array([10, 20, 30, 40]), 4, 25).tolist() == [10, 20, 25, 25]
    assert resample_lengths(np.array([], dtype=np.int64), 2, 128).tolist() == [53, 53]


@settings(max_examples=50)
@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=200),
    st.integers(1, 100),
    st.integers(1, 3000),
)
def test_each_row_is_in_one_part_and_no_part_of_several_is_too_large(
    lengths: list[int], batch_size: int, rows: int
) -> None:
    parts = simulate_train_microbatches(
        np.sort(np.array(lengths)), rows, batch_size, max_tokens=256, microbatch_tokens=768
    )

    assert parts.rows.sum() * parts.weight == pytest.approx(rows)
    assert ((parts.rows == 1) | (parts.rows * parts.tokens <= 768)).all()
