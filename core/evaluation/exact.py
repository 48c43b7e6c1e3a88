"""Exact tests of counts, as sums of probabilities. ``scipy.stats`` has them too, and importing it costs the server 60 MB."""

import numpy as np
from numpy.typing import NDArray

TIE = 1e-7  # relative; outcomes as probable as the one that was seen count, whatever rounding does to them (as in R)


def binomial_p_value(successes: int, trials: int) -> float:
    """How often a fair coin is at least as far from even as ``successes`` of ``trials``: the two-sided binomial test."""
    rarer = min(successes, trials - successes)
    if 2 * rarer == trials:
        return 1.0
    logs = _log_factorials(trials)
    outcomes = np.arange(rarer + 1)
    return min(1.0, 2 * float(np.exp(_log_choose(logs, trials, outcomes) - trials * np.log(2)).sum()))


def fisher_p_value(hits: int, n: int, other_hits: int, other_n: int) -> float:
    """How often two shares with these margins differ at least as improbably: Fisher's exact test, two-sided (Fisher 1922)."""
    total = hits + other_hits
    logs = _log_factorials(n + other_n)
    outcomes = np.arange(max(0, total - other_n), min(n, total) + 1)  # of ``hits``, given the margins
    chances = np.exp(
        _log_choose(logs, n, outcomes)
        + _log_choose(logs, other_n, total - outcomes)
        - _log_choose(logs, n + other_n, np.array(total))  # hypergeometric
    )
    seen = chances[hits - outcomes[0]]
    return min(1.0, float(chances[chances <= seen * (1 + TIE)].sum()))


def _log_factorials(largest: int) -> NDArray[np.float64]:
    """ln 0!, ln 1!, … up to ``largest``."""
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, largest + 1)))])


def _log_choose(logs: NDArray[np.float64], n: int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    chosen: NDArray[np.float64] = logs[n] - logs[k] - logs[n - k]
    return chosen
