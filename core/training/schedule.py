"""The learning rate of each step, as a share of the configured one."""

import math

from core.config import Schedule


def rate_share(step: int, total: int, warmup: float, schedule: Schedule) -> float:
    """Share of the learning rate for the step after ``step`` of ``total`` steps: up to 1 during ``warmup``, then as scheduled.

    The first step of a warm-up already moves, and the last one of a falling schedule still does.
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    if schedule == "linear":
        return 1 - done
    return 0.5 * (1 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0
