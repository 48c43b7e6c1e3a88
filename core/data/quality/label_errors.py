"""Label errors by confident learning on out-of-sample probabilities of up to three classifiers.

Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels (JAIR
2021). Implemented here because the package cleanlab takes ten seconds to import and needs
``datasets``. The classifiers: TF-IDF with logistic regression; logistic regression and nearest
neighbors on the vectors of a frozen encoder. Words and vectors err on different texts, so the
geometric mean of the probabilities ranks wrong labels better than words alone, as
``benchmarks/suspects.py`` measures. Shapes: n rows, m rows with a vector, d dimensions of a vector,
C classes.
"""

from collections.abc import Callable, Sequence
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

    vectorizer = TfidfVectorizer(
        sublinear_tf=True,
        ngram_range=(1, 2),
        min_df=2,
        token_pattern=TOKEN_PATTERN,
        max_features=MAX_TERMS,
    )
    try:
        return vectorizer.fit_transform(texts)  # uses no labels
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
SUSPECT_BLOCK = 128  # suspects per block: their cosines with 36,000 texts take 37 MB
COLUMNS = ("split", "row", "near_split", "near_row", "similarity")


def find_neighbors(
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
    for start in range(0, len(suspects) if features is not None else 0, SUSPECT_BLOCK):
        if should_stop():
            raise Stopped("The check was stopped.", "Start it again.")
        positions = suspects[start : start + SUSPECT_BLOCK]
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


Encode = Callable[[Sequence[str]], NDArray[np.float32]]  # texts to vectors (m, d) of norm one

# limits that keep a report on 43,600 texts at about a minute on two cores
MAX_SUSPECTS = 4000
MAX_REFERENCES = 8000
# 40 ranked better than 10 or 20 on 8,000 rows of four classes; small classes need fewer
MAX_NEIGHBORS, MIN_NEIGHBORS = 40, 5
PRIOR_VOTES = 2.0  # spread over all classes, so that no class gets probability 0
VECTOR_BLOCK = 512  # rows at once: their cosines with 12,000 texts take 25 MB
MIN_PROBABILITY = 1e-6  # a probability of 0 would override the other classifiers


@dataclass(frozen=True)
class LabeledTexts:
    """Texts with class ids ``labels`` (n,) and ``groups`` (n,) of near duplicates."""

    texts: list[str]
    labels: NDArray[np.int64]
    classes: int
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class EncoderSample:
    """``positions`` (m,) of the texts that get a vector; ``reference`` (m,) marks the random sample
    to fit on.
    """

    positions: NDArray[np.int64]
    reference: NDArray[np.bool_]


def choose_texts(
    doubt: NDArray[np.float64],
    max_suspects: int = MAX_SUSPECTS,
    max_references: int = MAX_REFERENCES,
) -> EncoderSample:
    """Choose all texts of a small dataset, otherwise those with the highest ``doubt`` (n,) and a
    random reference sample.
    """
    if len(doubt) <= max_suspects + max_references:
        return EncoderSample(np.arange(len(doubt)), np.ones(len(doubt), dtype=bool))
    drawn = np.random.default_rng(SEED).choice(len(doubt), max_references, replace=False)
    positions = np.union1d(drawn, np.argsort(-doubt, kind="stable")[:max_suspects])
    return EncoderSample(positions, np.isin(positions, drawn))


def judge(
    data: LabeledTexts,
    features: Any,
    encode: Encode | None,
    step: Step = lambda done, total: None,
    should_stop: ShouldStop = lambda: False,
) -> tuple[NDArray[np.float64], str]:
    """Predict out-of-sample class probabilities (n, C), and describe the method in a sentence.

    ``features`` (n, d) come from ``word_features``. Raises Stopped.
    """
    labels, classes, groups = data.labels, data.classes, data.groups
    folds = fold_groups(groups)
    words = word_probabilities(features, labels, classes, folds, step, should_stop)
    if encode is None:
        return (
            words,
            "Label check used TF-IDF features only: the encoder is not on this machine.",
        )
    sample = choose_texts(1 - words[np.arange(len(labels)), labels])
    at, reference = sample.positions, sample.reference
    vectors = encode([data.texts[position] for position in at])
    linear = cross_validate(vectors, labels[at], classes, folds[at], step, should_stop, reference)
    nearest = predict_by_neighbors(vectors, labels[at], classes, groups[at], reference, should_stop)
    m, n = len(at), len(labels)
    note = (
        f"; the encoder read the most doubtful and a random sample, {m:,} of {n:,} texts"
        if m < n
        else ""
    )
    return (
        combine_probabilities(words, at, (linear, nearest)),
        f"Label check used TF-IDF and frozen-encoder features{note}.",
    )


def combine_probabilities(
    words: NDArray[np.float64],
    positions: NDArray[np.int64],
    others: Sequence[NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return ``words`` (n, C) with the rows at ``positions`` (m,) replaced by the normalized
    geometric mean of ``words`` and ``others``, each (m, C).
    """
    ensemble = (words[positions], *others)
    logs = sum(np.log(np.maximum(member, MIN_PROBABILITY)) for member in ensemble)
    combined = np.exp(logs / len(ensemble))
    result = words.copy()
    result[positions] = combined / combined.sum(axis=1, keepdims=True)
    return result


def predict_by_neighbors(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    groups: NDArray[np.int64],
    reference: NDArray[np.bool_],
    should_stop: ShouldStop,
) -> NDArray[np.float64]:
    """Predict probabilities (m, C) by the labels of the nearest reference texts, weighted by
    cosine; near duplicates of a text do not vote on it. Raises Stopped.
    """
    candidates = vectors[reference]
    limit = int(np.clip(len(candidates) // (4 * classes), MIN_NEIGHBORS, MAX_NEIGHBORS))
    count = min(limit, len(candidates))
    votes = np.full((len(vectors), classes), PRIOR_VOTES / classes)
    for start in range(0, len(vectors), VECTOR_BLOCK):
        if should_stop():
            raise Stopped("The check was stopped.", "Start it again.")
        rows = np.arange(start, min(start + VECTOR_BLOCK, len(vectors)))
        cosines = vectors[rows] @ candidates.T  # (b, references)
        cosines[groups[rows][:, None] == groups[reference][None, :]] = 0
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        weights = np.maximum(np.take_along_axis(cosines, nearest, axis=1), 0)
        np.add.at(
            votes, (np.repeat(rows, count), labels[reference][nearest].ravel()), weights.ravel()
        )
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))
