import numpy as np
import pytest
from sklearn.decomposition import PCA

from core.errors import DataError
from core.evaluation.embedding_map import align_map, project

VECTORS = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float16)


def test_pca_keeps_the_directions_of_largest_variance() -> None:
    expected = PCA(2, svd_solver="full").fit_transform(VECTORS.astype(np.float32))

    assert project(VECTORS, "PCA", 0) == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_t_sne_is_two_dimensional_and_reproducible() -> None:
    first, second = project(VECTORS, "t-SNE", 3), project(VECTORS, "t-SNE", 3)

    assert first.shape == (60, 2)
    assert np.array_equal(first, second)


def test_too_few_texts_cannot_be_projected() -> None:
    with pytest.raises(DataError, match="3 texts are too few for a map"):
        project(VECTORS[:3], "PCA", 0)


def test_equal_vectors_cannot_be_projected() -> None:
    with pytest.raises(DataError, match="All texts have the same vector in this layer"):
        project(np.ones((30, 4)), "UMAP", 0)


def test_a_rotated_and_reflected_map_is_aligned() -> None:
    target = np.random.default_rng(1).normal(size=(30, 2))
    angle = 1.1
    turned = (
        target
        @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        * [1, -1]
        + 5
    )

    assert align_map(turned, target) == pytest.approx(target - target.mean(0), abs=1e-5)
