import numpy as np
import pytest
from sklearn.decomposition import PCA

from core.errors import DataError
from core.evaluation.embedding_map import align_map, project

VECTORS = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float16)


def test_pca_keeps_the_directions_of_greatest_spread() -> None:
    expected = PCA(2, svd_solver="full").fit_transform(VECTORS.astype(np.float32))

    assert project(VECTORS, "PCA", 0) == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_t_sne_gives_two_numbers_a_row_and_the_same_for_the_same_seed() -> None:
    first, second = project(VECTORS, "t-SNE", 3), project(VECTORS, "t-SNE", 3)

    assert first.shape == (60, 2)
    assert np.array_equal(first, second)


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(DataError, match="3 texts are too few for a map"):
        project(VECTORS[:3], "PCA", 0)


def test_vectors_that_are_all_the_same_are_refused() -> None:
    with pytest.raises(DataError, match="All texts have the same vector in this layer"):
        project(np.ones((30, 4)), "UMAP", 0)


def test_a_turned_and_mirrored_map_is_turned_back() -> None:
    target = np.random.default_rng(1).normal(size=(30, 2))
    angle = 1.1
    turned = (
        target
        @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        * [1, -1]
        + 5
    )

    assert align_map(turned, target) == pytest.approx(target - target.mean(0), abs=1e-5)
