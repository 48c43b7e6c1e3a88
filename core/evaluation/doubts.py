"""Mistakes worth reading first: those the model is sure of, and labels that it confidently contradicts. Shape: n texts."""

import numpy as np
from numpy.typing import NDArray

from core.evaluation.predictions import Predictions

CONFIDENT = 0.9


def confident_mistakes(predictions: Predictions, at_least: float = CONFIDENT) -> NDArray[np.bool_]:
    """(n,) whether the text is wrong with a confidence of ``at_least``."""
    found: NDArray[np.bool_] = (predictions.predicted != predictions.true) & (predictions.confidence >= at_least)
    return found


def contradicted_labels(predictions: Predictions) -> NDArray[np.bool_]:
    """(n,) whether the label may be wrong: another class is as probable as it is, on average, for texts with that class's label.

    Confident learning (Northcutt et al. 2021): the thresholds are each class's mean probability over its own texts; of several classes
    above theirs the most probable counts. A class without texts has no threshold and contradicts nothing.
    """
    shares, true = predictions.probabilities, predictions.true
    thresholds = np.full(predictions.classes, np.inf)
    for index in np.unique(true):
        thresholds[index] = shares[true == index, index].mean()
    above = np.where(shares >= thresholds - 1e-6, shares, 0.0)  # (n, C)
    found: NDArray[np.bool_] = (above.max(axis=1) > 0) & (above.argmax(axis=1) != true) if len(true) else np.zeros(0, dtype=bool)
    return found
