"""Training dynamics: predictions on a fixed set of texts after each validation.

Shapes: S validations, n texts, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import ArtifactDamaged
from core.evaluation.predictions import Predictions
from core.evaluation.scores import Scores
from core.translation import mark

MOST_STEPS = 100  # validations read; 1 MB with 500 texts and 4 classes
EASY_MEAN = 0.5  # minimum mean probability of the true class of an easy text
AMBIGUOUS_DEVIATION = 0.2  # minimum standard deviation of an ambiguous text
GROUPS = (mark("easy"), mark("ambiguous"), mark("hard"))


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Predictions over training: ``steps`` (S,) ascending, ``rows`` and ``true`` (n,),
    ``probabilities`` (S, n, C).
    """

    steps: NDArray[np.int64]
    rows: NDArray[np.int64]
    true: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @classmethod
    def of(cls, steps: Sequence[int], validations: Sequence[Predictions]) -> "Dynamics":
        """Combine the predictions after each of ``steps``.

        Raises ArtifactDamaged if there are none, or if their texts differ.
        """
        if not validations:
            raise ArtifactDamaged(
                "This run has not been validated.",
                "Open it once it has passed its first validation.",
            )
        first = validations[0]
        if any(
            not np.array_equal(first.rows, other.rows) or not np.array_equal(first.true, other.true)
            for other in validations
        ):
            raise ArtifactDamaged(
                "The validations of this run used different texts.", "Train the run again."
            )
        return cls(
            np.array(steps),
            first.rows,
            first.true,
            np.stack([validation.probabilities for validation in validations]),
        )

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Whether each text was classified correctly after each step (S, n)."""
        correct: NDArray[np.bool_] = self.probabilities.argmax(axis=2) == self.true
        return correct

    @cached_property
    def true_probabilities(self) -> NDArray[np.float64]:
        """Probability of the true class (S, n)."""
        return np.take_along_axis(
            self.probabilities,
            np.broadcast_to(self.true[:, None], (*self.correct.shape, 1)),
            axis=2,
        )[:, :, 0]

    def compute_scores(self, at: int) -> Scores:
        """Compute the scores after step number ``at``."""
        return Scores.of(
            self.true, self.probabilities[at].argmax(axis=1), self.probabilities.shape[2]
        )

    def summarize_texts(self) -> pd.DataFrame:
        """Summarize each text over the validations.

        Columns: row, true, mean and deviation (of the probability of the true class), group,
        learned, forgotten.

        Dataset cartography (Swayamdipta et al. 2020) over validations: a text is ambiguous if the
        deviation is at least 0.2, otherwise easy if the mean is at least 0.5, otherwise hard.
        ``learned`` is the step from which it stayed correct, NaN if it ends incorrect.
        ``forgotten`` counts changes from correct to incorrect (Toneva et al. 2019).
        """
        mean, deviation = self.true_probabilities.mean(axis=0), self.true_probabilities.std(axis=0)
        group = np.where(
            deviation >= AMBIGUOUS_DEVIATION,
            "ambiguous",
            np.where(mean >= EASY_MEAN, "easy", "hard"),
        )
        # (S, n), whether a text is correct after this step and all later ones
        stayed = np.logical_and.accumulate(self.correct[::-1])[::-1]
        learned = np.where(stayed.any(axis=0), self.steps[stayed.argmax(axis=0)], np.nan)
        forgotten = (self.correct[:-1] & ~self.correct[1:]).sum(axis=0)
        return pd.DataFrame(
            {
                "row": self.rows,
                "true": self.true,
                "mean": mean,
                "deviation": deviation,
                "group": group,
                "learned": learned,
                "forgotten": forgotten,
            }
        )

    def tabulate_f1(self, classes: Sequence[str]) -> pd.DataFrame:
        """Compute the F1 of each class after each step: step, class, f1."""
        parts = [
            pd.DataFrame({"step": step, "class": list(classes), "f1": self.compute_scores(at).f1})
            for at, step in enumerate(self.steps)
        ]
        return pd.concat(parts, ignore_index=True)

    def list_probabilities(self, row: int, classes: Sequence[str]) -> pd.DataFrame:
        """List the probabilities of a text after each step: step, class, probability.

        Raises KeyError if the text was not validated.
        """
        positions = np.flatnonzero(self.rows == row)
        if not len(positions):
            raise KeyError(row)
        probabilities = self.probabilities[:, positions[0]]  # (S, C)
        step, index = np.divmod(np.arange(probabilities.size), probabilities.shape[1])
        return pd.DataFrame(
            {
                "step": self.steps[step],
                "class": np.asarray(classes, dtype=object)[index],
                "probability": probabilities.ravel(),
            }
        )


def choose_steps(steps: Sequence[int], most: int = MOST_STEPS) -> list[int]:
    """Choose at most ``most`` of the steps, evenly spaced, including the first and the last."""
    if len(steps) <= most:
        return list(steps)
    return [
        steps[position]
        for position in np.unique(np.linspace(0, len(steps) - 1, most).round().astype(int))
    ]
