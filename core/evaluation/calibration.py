"""Calibration: whether predictions with 90 % confidence are correct 90 % of the time.

Shapes: n texts, C classes, B bins. Confidence is the probability of the predicted class.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.evaluation.predictions import Predictions
from core.evaluation.scores import Proportion

BINS = 15  # Guo et al. 2017
# search range: beyond it probabilities are practically 0 and 1, or uniform
MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
PRECISION = 1e-7  # relative precision of the temperature
SMALLEST = 1e-12  # a probability that was rounded to 0 has no logarithm


@dataclass(frozen=True)
class Calibration:
    """Agreement of confidence and accuracy.

    ``ece`` is from 0 to 1, ``brier`` from 0 to 2, ``loss`` in nats; NaN without texts. ``bins`` has
    one row for each of B bins of equal width: low, high, texts, confidence (mean), hits, accuracy,
    accuracy_low, accuracy_high (95 % Wilson interval); NaN in an empty bin.
    """

    bins: pd.DataFrame
    ece: float
    brier: float
    loss: float


def compute_calibration(
    probabilities: NDArray[np.float64], true: NDArray[np.int64], bins: int = BINS
) -> Calibration:
    """Compute the calibration of (n, C) probabilities given the (n,) true class ids.

    Expected calibration error (Naeini et al. 2015): the mean absolute difference between confidence
    and accuracy over the bins, weighted by texts. Brier score (1950): the mean squared distance
    between probabilities and the one-hot truth, summed over the classes.
    """
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    # (n,); a bin includes its upper edge
    bin_of_text = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    texts, hits = (
        np.bincount(bin_of_text, minlength=bins),
        np.bincount(bin_of_text, correct, bins).astype(int),
    )
    sums = np.bincount(bin_of_text, confidence, bins)
    proportions = [
        Proportion(int(hit), int(number)) for hit, number in zip(hits, texts, strict=True)
    ]
    edges = np.linspace(0, 1, bins + 1)
    means = np.divide(sums, texts, out=np.full(bins, np.nan), where=texts > 0)
    table = pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "texts": texts, "confidence": means, "hits": hits}
    )
    table["accuracy"] = [share.value for share in proportions]
    table["accuracy_low"] = [share.interval[0] if share.n else np.nan for share in proportions]
    table["accuracy_high"] = [share.interval[1] if share.n else np.nan for share in proportions]
    if not len(true):
        return Calibration(table, np.nan, np.nan, np.nan)
    true_probabilities = probabilities[np.arange(len(true)), true]
    brier = float(((probabilities**2).sum(axis=1) - 2 * true_probabilities + 1).mean())
    loss = float(-np.log(np.maximum(true_probabilities, SMALLEST)).mean())
    return Calibration(table, float(np.abs(sums - hits).sum() / len(true)), brier, loss)


def apply_temperature(
    probabilities: NDArray[np.float64], temperature: float
) -> NDArray[np.float64]:
    """Divide the logits of (n, C) probabilities by ``temperature``.

    Above 1 the probabilities become more uniform. The predicted class does not change.
    """
    return _softmax(np.log(np.maximum(probabilities, SMALLEST)) / temperature)


def fit_temperature(predictions: Predictions) -> float | None:
    """Fit the temperature that minimizes the cross-entropy of ``predictions`` (Guo et al. 2017).

    It is from 0.05 to 20; None without texts. Fit it on other texts than those it is evaluated on.
    """
    if not len(predictions):
        return None
    # (n, C), up to a constant that cancels in the softmax
    logits = np.log(np.maximum(predictions.probabilities, SMALLEST))
    true_logits = logits[np.arange(len(predictions)), predictions.true]
    # bisection on the inverse temperature, in which the loss is convex
    low, high = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE
    while high - low > PRECISION * low:
        middle = (low + high) / 2
        slope = (_softmax(middle * logits) * logits).sum(axis=1).mean() - true_logits.mean()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 2 / (low + high)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def compute_coverage(
    probabilities: NDArray[np.float64], true: NDArray[np.int64], threshold: float
) -> tuple[Proportion, Proportion]:
    """Return the proportion of texts with a confidence ≥ ``threshold``, and their accuracy."""
    confident, correct = (
        probabilities.max(axis=1) >= threshold,
        probabilities.argmax(axis=1) == true,
    )
    return Proportion(int(confident.sum()), len(true)), Proportion(
        int((confident & correct).sum()), int(confident.sum())
    )


def compute_coverage_curve(
    probabilities: NDArray[np.float64], true: NDArray[np.int64], most: int = 200
) -> pd.DataFrame:
    """Compute the accuracy of the most confident texts for at most ``most`` thresholds.

    Columns: threshold, texts, coverage, accuracy, low, high (95 % Wilson interval). Texts of equal
    confidence are included together.
    """
    order = np.argsort(-probabilities.max(axis=1), kind="stable")
    confidence = probabilities.max(axis=1)[order]
    hits = np.cumsum((probabilities.argmax(axis=1) == true)[order])
    ends = (
        np.flatnonzero(np.append(np.diff(confidence) < 0, True))
        if len(true)
        else np.empty(0, dtype=np.int64)
    )
    if len(ends) > most:
        ends = ends[np.unique(np.linspace(0, len(ends) - 1, most).round().astype(int))]
    proportions = [Proportion(int(hits[end]), int(end) + 1) for end in ends]
    return pd.DataFrame(
        {
            "threshold": confidence[ends],
            "texts": [share.n for share in proportions],
            "coverage": [share.n / len(true) for share in proportions],
            "accuracy": [share.value for share in proportions],
            "low": [share.interval[0] for share in proportions],
            "high": [share.interval[1] for share in proportions],
        }
    )
