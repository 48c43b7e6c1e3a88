"""Labels that the other rows contradict: confident learning on out-of-sample probabilities.

Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels (JAIR
2021). Shapes: n rows, C classes. The formula is short and stands here: the package cleanlab takes
ten seconds to import and brings ``datasets`` along.

The texts most like a doubted one, by the cosine of their TF-IDF vectors: what its label can be
judged beside.
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
WORDS = r"(?u)\b\w+\b"
# inverse regularisation: average precision on 8,000 rows with 5 % flipped was 0.69, with 10 it was
# 0.67
STRENGTH = 3.0
MOST_TERMS = 60_000  # beyond these the folds take longer and rank no better


@dataclass(frozen=True)
class Suspicion:
    """``suspect`` (n,): the label is off the confident joint's diagonal. ``rival`` (n,): the most
    probable other class.

    ``score`` (n,): one minus the probability of the given label.
    """

    suspect: NDArray[np.bool_]
    rival: NDArray[np.int64]
    score: NDArray[np.float64]


def judge_labels(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Suspicion:
    """Confident learning (section 3.1 there) on ``probabilities`` (n, C) that no row had a part in,
    ranked by self-confidence.
    """
    places = np.arange(len(labels))
    given = probabilities[places, labels]
    others = probabilities.copy()
    others[places, labels] = -1
    thresholds = np.full(probabilities.shape[1], np.inf)
    for label in np.unique(labels):
        thresholds[label] = given[labels == label].mean()
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    suspect = (confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != labels)
    return Suspicion(suspect, others.argmax(axis=1).astype(np.int64), 1 - given)


def fold_groups(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fold (n,) of each row; copies of a text share one, or each would vouch for the other's
    wrong label.
    """
    _, number = np.unique(groups, return_inverse=True)
    shuffled = np.random.default_rng(SEED).permutation(int(number.max()) + 1 if len(number) else 0)
    return np.asarray(shuffled[number] % FOLDS, dtype=np.int64)


def word_features(texts: Sequence[str]) -> Any:
    """Sparse TF-IDF (n, d) of single words and pairs, each row of length one or zero; None where no
    word occurs twice.
    """
    # For the job, not for the server.
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415

    vectoriser = TfidfVectorizer(
        sublinear_tf=True,
        ngram_range=(1, 2),
        min_df=2,
        token_pattern=WORDS,
        max_features=MOST_TERMS,
    )
    try:
        return vectoriser.fit_transform(texts)  # no labels are seen here
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
    """Cross-validated probabilities (n, C) on ``word_features``; without features all classes are
    alike. Raises Stopped.
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
    teacher: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Probabilities (n, C) for each row of ``features`` (n, d) from a logistic regression on the
    other folds. Raises Stopped.

    With ``teacher`` (n,) only those rows are learned from.
    """
    # For the job, not for the server.
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    probabilities = np.zeros((len(labels), classes))
    for fold in range(FOLDS):
        if should_stop():
            raise Stopped("The check was stopped.", "Start it again.")
        step(fold, FOLDS)
        other = folds != fold
        inside, outside = (
            np.flatnonzero(other if teacher is None else other & teacher),
            np.flatnonzero(~other),
        )
        if not len(outside):
            continue
        if len(np.unique(labels[inside])) < 2:
            probabilities[outside] = 1 / classes
            continue
        model = LogisticRegression(C=STRENGTH, max_iter=100, tol=1e-3).fit(
            features[inside], labels[inside]
        )
        probabilities[np.ix_(outside, model.classes_)] = model.predict_proba(features[outside])
    step(FOLDS, FOLDS)
    return probabilities


NEAREST = 3
BLOCK = 128  # doubted texts at once: their cosines to 36,000 texts are 37 MB
COLUMNS = ("split", "row", "near_split", "near_row", "similarity")


def find_neighbours(
    features: Any,
    frame: pd.DataFrame,
    doubted: NDArray[np.int64],
    groups: NDArray[np.int64],
    should_stop: ShouldStop,
) -> pd.DataFrame:
    """``COLUMNS``: up to ``NEAREST`` texts for each place in ``doubted``, the most similar first.

    ``features`` (n, d) is sparse with rows of length one or zero, None where there is none;
    ``frame`` has split and row, ``groups`` (n,) the group of near copies, which are left out: they
    are a finding of their own. Raises Stopped.
    """
    pairs: list[tuple[int, int, float]] = []
    for start in range(0, len(doubted) if features is not None else 0, BLOCK):
        if should_stop():
            raise Stopped("The check was stopped.", "Start it again.")
        places = doubted[start : start + BLOCK]
        likeness = (features[places] @ features.T).toarray()  # (b, n)
        likeness[groups[places][:, None] == groups[None, :]] = 0
        for place, values in zip(places, likeness, strict=True):
            near = np.argpartition(-values, min(NEAREST, len(values) - 1))[:NEAREST]
            near = near[np.argsort(-values[near], kind="stable")]
            pairs += [
                (int(place), int(other), float(values[other]))
                for other in near
                if values[other] > 0
            ]
    one, other = [place for place, _, _ in pairs], [place for _, place, _ in pairs]
    kept = {
        "split": frame["split"].to_numpy(dtype=object)[one],
        "row": frame["row"].to_numpy()[one],
        "near_split": frame["split"].to_numpy(dtype=object)[other],
        "near_row": frame["row"].to_numpy()[other],
        "similarity": np.array([value for _, _, value in pairs], dtype=np.float32),
    }
    return pd.DataFrame(kept, columns=list(COLUMNS))
