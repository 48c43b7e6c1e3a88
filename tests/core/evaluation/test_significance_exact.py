import pytest
from scipy import stats

from core.evaluation.significance import compute_binomial_p_value, compute_fisher_p_value


@pytest.mark.parametrize(
    ("successes", "trials"),
    [(0, 0), (0, 1), (3, 3), (4, 8), (3, 9), (6, 9), (40, 131), (500, 1100), (3500, 7600)],
)
def test_the_binomial_test_equals_scipys(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).pvalue if trials else 1.0

    assert compute_binomial_p_value(successes, trials) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("hits", "n", "other_hits", "other_n"),
    [
        (0, 0, 1, 5),
        (0, 5, 0, 7),
        (5, 5, 7, 7),
        (1, 4, 3, 4),
        (2, 10, 7, 8),
        (8, 10, 1, 8),
        (12, 1900, 31, 1900),
        (300, 700, 5200, 6900),
    ],
)
def test_fishers_test_equals_scipys(hits: int, n: int, other_hits: int, other_n: int) -> None:
    expected = stats.fisher_exact([[hits, n - hits], [other_hits, other_n - other_hits]]).pvalue

    assert compute_fisher_p_value(hits, n, other_hits, other_n) == pytest.approx(expected, rel=1e-9)
