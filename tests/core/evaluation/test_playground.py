import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from core.evaluation.playground import (
    GRID,
    Examples,
    Floats,
    Labels,
    find_plane,
    flip_labels,
    train_head,
)

NOTHING = Examples(np.empty((0, 5)), np.empty(0, dtype=np.int64))


@pytest.fixture
def blobs() -> Examples:
    """Three overlapping classes of 30 vectors of 5 values."""
    generator = np.random.default_rng(3)
    labels = np.repeat(np.arange(3), 30)
    centers = generator.normal(size=(3, 5)) * 1.2
    return Examples(centers[labels] + generator.normal(size=(90, 5)), labels)


def test_the_first_step_is_the_gradient_at_zero() -> None:
    two = Examples(np.array([[1.0, 0], [-1.0, 0]]), np.array([0, 1]))

    head = train_head(two, Examples(np.empty((0, 2)), np.empty(0, dtype=np.int64)), 2, 0.5, 1)

    # errors are ±1/2 per class; the mean over two texts of error × vector is ∓1/2
    assert head.weights == pytest.approx(np.array([[0.25, 0], [-0.25, 0]]))
    assert head.bias == pytest.approx(np.zeros(2))
    assert head.curve["loss"].tolist() == pytest.approx([np.log(2), np.log(1 + np.exp(-0.5))])


def test_many_steps_reach_the_loss_of_scikit_learn(blobs: Examples) -> None:
    head = train_head(blobs, NOTHING, 3, 3.0, 5_000)

    reference = LogisticRegression(C=np.inf, max_iter=5_000, tol=1e-8)
    lowest = log_loss(
        blobs.labels, reference.fit(blobs.vectors, blobs.labels).predict_proba(blobs.vectors)
    )
    assert head.curve["loss"].iloc[-1] == pytest.approx(lowest, abs=5e-3)


def test_a_rate_that_is_too_high_stays_finite_and_ends_with_a_higher_loss(blobs: Examples) -> None:
    usual, high = (train_head(blobs, blobs, 3, rate, 500) for rate in (1.0, 300.0))

    assert np.isfinite(high.curve["loss"]).all()
    assert high.curve["loss"].iloc[-1] > usual.curve["loss"].iloc[-1]


def test_the_curve_has_both_splits_from_the_first_to_the_last_step(blobs: Examples) -> None:
    curve = train_head(blobs, blobs, 3, 1.0, 500).curve

    assert curve["step"].min() == 0
    assert curve["step"].max() == 500
    assert curve["split"].value_counts().to_dict() == {"training": 61, "held-out": 61}
    assert curve["loss"].iloc[0] == pytest.approx(np.log(3))


def test_the_plane_is_the_pca_of_the_class_means(blobs: Examples) -> None:
    plane = find_plane(blobs.vectors, blobs.labels)

    means = np.stack([blobs.vectors[blobs.labels == label].mean(axis=0) for label in range(3)])
    assert np.abs(plane.axes) == pytest.approx(np.abs(PCA(2).fit(means).components_))
    assert (plane.axes[np.arange(2), np.abs(plane.axes).argmax(axis=1)] > 0).all()
    around = blobs.vectors - blobs.vectors.mean(axis=0)
    part = (around @ plane.axes.T @ plane.axes).var(axis=0).sum()
    assert plane.share == pytest.approx(part / around.var(axis=0).sum())


def test_in_the_plane_of_three_class_means_the_first_step_is_drawn_exactly(
    blobs: Examples,
) -> None:
    plane = find_plane(blobs.vectors, blobs.labels)
    head = train_head(blobs, NOTHING, 3, 1.0, 1)  # weights are differences of class means

    assert (head.predict(plane.flatten(blobs.vectors)) == head.predict(blobs.vectors)).all()


def test_two_classes_have_a_plane_of_two_directions(blobs: Examples) -> None:
    two = blobs.labels < 2

    axes = find_plane(blobs.vectors[two], blobs.labels[two]).axes

    assert axes @ axes.T == pytest.approx(np.eye(2), abs=1e-9)


def test_equal_texts_have_a_plane_and_a_head() -> None:
    same = Examples(np.ones((2, 5)), np.array([0, 1]))

    assert find_plane(same.vectors, same.labels).project(same.vectors) == pytest.approx(
        np.zeros((2, 2))
    )
    assert train_head(same, NOTHING, 2, 1.0, 3).compute_probabilities(
        same.vectors
    ) == pytest.approx(np.full((2, 2), 0.5))


def test_regions_are_what_the_head_predicts_there(blobs: Examples) -> None:
    head, plane = train_head(blobs, NOTHING, 3, 1.0, 50), find_plane(blobs.vectors, blobs.labels)

    regions = head.find_regions(plane, (-4.0, 4.0, -3.0, 3.0))

    cell = 8.0 / GRID
    first = regions["x"].to_numpy() + cell / 2
    middle = (regions["y"] + regions["y2"]).to_numpy() / 2
    vectors = plane.center + np.column_stack([first, middle]) @ plane.axes
    assert head.predict(vectors).tolist() == regions["class"].tolist()
    areas = (regions["x2"] - regions["x"]) * (regions["y2"] - regions["y"])
    assert areas.sum() == pytest.approx(48.0)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_labels_is_flipped_to_other_classes(share: float) -> None:
    labels: Labels = np.arange(80) % 4

    flipped = flip_labels(labels, share, 4, seed=1)

    assert int((flipped != labels).sum()) == share * 80
    assert set(flipped) == {0, 1, 2, 3}


def test_more_noise_flips_the_same_labels_and_more() -> None:
    labels: Labels = np.arange(80) % 4

    few, many = (flip_labels(labels, share, 4, seed=5) for share in (0.1, 0.4))

    changed = few != labels
    assert (few[changed] == many[changed]).all()
    assert (flip_labels(labels, 0.1, 4, seed=6) != few).any()


def test_training_again_gives_the_same_numbers(blobs: Examples) -> None:
    first: Floats
    first, second = (train_head(blobs, NOTHING, 3, 1.0, 40).weights for _ in range(2))

    assert first.tobytes() == second.tobytes()
