"""Label errors by confident learning on out-of-sample probabilities, and the texts most similar to
each suspect.

Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels (JAIR
2021). Shapes: n rows, C classes. Implemented here because the package cleanlab takes ten seconds to
import and needs ``datasets``. Similarity is the cosine of TF-IDF vectors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.data.quality.near_duplicates import ShouldStop, Step
from core.errors import Stopped

FOLDS = 5
SEED = 42
TOKEN_PATTERN = r"(?u)\b\w+\b"
# average precision on 8,000 rows with 5 % flipped labels: 0.69 with C = 3, 0.67 with C = 10
INVERSE_REGULARIZATION = 3.0
MAX_TERMS = 60_000  # more terms take longer and rank no better


@dataclass(frozen=True)
class Suspicion:
    """Suspected label errors, each (n,).

    ``suspect``: the label is off the diagonal of the confident joint. ``rival``: the most probable
    other class. ``score``: one minus the probability of the given label.
    """

    suspect: NDArray[np.bool_]
    rival: NDArray[np.int64]
    score: NDArray[np.float64]


def judge_labels(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Suspicion:
    """Apply confident learning (section 3.1 of the paper) to out-of-sample ``probabilities`` (n,
    C).

    Suspects are ranked by self-confidence.
    """
    rows = np.arange(len(labels))
    given = probabilities[rows, labels]
    others = probabilities.copy()
    others[rows, labels] = -1
    thresholds = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels):
        thresholds[label] = given[labels == label].mean()
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    suspect = (confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != labels)
    return Suspicion(suspect, others.argmax(axis=1).astype(np.int64), 1 - given)


def fold_groups(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Assign a fold (n,) to each row; copies of a text share one, otherwise each would confirm the
    other's wrong label.
    """
    _, group_ids = np.unique(groups, return_inverse=True)
    shuffled = np.random.default_rng(SEED).permutation(
        int(group_ids.max()) + 1 if len(group_ids) else 0
    )
    return np.asarray(shuffled[group_ids] % FOLDS, dtype=np.int64)


def word_features(texts: Sequence[str]) -> Any:
    """Compute sparse TF-IDF features (n, d) of words and word pairs, each row with norm one or
    zero; None if no word occurs twice.
    """
    # imported in jobs only, not in the server
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    vectoriser = TfidfVectorizer(
        sublinear_tf=True,
        ngram_range=(1, 2),
        min_df=2,
        token_pattern=TOKEN_PATTERN,
        max_features=MAX_TERMS,
    )
    try:
        return vectoriser.fit_transform(texts)  # uses no labels
    except ValueError:
        return None


def word_probabilities(
    features: Any,
    labels: NDArray[np.int64],
    classes: int,
    folds: NDArray[np.int64],
    step: Step,
    should_stop: ShouldStop,
) -> NDArray[np.float64]:
    """Predict cross-validated probabilities (n, C) from ``word_features``; uniform without
    features. Raises Stopped.
    """
    if features is None:
        return np.full((len(labels), classes), 1 / classes)
    return cross_validate(features, labels, classes, folds, step, should_stop)


def cross_validate(
    features: Any,
    labels: NDArray[np.int64],
    classes: int,
    folds: NDArray[np.int64],
    step: Step,
    should_stop: ShouldStop,
    reference: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Predict probabilities (n, C) for each row of ``features`` (n, d) by a logistic regression
    fitted on the other folds.

    With ``reference`` (n,) the model is fitted on those rows only. Raises Stopped.
    """
    # imported in jobs only, not in the server
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    probabilities = np.zeros((len(labels), classes))
    for fold in range(FOLDS):
        if should_stop():
            raise Stopped("The check was stopped.", "Start it again.")
        step(fold, FOLDS)
        other = folds != fold
        inside, outside = (
            np.flatnonzero(other if reference is None else other & reference),
            np.flatnonzero(~other),
        )
        if not len(outside):
            continue
        if len(np.unique(labels[inside])) < 2:
            probabilities[outside] = 1 / classes
            continue
        model = LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=100, tol=1e-3).fit(
            features[inside], labels[inside]
        )
        probabilities[np.ix_(outside, model.classes_)] = model.predict_proba(features[outside])
    step(FOLDS, FOLDS)
    return probabilities


NEAREST = 3
BLOCK = 128  # suspects per block: their cosines with 36,000 texts take 37 MB
COLUMNS = ("split", "row", "near_split", "near_row", "similarity")


def find_neighbours(
    features: Any,
    frame: pd.DataFrame,
    suspects: NDArray[np.int64],
    groups: NDArray[np.int64],
    should_stop: ShouldStop,
) -> pd.DataFrame:
    """Find up to ``NEAREST`` texts for each position in ``suspects``, the most similar first
    (``COLUMNS``).

    ``features`` (n, d) is sparse with rows of norm one or zero, or None; ``frame`` has split and
    row. Texts of the same group in ``groups`` (n,), near duplicates, are excluded: they are a
    finding of their own. Raises Stopped.
    """
    pairs: list[tuple[int, int, float]] = []
    for start in range(0, len(suspects) if features is not None else 0, BLOCK):
        if should_stop():
            raise Stopped("The check was stopped.", "Start it again.")
        positions = suspects[start : start + BLOCK]
        similarity = (features[positions] @ features.T).toarray()  # (b, n)
        similarity[groups[positions][:, None] == groups[None, :]] = 0
        for position, values in zip(positions, similarity, strict=True):
            near = np.argpartition(-values, min(NEAREST, len(values) - 1))[:NEAREST]
            near = near[np.argsort(-values[near], kind="stable")]
            pairs += [
                (int(position), int(other), float(values[other]))
                for other in near
                if values[other] > 0
            ]
    sources, other = [position for position, _, _ in pairs], [position for _, position, _ in pairs]
    columns = {
        "split": frame["split"].to_numpy(dtype=object)[sources],
        "row": frame["row"].to_numpy()[sources],
        "near_split": frame["split"].to_numpy(dtype=object)[other],
        "near_row": frame["row"].to_numpy()[other],
        "similarity": np.array([value for _, _, value in pairs], dtype=np.float32),
    }
    return pd.DataFrame(columns, columns=list(COLUMNS))
