"""Project vectors to two dimensions, and measure how well they separate the classes.

Shapes: n rows, d dimensions.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError
from core.evaluation.scores import Proportion

Method = Literal["PCA", "UMAP", "t-SNE"]
METHODS: tuple[Method, ...] = get_args(Method)
MIN_ROWS = 20
NEIGHBORS = 15  # UMAP's default: fewer show finer structure, more show coarser structure
PERPLEXITY = 30.0  # default of t-SNE


def prepare_umap(cache: Path) -> None:
    """Import UMAP and compile it with numba; the machine code is stored in ``cache``.

    It takes about 25 s on one core the first time. Compilation depends on the types of the data,
    not on its size, so a random sample is enough.
    """
    cache.mkdir(parents=True, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(cache)  # numba reads it when it is imported
    sample = np.random.default_rng(0).normal(size=(4 * MIN_ROWS, 8)).astype(np.float32)
    project(sample, "UMAP", 0)


def project(vectors: NDArray[np.floating], method: Method, seed: int) -> NDArray[np.float32]:
    """Project vectors (n, d) to two dimensions (n, 2).

    PCA: Pearson 1901; UMAP: McInnes et al. 2018; t-SNE: van der Maaten and Hinton 2008. Raises
    DataError for fewer than 20 rows, or if all rows are equal.
    """
    if len(vectors) < MIN_ROWS:
        raise DataError(
            f"{len(vectors)} texts are too few for a map.", f"Choose at least {MIN_ROWS}."
        )
    points = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.ptp(points, axis=0).any():
        raise DataError(
            "All texts have the same vector in this layer.",
            "Choose a later layer, or the mean of all tokens.",
        )
    if method == "UMAP":
        from umap.umap_ import UMAP  # noqa: PLC0415 - seconds of import, for the job alone

        reducer = UMAP(n_neighbors=min(NEIGHBORS, len(points) - 1), random_state=seed, n_jobs=1)
        return np.asarray(reducer.fit_transform(points), dtype=np.float32)
    if method == "t-SNE":
        from sklearn.manifold import TSNE  # noqa: PLC0415

        perplexity = min(PERPLEXITY, (len(points) - 1) / 3)
        return np.asarray(
            TSNE(perplexity=perplexity, random_state=seed, init="pca").fit_transform(points),
            dtype=np.float32,
        )
    from sklearn.decomposition import PCA  # noqa: PLC0415

    return np.asarray(PCA(2, svd_solver="full").fit_transform(points), dtype=np.float32)


def align_map(points: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float32]:
    """Center ``points`` (n, 2), and rotate and reflect them to match ``target``.

    Solves the orthogonal Procrustes problem (Schönemann 1966). The axes of a projection have no
    fixed direction, so two maps of the same rows can only be compared after this.
    """
    centered, centered_target = points - points.mean(0), target - target.mean(0)
    left, _, right = np.linalg.svd(centered.T @ centered_target)
    return np.asarray(centered @ (left @ right), dtype=np.float32)


SEPARATION_NEIGHBORS = 10


@dataclass(frozen=True, slots=True)
class Separation:
    """How well vectors separate the classes.

    ``knn`` counts rows whose class is the majority class of their 10 nearest neighbors.
    ``silhouette`` is from -1 to 1. Silhouette (Rousseeuw 1987): 1 for dense, distant classes, about
    0 for overlapping ones; NaN for fewer than two classes.
    """

    knn: Proportion
    silhouette: float


def measure_separation(vectors: NDArray[np.floating], labels: NDArray[np.int64]) -> Separation:
    """Measure how well ``vectors`` (n, d) separate the classes, by Euclidean distance.

    A tie goes to the class of the nearest neighbor.
    """
    # imported in jobs only; the server reads the results
    from sklearn.metrics import silhouette_score  # noqa: PLC0415
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415

    points = np.ascontiguousarray(vectors, dtype=np.float32)
    count = min(SEPARATION_NEIGHBORS, len(points) - 1)
    if count < 1:
        return Separation(Proportion(0, len(points)), float("nan"))
    # (n, k) row numbers, without the row itself
    neighbors = NearestNeighbors(n_neighbors=count).fit(points).kneighbors(return_distance=False)
    votes = np.zeros((len(points), int(labels.max()) + 1))
    for rank in range(count):
        # nearer neighbors count slightly more, which decides ties
        votes[np.arange(len(points)), labels[neighbors[:, rank]]] += 1 - rank / 1000
    hits = int((votes.argmax(1) == labels).sum())
    several = 1 < len(np.unique(labels)) < len(points)
    silhouette = float(silhouette_score(points, labels)) if several else float("nan")
    return Separation(Proportion(hits, len(points)), silhouette)
