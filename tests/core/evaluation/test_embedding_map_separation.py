import numpy as np
import pytest
from sklearn.metrics import silhouette_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from core.evaluation.embedding_map import SEPARATION_NEIGHBORS, measure_separation
from core.evaluation.scores import Proportion


def test_distant_classes_are_separated_completely() -> None:
    generator = np.random.default_rng(0)
    vectors = np.concatenate([generator.normal(0, 1, (30, 5)), generator.normal(100, 1, (30, 5))])

    result = measure_separation(vectors, np.repeat([0, 1], 30))

    assert result.knn == Proportion(60, 60)
    assert result.silhouette > 0.95


@pytest.mark.slow
def test_separation_equals_that_of_scikit_learn() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 120)
    vectors = generator.normal(size=(120, 6)) + labels[:, None] * 0.9
    odd = SEPARATION_NEIGHBORS + 1 - SEPARATION_NEIGHBORS % 2
    near, far = (
        (
            cross_val_predict(KNeighborsClassifier(count), vectors, labels, cv=LeaveOneOut())
            == labels
        ).sum()
        for count in (odd - 2, odd)
    )

    result = measure_separation(vectors, labels)

    assert (
        abs(result.knn.hits - (near + far) / 2) <= 8
    )  # an even number of neighbors ties; both odd numbers around it do not
    assert result.silhouette == pytest.approx(silhouette_score(vectors, labels), abs=1e-5)


def test_a_tie_goes_to_the_nearer_class() -> None:
    vectors = np.array([[0.0], [1.0], [-2.0]])

    result = measure_separation(
        vectors, np.array([0, 0, 1])
    )  # the first has one neighbor of each class, its own nearer

    assert result.knn == Proportion(2, 3)


def test_one_class_has_no_silhouette() -> None:
    assert np.isnan(measure_separation(np.eye(4), np.zeros(4, dtype=np.int64)).silhouette)
