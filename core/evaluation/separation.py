"""How well vectors keep classes apart, as numbers: what a picture in two dimensions stands for. Shapes: n rows, d numbers each."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.evaluation.scores import Proportion

NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Separation:
    """``knn`` counts rows whose class the majority of their 10 nearest other rows has; ``silhouette`` is from -1 to 1.

    Silhouette (Rousseeuw 1987): 1 if each class is far from the others and dense, about 0 if they overlap; NaN of fewer than two classes.
    """

    knn: Proportion
    silhouette: float


def measure_separation(vectors: NDArray[np.floating], labels: NDArray[np.int64]) -> Separation:
    """Of ``vectors`` (n, d) with Euclidean distances. A tie between classes goes to that of the nearest row among them."""
    from sklearn.metrics import silhouette_score  # noqa: PLC0415 - only jobs measure; the server reads the results
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415

    points = np.ascontiguousarray(vectors, dtype=np.float32)
    count = min(NEIGHBOURS, len(points) - 1)
    if count < 1:
        return Separation(Proportion(0, len(points)), float("nan"))
    found = NearestNeighbors(n_neighbors=count).fit(points).kneighbors(return_distance=False)  # (n, k), without the row itself
    votes = np.zeros((len(points), int(labels.max()) + 1))
    for rank in range(count):
        votes[np.arange(len(points)), labels[found[:, rank]]] += 1 - rank / 1000  # the nearer counts a little more
    hits = int((votes.argmax(1) == labels).sum())
    several = 1 < len(np.unique(labels)) < len(points)
    silhouette = float(silhouette_score(points, labels)) if several else float("nan")
    return Separation(Proportion(hits, len(points)), silhouette)
