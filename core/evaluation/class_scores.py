"""Scores of each class with confidence intervals, confused pairs, ROC and precision-recall curves.

Shapes: n texts, C classes; ``counts[i, j]`` is the number of texts of true class i predicted as
class j.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.evaluation.predictions import Predictions
from core.evaluation.scores import Proportion, Scores
from core.evaluation.significance import LEVEL, SEED, compute_fisher_p_value, correct_p_values

Labels = NDArray[np.int64]
RESAMPLES = 2_000  # each bound of a 95 % interval has 50 samples beyond it
BOUNDS = [LEVEL / 2, 1 - LEVEL / 2]
CHUNK_NUMBERS = 2_000_000  # of 8 bytes


@dataclass(frozen=True)
class F1Intervals:
    """95 % percentile intervals of F1: ``low``, ``high`` (C,) per class, NaN for a class that does
    not occur; ``macro`` of the mean over the classes of each sample.
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    macro: tuple[float, float]


def bootstrap_f1(scores: Scores) -> F1Intervals:
    """Compute F1 intervals from 2,000 bootstrap samples of the texts (Efron 1979), fixed seed.

    Without texts the interval of the mean is (0, 1). F1 depends on the counts only, so cells of the
    confusion matrix are sampled instead of texts.
    """
    size = len(scores.counts)
    low, high = np.full((2, size), np.nan)
    if not scores.macro_f1_classes:
        return F1Intervals(low, high, (0.0, 1.0))
    cells = np.flatnonzero(scores.counts)  # the k cells with texts
    true, predicted = np.divmod(cells, size)
    (f1,) = _bootstrap_f1(scores.counts.ravel()[cells], true, [predicted], size)
    low[scores.occurs], high[scores.occurs] = np.nanquantile(f1[:, scores.occurs], BOUNDS, axis=0)
    macro_low, macro_high = np.quantile(np.nanmean(f1, axis=1), BOUNDS)
    return F1Intervals(low, high, (float(macro_low), float(macro_high)))


@dataclass(frozen=True)
class UndisputedScores:
    """Scores without the texts whose labels are disputed; ``disputed`` is the number of those that
    were scored.
    """

    disputed: int
    scores: Scores

    @classmethod
    def of(cls, predictions: Predictions, rows: Collection[int]) -> "UndisputedScores | None":
        """Score ``predictions`` without the disputed ``rows``; None if none of them was scored."""
        remaining = predictions.leave_out(rows)
        disputed = len(predictions) - len(remaining)
        return cls(disputed, remaining.scores) if disputed else None

    @cached_property
    def macro_f1_interval(self) -> tuple[float, float]:
        """95 % interval of macro-F1."""
        return bootstrap_f1(self.scores).macro


def compare_f1(true: Labels, first: Labels, second: Labels, classes: Sequence[str]) -> pd.DataFrame:
    """Compare the F1 of two classifiers per class by a paired bootstrap with 2,000 samples.

    ``true``, ``first`` and ``second`` (N,) are class ids of the same N ≥ 1 texts. Columns: class,
    support, first and second (F1), difference (second minus first), low and high of its interval;
    NaN where a class has neither texts nor predictions of the classifier.
    """
    size = len(classes)
    cells, counts = np.unique(
        np.stack([true, first, second]), axis=1, return_counts=True
    )  # (3, k) and (k,)
    f1_first, f1_second = _bootstrap_f1(counts, cells[0], list(cells[1:]), size)
    change = f1_second - f1_first
    low, high = np.full((2, size), np.nan)
    compared = ~np.isnan(change).all(axis=0)  # (C,)
    low[compared], high[compared] = np.nanquantile(change[:, compared], BOUNDS, axis=0)
    sides = [_compute_f1(counts[None], cells[0], cells[side], size)[0] for side in (1, 2)]
    support = np.bincount(true, minlength=size)
    table = {
        "class": list(classes),
        "support": support,
        "first": sides[0],
        "second": sides[1],
        "difference": sides[1] - sides[0],
    }
    return pd.DataFrame({**table, "low": low, "high": high})


def _bootstrap_f1(
    counts: NDArray[np.int64], true: Labels, sides: Sequence[Labels], size: int
) -> list[NDArray[np.float64]]:
    """Compute the F1 (R, C) of each classifier in bootstrap samples of the texts in k cells.

    ``counts`` (k,) are the texts of the cells with the classes ``true`` and those of ``sides``, the
    predictions of each classifier, all (k,). Samples are drawn in chunks, which bounds the memory
    for hundreds of classes.
    """
    random, total = np.random.default_rng(SEED), int(counts.sum())
    chunk = max(1, CHUNK_NUMBERS // len(counts))
    parts = []
    for start in range(0, RESAMPLES, chunk):
        drawn = random.multinomial(total, counts / total, min(chunk, RESAMPLES - start))
        parts.append([_compute_f1(drawn, true, predicted, size) for predicted in sides])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def _compute_f1(
    drawn: NDArray[np.int64], true: Labels, predicted: Labels, size: int
) -> NDArray[np.float64]:
    """Compute the F1 (R, C) of samples; NaN where a class does not occur.

    ``drawn`` (R, k) are counts of the k cells with the classes ``true`` and ``predicted`` (k,).
    """
    correct = true == predicted
    hits = _sum_by_class(drawn[:, correct], true[correct], size)  # (R, C)
    # (R, C), texts of the class plus texts predicted as the class
    sums = _sum_by_class(drawn, true, size) + _sum_by_class(drawn, predicted, size)
    f1: NDArray[np.float64] = np.divide(
        2 * hits, sums, out=np.full(hits.shape, np.nan), where=sums > 0
    )
    return f1


def _sum_by_class(drawn: NDArray[np.int64], classes: Labels, size: int) -> NDArray[np.int64]:
    """Sum the columns (R, k) that have the same class (k,); the result is (R, C)."""
    sums = np.zeros((len(drawn), size), dtype=np.int64)
    if len(classes):
        order = np.argsort(classes, kind="stable")
        present, starts = np.unique(classes[order], return_index=True)
        sums[:, present] = np.add.reduceat(drawn[:, order], starts, axis=1)
    return sums


def compute_class_intervals(
    scores: Scores, classes: Sequence[str], f1: F1Intervals | None = None
) -> pd.DataFrame:
    """Tabulate class, support, precision, recall and f1.

    Each score has two more columns, ``_low`` and ``_high``, with its 95 % interval: Wilson
    intervals for precision and recall, bootstrap for F1 (``f1`` if already computed). The precision
    of a class that was never predicted is NaN with (0, 1), likewise the recall of a class without
    texts.
    """
    predicted = scores.counts.sum(axis=0)
    hits = scores.counts.diagonal()
    table = pd.DataFrame({"class": list(classes), "support": scores.support})
    for name, wholes in (("precision", predicted), ("recall", scores.support)):
        proportions = [
            Proportion(int(part), int(whole)) for part, whole in zip(hits, wholes, strict=True)
        ]
        table[name] = [share.value for share in proportions]
        table[f"{name}_low"] = [share.interval[0] for share in proportions]
        table[f"{name}_high"] = [share.interval[1] for share in proportions]
    intervals = f1 or bootstrap_f1(scores)
    return table.assign(f1=scores.f1, f1_low=intervals.low, f1_high=intervals.high)


def list_confused_pairs(scores: Scores, classes: Sequence[str], most: int = 10) -> pd.DataFrame:
    """List pairs of classes that are confused with each other, most confused texts first.

    Within a pair, the stronger direction comes first. Columns: first, second, there and back (texts
    of ``first`` predicted as ``second``, and vice versa), there_share and back_share of the true
    class, p (Fisher's exact test for a difference between both, Holm-corrected for the pairs
    shown), one_way.
    """
    counts, support = scores.counts, scores.support
    both = np.triu(counts + counts.T, k=1)  # (C, C)
    first, second = np.nonzero(both)
    ranked = np.argsort(-both[first, second], kind="stable")[:most]
    lines = [_order_pair(counts, support, (int(first[at]), int(second[at]))) for at in ranked]
    p = correct_p_values(
        [
            compute_fisher_p_value(
                int(counts[i, j]), int(support[i]), int(counts[j, i]), int(support[j])
            )
            for i, j in lines
        ]
    )
    return pd.DataFrame(
        {
            "first": [classes[i] for i, _ in lines],
            "second": [classes[j] for _, j in lines],
            "there": [int(counts[i, j]) for i, j in lines],
            "back": [int(counts[j, i]) for i, j in lines],
            "there_share": [Proportion(int(counts[i, j]), int(support[i])).value for i, j in lines],
            "back_share": [Proportion(int(counts[j, i]), int(support[j])).value for i, j in lines],
            "p": p,
            "one_way": [value < LEVEL for value in p],
        }
    )


def _order_pair(
    counts: NDArray[np.int64], support: NDArray[np.int64], pair: tuple[int, int]
) -> tuple[int, int]:
    """Order the pair so that the larger proportion of a true class comes first."""
    first, second = pair
    there, back = (counts[a, b] / max(int(support[a]), 1) for a, b in (pair, pair[::-1]))
    return (second, first) if back > there else (first, second)


MOST_POINTS = 200  # per curve, more than a screen can show
CurveKind = Literal["ROC", "precision–recall"]
CURVE_KINDS: tuple[CurveKind, ...] = get_args(CurveKind)


@dataclass(frozen=True, eq=False)
class RankingCurves:
    """Curves of each class against the rest.

    ``points`` has class, x, y with at most 200 rows per class. ``areas`` has class, area, texts;
    the area is NaN for a class without texts or with all texts. ROC: x is the false positive rate,
    y the true positive rate, area is AUROC. Precision-recall: x is recall, y precision, area is
    average precision, without interpolation.
    """

    kind: CurveKind
    points: pd.DataFrame
    areas: pd.DataFrame


def compute_ranking_curves(
    predictions: Predictions, classes: Sequence[str], kind: CurveKind
) -> RankingCurves:
    """Compute the curve of each class that has some but not all texts.

    The areas are those of the full curves, before points are removed.
    """
    parts, areas = [], []
    for index, name in enumerate(classes):
        positive = predictions.true == index
        area = float("nan")
        if 0 < positive.sum() < len(positive):
            x, y, area = _compute_curve(positive, predictions.probabilities[:, index], kind)
            shown = thin(x, y)
            parts.append(pd.DataFrame({"class": name, "x": x[shown], "y": y[shown]}))
        areas.append((name, area, int(positive.sum())))
    points = (
        pd.concat(parts, ignore_index=True)
        if parts
        else pd.DataFrame({"class": [], "x": [], "y": []})
    )
    return RankingCurves(kind, points, pd.DataFrame(areas, columns=["class", "area", "texts"]))


def thin(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.int64]:
    """Choose at most 200 positions, evenly spaced along the curve, including both ends."""
    if len(x) <= MOST_POINTS:
        return np.arange(len(x))
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])  # (n,)
    positions = np.searchsorted(length, np.linspace(0, length[-1], MOST_POINTS - 1))
    return np.unique(np.concatenate([[0], np.minimum(positions, len(x) - 1), [len(x) - 1]]))[
        :MOST_POINTS
    ]


def _compute_curve(
    positive: NDArray[np.bool_], score: NDArray[np.float64], kind: CurveKind
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    # takes half a second to import; only these curves need it
    from sklearn import metrics  # noqa: PLC0415

    if kind == "ROC":
        false, true, _ = metrics.roc_curve(positive, score)
        return false, true, float(metrics.auc(false, true))
    precision, recall, _ = metrics.precision_recall_curve(positive, score)
    return recall, precision, float(metrics.average_precision_score(positive, score))
