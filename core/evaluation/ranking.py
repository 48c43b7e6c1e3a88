"""Ranking quality of the probabilities: ROC and precision-recall curves, one class against the
rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.evaluation.predictions import Predictions

MOST_POINTS = 200  # per curve, more than a screen can show
CurveKind = Literal["ROC", "precision–recall"]
CURVE_KINDS: tuple[CurveKind, ...] = get_args(CurveKind)


@dataclass(frozen=True, eq=False)
class RankingCurves:
    """Curves: ``points`` has class, x, y with at most 200 rows per class; ``areas`` has class,
    area, texts, with NaN for a class without texts or with all.

    ROC: x is the false positive rate, y the true positive rate, area is AUROC. Precision-recall: x
    is recall, y precision, area is average precision, without interpolation.
    """

    kind: CurveKind
    points: pd.DataFrame
    areas: pd.DataFrame


def ranking_curves(
    predictions: Predictions, classes: Sequence[str], kind: CurveKind
) -> RankingCurves:
    """Compute the curve of each class that has some but not all texts; areas are those of the full
    curves.
    """
    parts, areas = [], []
    for index, name in enumerate(classes):
        positive = predictions.true == index
        area = float("nan")
        if 0 < positive.sum() < len(positive):
            x, y, area = _curve(positive, predictions.probabilities[:, index], kind)
            kept = thin(x, y)
            parts.append(pd.DataFrame({"class": name, "x": x[kept], "y": y[kept]}))
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
    way = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])  # (n,)
    places = np.searchsorted(way, np.linspace(0, way[-1], MOST_POINTS - 1))
    return np.unique(np.concatenate([[0], np.minimum(places, len(x) - 1), [len(x) - 1]]))[
        :MOST_POINTS
    ]


def _curve(
    positive: NDArray[np.bool_], score: NDArray[np.float64], kind: CurveKind
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    # takes half a second to import, and only these curves need it
    from sklearn import metrics  # noqa: PLC0415

    if kind == "ROC":
        false, true, _ = metrics.roc_curve(positive, score)
        return false, true, float(metrics.auc(false, true))
    precision, recall, _ = metrics.precision_recall_curve(positive, score)
    return recall, precision, float(metrics.average_precision_score(positive, score))
