"""Evidence of runs: curves and predictions with chosen properties."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.config import RunConfig
from core.evaluation.predictions import Predictions, build_prediction_frame
from core.runs.evidence import Evidence
from core.storage.database import Metric

CLASSES = ("World", "Sports", "Business", "Sci/Tech")


def predict(
    accuracy: float,
    rows: int = 400,
    shares: Sequence[float] = (0.25, 0.25, 0.25, 0.25),
    *,
    only: int | None = None,
    tokens: int = 20,
    seed: int = 0,
    sure_of_errors: bool = False,
) -> Predictions:
    """Return predictions of which ``accuracy`` are correct, the others of random wrong classes.

    ``shares`` are the frequencies of the true classes; ``only`` is predicted for all texts.
    ``seed`` chooses the texts that are correct. Errors are less confident unless
    ``sure_of_errors``.
    """
    classes = len(shares)
    labels = np.random.default_rng(0).choice(classes, rows, p=shares).astype(np.int64)
    rng = np.random.default_rng(seed)
    wrong = (labels + rng.integers(1, classes, rows)) % classes
    right = rng.permutation(rows) < round(accuracy * rows)
    predicted = np.where(right, labels, wrong) if only is None else np.full(rows, only)
    lowest = np.where((predicted == labels) | sure_of_errors, 0.7, 0.55)
    confidence = lowest + 0.25 * rng.random(rows)
    probabilities = np.repeat((1 - confidence[:, None]) / (classes - 1), classes, axis=1)
    probabilities[np.arange(rows), predicted] = confidence
    frame = build_prediction_frame(np.arange(rows), labels, probabilities)
    return Predictions.of(pd.DataFrame(frame).assign(tokens=tokens), classes)


def make_evidence(
    losses: Sequence[float],
    validations: Sequence[float] = (),
    test: Predictions | None = None,
    validation: Predictions | None = None,
    tfidf: Predictions | None = None,
    *,
    steps: int = 200,
    shared: int | None = None,
    **values: object,
) -> Evidence:
    """Return evidence whose training loss passes through ``losses``, evenly spaced over ``steps``,
    and whose validation losses are ``validations``; ``values`` are of the configuration.
    """
    curve = np.interp(np.linspace(0, len(losses) - 1, steps), range(len(losses)), losses)
    interval = max(1, steps // max(1, len(validations)))
    return Evidence(
        RunConfig.model_validate(values),
        CLASSES[: test.classes] if test and test.classes <= len(CLASSES) else CLASSES,
        steps,
        curve,
        tuple(
            Metric(interval * number, "validation", 1.0, loss, 0.0, 0.8)
            for number, loss in enumerate(validations, start=1)
        ),
        validation or test,
        test,
        tfidf,
        shared,
    )
