"""Judge labels by an ensemble of three classifiers: TF-IDF, and logistic regression and nearest
neighbours on the vectors of a frozen encoder.

Words and vectors err on different texts, so the geometric mean of the probabilities ranks wrong
labels better than words alone, as ``benchmarks/suspects.py`` measures. Shapes: n rows, m rows with
a vector, d dimensions of a vector, C classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.quality.label_errors import SEED, cross_validate, fold_groups, word_probabilities
from core.data.quality.near_duplicates import ShouldStop, Step
from core.errors import Stopped

Encode = Callable[[Sequence[str]], NDArray[np.float32]]  # texts to vectors (m, d) of norm one

# limits that keep a report on 43,600 texts at about a minute on two cores
MAX_SUSPECTS = 4000
MAX_REFERENCES = 8000
# 40 ranked better than 10 or 20 on 8,000 rows of four classes; small classes need fewer
MAX_NEIGHBOURS, MIN_NEIGHBOURS = 40, 5
PRIOR_VOTES = 2.0  # spread over all classes, so that no class gets probability 0
BLOCK = 512  # rows at once: their cosines with 12,000 texts take 25 MB
MIN_PROBABILITY = 1e-6  # a probability of 0 would override the other classifiers


@dataclass(frozen=True)
class LabelledTexts:
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
    data: LabelledTexts,
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
    nearest = predict_by_neighbours(
        vectors, labels[at], classes, groups[at], reference, should_stop
    )
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


def predict_by_neighbours(
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
    limit = int(np.clip(len(candidates) // (4 * classes), MIN_NEIGHBOURS, MAX_NEIGHBOURS))
    count = min(limit, len(candidates))
    votes = np.full((len(vectors), classes), PRIOR_VOTES / classes)
    for start in range(0, len(vectors), BLOCK):
        if should_stop():
            raise Stopped("The check was stopped.", "Start it again.")
        rows = np.arange(start, min(start + BLOCK, len(vectors)))
        cosines = vectors[rows] @ candidates.T  # (b, references)
        cosines[groups[rows][:, None] == groups[reference][None, :]] = 0
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        weights = np.maximum(np.take_along_axis(cosines, nearest, axis=1), 0)
        np.add.at(
            votes, (np.repeat(rows, count), labels[reference][nearest].ravel()), weights.ravel()
        )
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))
