"""Baselines without fine-tuning, which a fine-tuned model has to beat.

Shapes: n texts, C classes, d features.
"""

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.translation import mark

Probabilities = NDArray[np.float64]
Labels = NDArray[np.int64]

# most frequent words; more take memory and hardly change the accuracy
WORDS = 50_000
MOST_WEIGHTS = 1_000_000  # words × classes; L-BFGS holds some 25 copies, 200 MB
ITERATIONS = 300  # of L-BFGS; thousands of rows converge in fewer than 100


class Baseline(StrEnum):
    """The baselines, simplest first."""

    MAJORITY = mark("majority class")
    UNTRAINED = mark("untrained")
    TFIDF = "TF-IDF"
    PROBE = mark("linear probe")


EXPLAINED = {
    Baseline.MAJORITY: "always the most frequent class of the training rows",
    Baseline.UNTRAINED: "the model with a random head, before any training",
    Baseline.TFIDF: "weighted word counts and logistic regression, on the same training rows",
    Baseline.PROBE: "logistic regression on the mean of the frozen model's last layer",
}


def predict_majority(train_labels: Labels, rows: int, classes: int) -> Probabilities:
    """Predict the class frequencies of the training rows for every text (rows, C)."""
    probabilities = np.bincount(train_labels, minlength=classes) / len(train_labels)
    return np.tile(probabilities, (rows, 1))


def fit_tfidf(
    train_texts: Sequence[str], train_labels: Labels, classes: int
) -> Callable[[Sequence[str]], Probabilities]:
    """Fit logistic regression on TF-IDF to the training texts; the function that is returned
    predicts (n, C).
    """
    # imported in jobs only; the server fits nothing
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    words = TfidfVectorizer(
        sublinear_tf=True,
        max_features=min(WORDS, MOST_WEIGHTS // classes),
        token_pattern=r"(?u)\b\w+\b",
    )
    try:
        features = words.fit_transform(train_texts)
    except ValueError:  # no word in any text
        return lambda texts: predict_majority(train_labels, len(texts), classes)
    predict = _fit_linear(features, train_labels, classes)
    return lambda texts: predict(words.transform(texts))


def predict_probe(
    train_features: NDArray[np.float32],
    train_labels: Labels,
    features: NDArray[np.float32],
    classes: int,
) -> Probabilities:
    """Predict (n, C) by logistic regression on standardized features, (rows, d) and (n, d)."""
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    scaler = StandardScaler().fit(train_features)
    predict = _fit_linear(scaler.transform(train_features), train_labels, classes)
    return predict(scaler.transform(features))


def _fit_linear(train: Any, train_labels: Labels, classes: int) -> Callable[[Any], Probabilities]:
    """Fit logistic regression to features; the function that is returned predicts (n, C).

    A class without training rows gets probability 0. A single class needs no fit.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    if len(np.unique(train_labels)) == 1:
        return lambda features: predict_majority(train_labels, features.shape[0], classes)
    fitted = LogisticRegression(max_iter=ITERATIONS).fit(train, train_labels)

    def predict(features: Any) -> Probabilities:
        probabilities = np.zeros((features.shape[0], classes))
        probabilities[:, fitted.classes_] = fitted.predict_proba(features)
        return probabilities

    return predict
