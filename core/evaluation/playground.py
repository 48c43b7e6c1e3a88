"""A head trained on the frozen vectors of few texts in milliseconds, and the plane of its picture.

Softmax regression by gradient descent on all texts at once. Without torch, because the web server
trains it. Shapes: n texts, d values of a vector, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

CURVE_POINTS = 60  # at most this many losses are measured, however many steps there are
GRID = 64  # cells of the decision picture in each direction


@dataclass(frozen=True, eq=False)
class Examples:
    """Texts as the head reads them: ``vectors`` (n, d) and ``labels`` (n,), class ids."""

    vectors: Floats
    labels: Labels


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane through ``center`` (d,) along two directions of length one, ``axes`` (2, d);
    ``share`` is the part of the vectors' variance in it.
    """

    center: Floats
    axes: Floats
    share: float

    def project(self, vectors: Floats) -> Floats:
        """Return the coordinates (n, 2) of ``vectors`` (n, d)."""
        return (vectors - self.center) @ self.axes.T

    def flatten(self, vectors: Floats) -> Floats:
        """Return the nearest points of the plane (n, d)."""
        return self.center + self.project(vectors) @ self.axes


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """A head with ``weights`` (C, d) and ``bias`` (C,) for vectors minus ``center``, divided by
    ``scale``.

    ``curve`` has the columns step, split and loss, in nats.
    """

    weights: Floats
    bias: Floats
    center: Floats
    scale: float
    curve: pd.DataFrame

    def compute_logits(self, vectors: Floats) -> Floats:
        """Return the logits (n, C) of ``vectors`` (n, d)."""
        logits: Floats = (vectors - self.center) / self.scale @ self.weights.T + self.bias
        return logits

    def compute_probabilities(self, vectors: Floats) -> Floats:
        """Return the class probabilities (n, C) of ``vectors`` (n, d)."""
        return _softmax(self.compute_logits(vectors), axis=1)

    def predict(self, vectors: Floats) -> Labels:
        """Return the predicted class ids (n,) of ``vectors`` (n, d)."""
        predicted: Labels = self.compute_logits(vectors).argmax(axis=1)
        return predicted

    def find_regions(self, plane: Plane, where: tuple[float, float, float, float]) -> pd.DataFrame:
        """Tabulate where in ``plane`` the head predicts which class: x, x2, y, y2, class id.

        ``where`` is the lowest and highest x, then y. Neighboring cells of one class in a line are
        one rectangle.
        """
        left, right, low, high = where
        x_edges, y_edges = (np.linspace(*ends, GRID + 1) for ends in ((left, right), (low, high)))
        x, y = ((edges[:-1] + edges[1:]) / 2 for edges in (x_edges, y_edges))
        # logits are linear in the coordinates: (C,), (C, 2)
        origin = self.compute_logits(plane.center[None])[0]
        slopes = self.weights @ plane.axes.T / self.scale
        logits = (
            origin + x[None, :, None] * slopes[:, 0] + y[:, None, None] * slopes[:, 1]
        )  # (GRID, GRID, C)
        lines = []
        for number, line in enumerate(logits.argmax(axis=2)):
            starts = [0, *(np.flatnonzero(np.diff(line)) + 1).tolist()]
            for start, end in zip(starts, [*starts[1:], GRID], strict=True):
                span = (x_edges[start], x_edges[end], y_edges[number], y_edges[number + 1])
                lines.append((*span, int(line[start])))
        return pd.DataFrame(lines, columns=["x", "x2", "y", "y2", "class"])


def flip_labels(labels: Labels, share: float, classes: int, seed: int) -> Labels:
    """Return ``labels`` with ``share`` of them replaced by another class, chosen by ``seed``.

    A larger share flips the same labels and more.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(labels))
    offsets = generator.integers(1, max(classes, 2), len(labels))
    flipped = labels.copy()
    chosen = order[: round(share * len(labels))]
    flipped[chosen] = (labels[chosen] + offsets[chosen]) % classes
    return flipped


def train_head(
    training: Examples, held_out: Examples, classes: int, rate: float, steps: int
) -> TrainedHead:
    """Train a head of zeros by ``steps`` steps of gradient descent with the learning rate ``rate``.

    Vectors are centered and divided by their root mean square length, so that a rate means the same
    for all base models. There is no randomness. Weights that start at zero are sums of training
    vectors, so a step needs the products of vectors only, which are computed once.
    """
    center = training.vectors.mean(axis=0)
    scale = float(np.sqrt(((training.vectors - center) ** 2).sum(axis=1).mean())) or 1.0
    x, held = ((some.vectors - center) / scale for some in (training, held_out))  # (n, d), (m, d)
    n = len(x)
    products = x @ x.T  # (n, n)
    # a row for each class: sums over few neighboring values would be the slowest part of a step
    targets = np.eye(classes)[training.labels].T  # (C, n)
    shares, bias = np.zeros((classes, n)), np.zeros((classes, 1))  # weights are shares @ x
    measured = np.linspace(0, steps, min(steps, CURVE_POINTS) + 1).round().astype(int)
    points: list[tuple[Floats, Floats]] = []  # shares and bias at the measured steps
    following = iter(measured.tolist())
    point = next(following)
    for step in range(steps + 1):
        if step == point:
            points.append((shares.copy(), bias.copy()))
            point = next(following, -1)
        if step < steps:
            errors = _softmax(shares @ products + bias, axis=0)  # (C, n)
            errors -= targets
            errors *= rate / n
            shares -= errors
            bias -= errors.sum(axis=1, keepdims=True)
    splits = {"training": (products, training.labels), "held-out": (x @ held.T, held_out.labels)}
    losses = {
        split: _measure_losses(points, others, labels)
        for split, (others, labels) in splits.items()
        if len(labels)
    }
    curve = pd.DataFrame(
        {
            "step": np.repeat(measured, len(losses)),
            "split": list(losses) * len(measured),
            "loss": np.stack(list(losses.values()), axis=1).ravel(),
        }
    )
    return TrainedHead(shares @ x, bias[:, 0], center, scale, curve)


def _measure_losses(
    points: Sequence[tuple[Floats, Floats]], products: Floats, labels: Labels
) -> Floats:
    """Return the mean cross entropy in nats at each point, shares (C, n) and bias (C, 1).

    ``products`` (n, m) are those of the training vectors and of the m vectors with ``labels``.
    """
    shares, bias = (np.stack(parts) for parts in zip(*points, strict=True))
    probabilities = _softmax(shares @ products + bias, axis=1)  # (points, C, m)
    right = probabilities[:, labels, np.arange(len(labels))]
    losses: Floats = -np.log(np.maximum(right, 1e-12)).mean(axis=1)
    return losses


def find_plane(vectors: Floats, labels: Labels) -> Plane:
    """Find the two directions in which the class means differ most, by PCA of the means.

    ``vectors`` are (n, d) of at least two classes. Means of two classes differ in one direction;
    the other is the first principal component of what is left. The plane does not depend on the
    head, so texts stay in place while settings change. The largest value of each direction is
    positive.
    """
    center = vectors.mean(axis=0)
    means = np.stack([vectors[labels == label].mean(axis=0) for label in np.unique(labels)])
    axes = _find_directions(means - means.mean(axis=0), 2)
    if len(axes) < 2:
        rest = vectors - center
        axes = np.concatenate([axes, _find_directions(rest - rest @ axes.T @ axes, 2 - len(axes))])
    axes = np.concatenate([axes, np.zeros((2 - len(axes), vectors.shape[1]))])  # equal vectors
    signs = np.where(axes[np.arange(2), np.abs(axes).argmax(axis=1)] < 0, -1.0, 1.0)
    plane = Plane(center, axes * signs[:, None], 1.0)
    total = float(((vectors - center) ** 2).sum())
    return replace(
        plane, share=float((plane.project(vectors) ** 2).sum()) / total if total else 1.0
    )


def _find_directions(rows: Floats, most: int) -> Floats:
    """Return up to ``most`` principal components (k, d) of centered ``rows`` (n, d)."""
    _, lengths, directions = np.linalg.svd(rows, full_matrices=False)
    known = lengths > 1e-9 * max(1.0, float(lengths[:1].sum()))
    components: Floats = directions[known][:most]
    return components


def _softmax(logits: Floats, axis: int) -> Floats:
    """Return the probabilities of the classes along ``axis``."""
    exponentials: Floats = np.exp(logits - logits.max(axis=axis, keepdims=True))
    exponentials /= exponentials.sum(axis=axis, keepdims=True)
    return exponentials
