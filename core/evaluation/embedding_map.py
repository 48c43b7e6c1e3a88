"""From d numbers to two, for a picture. Shapes: n rows, d numbers each.

How well vectors keep classes apart, as numbers: what a picture in two dimensions stands for.
Shapes: n rows, d numbers each.
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
FEWEST_ROWS = 20
NEIGHBOURS = 15  # UMAP's own default: less shows finer structure, more the coarse one
PERPLEXITY = 30.0  # t-SNE's usual one


def prepare_umap(cache: Path) -> None:
    """Import UMAP and let numba compile it, some 25 s of one core the first time; the machine code
    is kept in ``cache`` for the next.

    A made-up sample goes through it: numba compiles what is used for the kinds of numbers that it
    meets, not for their amount.
    """
    cache.mkdir(parents=True, exist_ok=True)
    os.environ["NUMBA_CACHE_DIR"] = str(cache)  # numba reads it when it is imported
    sample = np.random.default_rng(0).normal(size=(4 * FEWEST_ROWS, 8)).astype(np.float32)
    project(sample, "UMAP", 0)


def project(vectors: NDArray[np.floating], method: Method, seed: int) -> NDArray[np.float32]:
    """(n, d) to (n, 2). PCA: Pearson 1901; UMAP: McInnes et al. 2018; t-SNE: van der Maaten and
    Hinton 2008.

    Raises DataError of fewer than 20 rows, and where all are the same.
    """
    if len(vectors) < FEWEST_ROWS:
        raise DataError(
            f"A map of {len(vectors)} texts tells nothing.", f"Choose at least {FEWEST_ROWS}."
        )
    points = np.ascontiguousarray(vectors, dtype=np.float32)
    if not np.ptp(points, axis=0).any():
        raise DataError(
            "All texts have the same vector there.",
            "Choose a later layer, or the mean of all tokens.",
        )
    if method == "UMAP":
        from umap.umap_ import UMAP  # noqa: PLC0415 - seconds of import, for the job alone

        reducer = UMAP(n_neighbors=min(NEIGHBOURS, len(points) - 1), random_state=seed, n_jobs=1)
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


def turn_towards(points: NDArray[np.floating], target: NDArray[np.floating]) -> NDArray[np.float32]:
    """``points`` (n, 2), centred, turned and mirrored to lie as near as possible to ``target``;
    distances stay (Schönemann 1966).

    A method's axes have no direction of their own, so two pictures of the same rows can only be
    compared after this.
    """
    mine, theirs = points - points.mean(0), target - target.mean(0)
    left, _, right = np.linalg.svd(mine.T @ theirs)
    return np.asarray(mine @ (left @ right), dtype=np.float32)


SEPARATION_NEIGHBOURS = 10


@dataclass(frozen=True, slots=True)
class Separation:
    """``knn`` counts rows whose class the majority of their 10 nearest other rows has;
    ``silhouette`` is from -1 to 1.

    Silhouette (Rousseeuw 1987): 1 if each class is far from the others and dense, about 0 if they
    overlap; NaN of fewer than two classes.
    """

    knn: Proportion
    silhouette: float


def measure_separation(vectors: NDArray[np.floating], labels: NDArray[np.int64]) -> Separation:
    """Of ``vectors`` (n, d) with Euclidean distances. A tie between classes goes to that of the
    nearest row among them.
    """
    # Only jobs measure; the server reads the results.
    from sklearn.metrics import silhouette_score  # noqa: PLC0415
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415

    points = np.ascontiguousarray(vectors, dtype=np.float32)
    count = min(SEPARATION_NEIGHBOURS, len(points) - 1)
    if count < 1:
        return Separation(Proportion(0, len(points)), float("nan"))
    found = (
        NearestNeighbors(n_neighbors=count).fit(points).kneighbors(return_distance=False)
    )  # (n, k), without the row itself
    votes = np.zeros((len(points), int(labels.max()) + 1))
    for rank in range(count):
        votes[np.arange(len(points)), labels[found[:, rank]]] += (
            1 - rank / 1000
        )  # the nearer counts a little more
    hits = int((votes.argmax(1) == labels).sum())
    several = 1 < len(np.unique(labels)) < len(points)
    silhouette = float(silhouette_score(points, labels)) if several else float("nan")
    return Separation(Proportion(hits, len(points)), silhouette)
