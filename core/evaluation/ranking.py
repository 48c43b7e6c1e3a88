"""How well probabilities rank the texts of a class before the others: ROC and precision-recall,
each class against the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.evaluation.predictions import Predictions

MOST_POINTS = 200  # of a curve: a screen shows no more
CurveKind = Literal["ROC", "precision–recall"]
CURVE_KINDS: tuple[CurveKind, ...] = get_args(CurveKind)


@dataclass(frozen=True, eq=False)
class RankingCurves:
    """``points``: class, x, y, at most 200 lines a class. ``areas``: class, area, texts; a class
    without texts, or with all, has NaN.

    ROC: x is the false positive rate, y the true positive rate, area is AUROC. Precision-recall: x
    is recall, y precision, area is average precision, the mean precision at each recall that is
    reached, without interpolation.
    """

    kind: CurveKind
    points: pd.DataFrame
    areas: pd.DataFrame


def ranking_curves(
    predictions: Predictions, classes: Sequence[str], kind: CurveKind
) -> RankingCurves:
    """A curve for each class that some but not all texts belong to; areas are those of the full
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
    """At most 200 positions of a curve, evenly along its way, with both ends."""
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
    # Half a second of import, for who asks for these curves.
    from sklearn import metrics  # noqa: PLC0415

    if kind == "ROC":
        false, true, _ = metrics.roc_curve(positive, score)
        return false, true, float(metrics.auc(false, true))
    precision, recall, _ = metrics.precision_recall_curve(positive, score)
    return recall, precision, float(metrics.average_precision_score(positive, score))
