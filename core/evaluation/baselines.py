"""What a text classifier reaches without fine-tuning: the level that a fine-tuned one has to beat.

Shapes: n texts, C classes, d features.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Shares = NDArray[np.float64]
Labels = NDArray[np.int64]

WORDS = 50_000  # most frequent words kept: more cost memory and hardly change the accuracy
ITERATIONS = 300  # of L-BFGS; thousands of rows settle in fewer than 100


class Baseline(StrEnum):
    """The simple classifiers, from the simplest on."""

    MAJORITY = "majority class"
    UNTRAINED = "untrained"
    TFIDF = "TF-IDF"
    PROBE = "linear probe"


EXPLAINED = {
    Baseline.MAJORITY: "always the most frequent class of the training rows",
    Baseline.UNTRAINED: "the model with a head drawn at random, before any training",
    Baseline.TFIDF: "weighted word counts and logistic regression, on the same training rows",
    Baseline.PROBE: (
        "logistic regression on what the frozen model says of a text, mean of its last layer"
    ),
}


def predict_majority(train_labels: Labels, rows: int, classes: int) -> Shares:
    """(rows, C): every text gets the shares of the training rows, so that the most frequent class
    wins each time.
    """
    shares = np.bincount(train_labels, minlength=classes) / len(train_labels)
    return np.tile(shares, (rows, 1))


def predict_tfidf(
    train_texts: Sequence[str], train_labels: Labels, texts: Sequence[str], classes: int
) -> Shares:
    """(n, C) of logistic regression on TF-IDF of single words (scikit-learn), fitted to the
    training texts.
    """
    # The server reads this module and fits nothing.
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    words = TfidfVectorizer(sublinear_tf=True, max_features=WORDS, token_pattern=r"(?u)\b\w+\b")
    try:
        features = words.fit_transform(train_texts)
    except ValueError:  # not one word in all of them
        return predict_majority(train_labels, len(texts), classes)
    return _predict_linear(features, train_labels, words.transform(texts), classes)


def predict_probe(
    train_features: NDArray[np.float32],
    train_labels: Labels,
    features: NDArray[np.float32],
    classes: int,
) -> Shares:
    """(n, C) of logistic regression on standardised features, (rows, d) and (n, d)."""
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415

    scaler = StandardScaler().fit(train_features)
    return _predict_linear(
        scaler.transform(train_features), train_labels, scaler.transform(features), classes
    )


def prediction_frame(rows: Labels, labels: Labels, shares: Shares) -> pd.DataFrame:
    """Columns row, label, p0 … p{C-1}, loss: what ``Predictions`` checks and reads."""
    of_true = np.take_along_axis(shares, labels[:, None], axis=1)[:, 0]
    columns = {f"p{index}": shares[:, index] for index in range(shares.shape[1])}
    return pd.DataFrame(
        {"row": rows, "label": labels, **columns, "loss": -np.log(np.clip(of_true, 1e-12, 1.0))}
    )


def _predict_linear(train: Any, train_labels: Labels, texts: Any, classes: int) -> Shares:
    """A class that no training row has gets the share 0; with a single class in training there is
    nothing to fit.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    present = np.unique(train_labels)
    if len(present) == 1:
        return predict_majority(train_labels, texts.shape[0], classes)
    fitted = LogisticRegression(max_iter=ITERATIONS).fit(train, train_labels)
    shares = np.zeros((texts.shape[0], classes))
    shares[:, fitted.classes_] = fitted.predict_proba(texts)
    return shares
