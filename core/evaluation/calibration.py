"""Whether probabilities can be trusted: of texts that a model is 90 % sure of, are 90 % right?

Shapes: n texts, C classes, B bins. Confidence is the probability of the predicted class.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.evaluation.predictions import Predictions
from core.evaluation.scores import Proportion

BINS = 15  # Guo et al. 2017
COLDEST, HOTTEST = (
    0.05,
    20.0,
)  # temperatures searched: beyond them probabilities are all but 0 and 1, or all but even
PRECISION = 1e-7  # relative, of a temperature
SMALLEST = 1e-12  # a probability that was rounded to 0 has no logarithm


@dataclass(frozen=True)
class Calibration:
    """How well confidence matches accuracy. ``ece`` is from 0 to 1, ``brier`` from 0 to 2, ``loss``
    in nats; NaN of no texts.

    ``bins`` has a line for each of B bins of equal width: low, high, texts, confidence (their
    mean), hits, accuracy, accuracy_low, accuracy_high (95 %, Wilson); NaN in a bin without texts.
    """

    bins: pd.DataFrame
    ece: float
    brier: float
    loss: float


def calibration(
    probabilities: NDArray[np.float64], true: NDArray[np.int64], bins: int = BINS
) -> Calibration:
    """Of (n, C) probabilities and the (n,) true class ids.

    Expected calibration error (Naeini et al. 2015): the mean distance between confidence and
    accuracy over the bins, each counting by its texts. Brier score (1950): the mean squared
    distance between probabilities and the truth, summed over the classes.
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == true
    place = np.clip(
        np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1
    )  # (n,); a bin holds its upper edge
    texts, hits = np.bincount(place, minlength=bins), np.bincount(place, right, bins).astype(int)
    sums = np.bincount(place, confidence, bins)
    shares = [Proportion(int(hit), int(number)) for hit, number in zip(hits, texts, strict=True)]
    edges = np.linspace(0, 1, bins + 1)
    means = np.divide(sums, texts, out=np.full(bins, np.nan), where=texts > 0)
    table = pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "texts": texts, "confidence": means, "hits": hits}
    )
    table["accuracy"] = [share.value for share in shares]
    table["accuracy_low"] = [share.interval[0] if share.n else np.nan for share in shares]
    table["accuracy_high"] = [share.interval[1] if share.n else np.nan for share in shares]
    if not len(true):
        return Calibration(table, np.nan, np.nan, np.nan)
    of_truth = probabilities[np.arange(len(true)), true]
    brier = float(((probabilities**2).sum(axis=1) - 2 * of_truth + 1).mean())
    loss = float(-np.log(np.maximum(of_truth, SMALLEST)).mean())
    return Calibration(table, float(np.abs(sums - hits).sum() / len(true)), brier, loss)


def scale(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """(n, C) probabilities of the logits divided by ``temperature``: above 1 they become more even.
    The predicted class stays.
    """
    return _softmax(np.log(np.maximum(probabilities, SMALLEST)) / temperature)


def fit_temperature(predictions: Predictions) -> float | None:
    """The temperature with the least cross-entropy on ``predictions`` (Guo et al. 2017), from 0.05
    to 20; None of no texts.

    Fit it on texts that are not those it is judged by.
    """
    if not len(predictions):
        return None
    logits = np.log(
        np.maximum(predictions.probabilities, SMALLEST)
    )  # (n, C), logits up to a constant that the softmax takes out
    of_truth = logits[np.arange(len(predictions)), predictions.true]
    low, high = (
        1 / HOTTEST,
        1 / COLDEST,
    )  # of the inverse temperature, in which the loss is convex: its slope changes its sign once
    while high - low > PRECISION * low:
        middle = (low + high) / 2
        slope = (_softmax(middle * logits) * logits).sum(axis=1).mean() - of_truth.mean()
        low, high = (low, middle) if slope > 0 else (middle, high)
    return 2 / (low + high)


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return shares


def coverage(
    probabilities: NDArray[np.float64], true: NDArray[np.int64], threshold: float
) -> tuple[Proportion, Proportion]:
    """The share of texts whose confidence is ``threshold`` or more, and the share of those that is
    right.
    """
    sure, right = probabilities.max(axis=1) >= threshold, probabilities.argmax(axis=1) == true
    return Proportion(int(sure.sum()), len(true)), Proportion(
        int((sure & right).sum()), int(sure.sum())
    )


def coverage_curve(
    probabilities: NDArray[np.float64], true: NDArray[np.int64], most: int = 200
) -> pd.DataFrame:
    """Accuracy of the most confident texts: threshold, texts, coverage, accuracy, low, high (95 %,
    Wilson), at most ``most`` lines.

    Texts of the same confidence are answered together, so each line is what a threshold really
    gives.
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
    shares = [Proportion(int(hits[end]), int(end) + 1) for end in ends]
    return pd.DataFrame(
        {
            "threshold": confidence[ends],
            "texts": [share.n for share in shares],
            "coverage": [share.n / len(true) for share in shares],
            "accuracy": [share.value for share in shares],
            "low": [share.interval[0] for share in shares],
            "high": [share.interval[1] for share in shares],
        }
    )
