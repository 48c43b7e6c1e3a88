import numpy as np
import pytest
from scipy import stats

from core.evaluation.significance import Paired, correct_p_values


def test_mcnemar_is_a_binomial_test_of_the_disagreements() -> None:
    assert Paired(1, 5, 100).p_value == pytest.approx(
        2 * (1 + 6) / 2**6, abs=1e-12
    )  # 0 or 1 heads of 6, both tails
    assert Paired(0, 0, 100).p_value == 1.0
    assert Paired(7, 7, 100).p_value == 1.0


@pytest.mark.parametrize(("b", "c"), [(0, 3), (12, 30), (101, 59), (500, 560)])
def test_mcnemar_equals_the_binomial_tail_summed_by_hand(b: int, c: int) -> None:
    tail = sum(stats.binom.pmf(k, b + c, 0.5) for k in range(min(b, c) + 1))

    assert Paired(b, c, 7600).p_value == pytest.approx(min(1.0, 2 * tail), abs=1e-12)


def test_texts_that_only_one_classifies_correctly_are_counted() -> None:
    first, second = np.array([1, 1, 0, 0, 1], bool), np.array([1, 0, 1, 0, 0], bool)

    paired = Paired.of(first, second)

    assert (paired.only_first, paired.only_second, paired.n) == (2, 1, 5)
    assert paired.difference == pytest.approx(-0.2)


def test_the_interval_equals_that_of_resampled_texts() -> None:
    rng = np.random.default_rng(5)
    outcomes = np.repeat([-1, 1, 0], [30, 50, 920])  # (n,) second minus first
    resampled = [rng.choice(outcomes, len(outcomes)).mean() for _ in range(4000)]

    assert Paired(30, 50, 1000).interval == pytest.approx(
        tuple(np.quantile(resampled, [0.025, 0.975])), abs=0.0015
    )
    assert Paired(30, 50, 1000).interval == Paired(30, 50, 1000).interval


@pytest.mark.slow
def test_95_of_100_intervals_contain_the_true_difference() -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        b, c, _rest = rng.multinomial(2000, [0.03, 0.05, 0.92])
        low, high = Paired(int(b), int(c), 2000).interval
        held += low <= 0.02 <= high

    assert 0.93 <= held / 1000 <= 0.97


def test_texts_needed_give_a_power_of_80_percent() -> None:
    paired = Paired(40, 60, 1000)
    needed = paired.texts_needed
    assert needed == 1960  # (1.96 √0.1 + 0.8416 √(0.1 − 0.02²))² / 0.02²
    drawn = np.random.default_rng(2).multinomial(needed, [0.04, 0.06, 0.90], 1500)
    result = np.mean([Paired(int(b), int(c), needed).p_value < 0.05 for b, c, _ in drawn])

    assert 0.72 <= result <= 0.84  # the exact test is a little cautious
    assert Paired(5, 5, 100).texts_needed is None


def test_holm_corrects_the_smallest_most_and_keeps_the_order() -> None:
    assert correct_p_values([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert correct_p_values([0.6, 0.7]) == [1.0, 1.0]
    assert correct_p_values([]) == []


@pytest.mark.parametrize(("b", "c", "n"), [(-1, 0, 5), (3, 3, 5)])
def test_impossible_counts_are_rejected(b: int, c: int, n: int) -> None:
    with pytest.raises(ValueError, match="are inconsistent"):
        Paired(b, c, n)


def test_different_numbers_of_texts_are_rejected() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        Paired.of(np.ones(3, bool), np.ones(4, bool))
