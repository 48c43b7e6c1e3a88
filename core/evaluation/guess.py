"""A guess of the accuracy, made before the run, against what it came to."""

from core.evaluation.scores import Proportion


def answer(guess: float, test: Proportion) -> str:
    """``You guessed 85.0 %: 3.8 points too low. …``; both are shares from 0 to 1. The guess is right anywhere in the 95 % interval."""
    low, high = (100 * edge for edge in test.interval)
    said, interval = f"You guessed {100 * guess:.1f} %", f"the 95 % interval, {low:.1f} to {high:.1f} %"
    if is_inside(guess, test):
        return f"{said}, which lies in {interval}: these texts cannot tell it from the truth."
    points = 100 * (guess - test.value)
    return f"{said}: {abs(points):.1f} points too {'high' if points > 0 else 'low'}. It lies outside {interval}."


def is_inside(guess: float, test: Proportion) -> bool:
    """Whether the guess lies in the 95 % interval (Wilson) of the test accuracy."""
    low, high = test.interval
    return low <= guess <= high
