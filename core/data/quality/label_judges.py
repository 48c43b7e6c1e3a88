"""Two witnesses who judge labels beside the words: logistic regression and nearest neighbours on
the vectors of a frozen encoder.

Words and vectors err on different texts, so the geometric mean of their probabilities ranks wrong
labels better than words alone: ``benchmarks/suspects.py`` measures it. Shapes: n rows, m rows with
a vector, d numbers in a vector, C classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.data.quality.label_errors import SEED, cross_validate, fold_groups, word_probabilities
from core.data.quality.near_duplicates import ShouldStop, Step
from core.errors import Stopped

Encode = Callable[[Sequence[str]], NDArray[np.float32]]  # texts to vectors (m, d) of length one

# with as many teachers as below, a report of 43,600 texts stays a matter of a minute on two cores
MOST_DOUBTED = 4000
TEACHERS = 8000
NEIGHBOURS, FEWEST_NEIGHBOURS = (
    40,
    5,
)  # 40 ranked better than 10 or 20 on 8,000 rows of four classes; small classes need less
SPREAD_VOTES = 2.0  # added over all classes, so that no class gets nothing
BLOCK = 512  # rows at once: their cosines to 12,000 texts are 25 MB
LEAST = 1e-6  # a probability of 0 would silence the other voices


@dataclass(frozen=True)
class EncoderSample:
    """``places`` (m,) of the texts that get a vector; ``teacher`` (m,) says whose labels are
    learned from, drawn at random.
    """

    places: NDArray[np.int64]
    teacher: NDArray[np.bool_]


def choose_texts(doubt: NDArray[np.float64]) -> EncoderSample:
    """All texts where they are few; else those that the words ``doubt`` (n,) most, and as many
    teachers as time allows.
    """
    if len(doubt) <= MOST_DOUBTED + TEACHERS:
        return EncoderSample(np.arange(len(doubt)), np.ones(len(doubt), dtype=bool))
    drawn = np.random.default_rng(SEED).choice(len(doubt), TEACHERS, replace=False)
    places = np.union1d(drawn, np.argsort(-doubt, kind="stable")[:MOST_DOUBTED])
    return EncoderSample(places, np.isin(places, drawn))


def judge(
    said: list[str],
    features: Any,
    labels: NDArray[np.int64],
    classes: int,
    groups: NDArray[np.int64],
    encode: Encode | None,
    step: Step = lambda done, total: None,
    should_stop: ShouldStop = lambda: False,
) -> tuple[NDArray[np.float64], str]:
    """Out-of-sample probabilities (n, C) of the classes of the texts ``said``, and a sentence on
    who judged. Raises Stopped.
    """
    folds = fold_groups(groups)
    words = word_probabilities(features, labels, classes, folds, step, should_stop)
    if encode is None:
        return (
            words,
            (
                "Labels were judged by words alone: the encoder that would judge beside them is not"
                " on this machine."
            ),
        )
    hearing = choose_texts(1 - words[np.arange(len(labels)), labels])
    vectors = encode([said[place] for place in hearing.places])
    probabilities = join_voices(words, hearing, vectors, labels, folds, groups, step, should_stop)
    m = len(hearing.places)
    part = (
        ""
        if m == len(said)
        else (
            f"; the encoder read {m:,} of {len(said):,}, those that words doubt most and some drawn"
            " at random"
        )
    )
    return probabilities, f"Labels were judged by words and by a frozen encoder{part}."


def join_voices(
    words: NDArray[np.float64],
    hearing: EncoderSample,
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    groups: NDArray[np.int64],
    step: Step,
    should_stop: ShouldStop,
) -> NDArray[np.float64]:
    """``words`` (n, C) with the rows of ``hearing`` replaced by the geometric mean of all three
    voices. Raises Stopped.

    ``vectors`` (m, d) are of its places; ``labels``, ``folds`` and ``groups`` of copies are (n,).
    """
    places, classes = hearing.places, words.shape[1]
    own, apart, copies = labels[places], folds[places], groups[places]
    line = cross_validate(vectors, own, classes, apart, step, should_stop, hearing.teacher)
    near = vote(vectors, own, classes, copies, hearing.teacher, should_stop)
    logs = sum(np.log(np.maximum(voice, LEAST)) for voice in (words[places], line, near)) / 3
    joined = np.exp(logs)
    result = words.copy()
    result[places] = joined / joined.sum(axis=1, keepdims=True)
    return result


def vote(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    groups: NDArray[np.int64],
    teacher: NDArray[np.bool_],
    should_stop: ShouldStop,
) -> NDArray[np.float64]:
    """Probabilities (m, C) by the nearest teachers' labels, weighted by cosine; near copies of a
    text have no vote on it.
    """
    taught = vectors[teacher]
    count = min(
        int(np.clip(len(taught) // (4 * classes), FEWEST_NEIGHBOURS, NEIGHBOURS)), len(taught)
    )
    votes = np.full((len(vectors), classes), SPREAD_VOTES / classes)
    for start in range(0, len(vectors), BLOCK):
        if should_stop():
            raise Stopped("The check was stopped.", "Start it again.")
        rows = np.arange(start, min(start + BLOCK, len(vectors)))
        likeness = vectors[rows] @ taught.T  # (b, teachers)
        likeness[groups[rows][:, None] == groups[teacher][None, :]] = 0
        nearest = np.argpartition(-likeness, count - 1, axis=1)[:, :count]
        weights = np.maximum(np.take_along_axis(likeness, nearest, axis=1), 0)
        np.add.at(
            votes, (np.repeat(rows, count), labels[teacher][nearest].ravel()), weights.ravel()
        )
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))
