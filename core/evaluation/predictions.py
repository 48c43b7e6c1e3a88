"""Predictions of a model on a split, from which every score is computed.

Shapes: n texts, C classes. The frame has one row per text: ``row`` (its id in the split), ``label``
(true class id), ``p0`` … ``p{C-1}`` (class probabilities), ``loss`` (cross-entropy in nats).
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import ArtifactDamaged
from core.evaluation.scores import Scores
from core.storage import files

SUM_TOLERANCE = 1e-2  # probabilities may have been rounded to half precision to keep the file small


@dataclass(frozen=True)
class Predictions:
    """A validated frame of predictions; create it with ``of`` or ``read``."""

    frame: pd.DataFrame
    classes: int

    @classmethod
    def of(cls, frame: pd.DataFrame, classes: int) -> "Predictions":
        """Validate and wrap ``frame``. Raises ArtifactDamaged with the problem."""
        if problem := _find_problem(frame, classes):
            raise ArtifactDamaged(
                f"The predictions are damaged: {problem}.", "Train the run again."
            )
        return cls(frame, classes)

    @classmethod
    def read(cls, path: Path, classes: int) -> "Predictions":
        """Read the Parquet file at ``path``.

        Raises ArtifactDamaged if it is missing, unreadable or inconsistent.
        """
        return cls.of(files.read_parquet(path), classes)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def rows(self) -> NDArray[np.int64]:
        """Row ids in the split (n,)."""
        return self.frame["row"].to_numpy(np.int64)

    @cached_property
    def row_key(self) -> int:
        """Hash of the row ids, for cache keys: a hidden final test leaves out texts of a run."""
        return hash(self.rows.tobytes())

    @property
    def true(self) -> NDArray[np.int64]:
        """True class ids (n,)."""
        return self.frame["label"].to_numpy(np.int64)

    @cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """Class probabilities (n, C)."""
        return self.frame[_list_probability_columns(self.classes)].to_numpy(np.float64)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Ids of the most probable class (n,); the first in case of a tie."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @cached_property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the predicted class (n,)."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float64)

    @cached_property
    def margin(self) -> NDArray[np.float64]:
        """Difference between the two highest probabilities (n,), from 0 to 1."""
        # (n, 2), the two largest in ascending order
        top = np.partition(self.probabilities, -2, axis=1)[:, -2:]
        return top[:, 1] - top[:, 0]

    @property
    def loss(self) -> NDArray[np.float64]:
        """Cross-entropy of each text in nats (n,)."""
        return self.frame["loss"].to_numpy(np.float64)

    @property
    def mean_loss(self) -> float:
        """Mean cross-entropy in nats, ln C for uniform probabilities; NaN without texts."""
        return float(self.loss.mean()) if len(self) else float("nan")

    @cached_property
    def scores(self) -> Scores:
        """Confusion matrix and the scores derived from it."""
        return Scores.of(self.true, self.predicted, self.classes)

    def list_cell(self, true: int, predicted: int) -> pd.DataFrame:
        """List texts of class ``true`` predicted as ``predicted``, most confident first.

        Columns: row, true, predicted, confidence, margin, loss.
        """
        table = self.tabulate()
        chosen = table[(table["true"] == true) & (table["predicted"] == predicted)]
        return chosen.sort_values(["confidence", "row"], ascending=[False, True], ignore_index=True)

    def select_rows(self, rows: NDArray[np.int64]) -> "Predictions":
        """Return the predictions for those of ``rows`` that exist, sorted by row id."""
        frame = self.frame[self.frame["row"].isin(rows)].sort_values("row", ignore_index=True)
        return Predictions(frame, self.classes)

    def leave_out(self, rows: Collection[int]) -> "Predictions":
        """Return the predictions without those of ``rows``, in the same order."""
        frame = self.frame[~self.frame["row"].isin(list(rows))].reset_index(drop=True)
        return Predictions(frame, self.classes)

    def tabulate(self) -> pd.DataFrame:
        """Tabulate row, true, predicted, confidence, margin, loss in the order of the frame."""
        return pd.DataFrame(
            {
                "row": self.rows,
                "true": self.true,
                "predicted": self.predicted,
                "confidence": self.confidence,
                "margin": self.margin,
                "loss": self.loss,
            }
        )


def _list_probability_columns(classes: int) -> list[str]:
    return [f"p{index}" for index in range(classes)]


def _find_problem(frame: pd.DataFrame, classes: int) -> str | None:
    if classes < 2:
        return f"a classifier has two classes or more, not {classes}"
    required = ["row", "label", *_list_probability_columns(classes), "loss"]
    if missing := [name for name in required if name not in frame.columns]:
        return f"column {', '.join(missing)} is missing"
    if f"p{classes}" in frame.columns:
        return f"there are probabilities of more than {classes} classes"
    if text := [name for name in required if not pd.api.types.is_numeric_dtype(frame[name])]:
        return f"column {', '.join(text)} is not numeric"
    return _find_problem_in_values(frame, classes)


def _find_problem_in_values(frame: pd.DataFrame, classes: int) -> str | None:
    # (n, C + 3)
    numbers = frame[["row", "label", *_list_probability_columns(classes), "loss"]].to_numpy(
        np.float64
    )
    labels, probabilities = numbers[:, 1], numbers[:, 2:-1]
    if not np.isfinite(numbers).all():
        return (
            f"{int((~np.isfinite(numbers)).any(axis=1).sum()):,} of {len(frame):,} rows contain"
            " NaN or infinite values"
        )
    if ((labels < 0) | (labels >= classes) | (labels % 1 != 0)).any():
        return f"a label is outside 0 to {classes - 1}"
    if ((probabilities < 0) | (probabilities > 1)).any():
        return "a probability is outside 0 to 1"
    if len(frame) and np.abs(probabilities.sum(axis=1) - 1).max() > SUM_TOLERANCE:
        return "the probabilities of a text do not add up to 1"
    return "a row occurs twice" if frame["row"].duplicated().any() else None


def build_prediction_frame(
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    losses: NDArray[np.floating] | None = None,
) -> pd.DataFrame:
    """Build the frame that ``Predictions`` reads: row, label, p0 … p{C-1}, loss.

    ``losses`` (n,) are computed from the probabilities (n, C) if they are not given.
    """
    if losses is None:
        true_probabilities = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
        losses = -np.log(np.clip(true_probabilities, 1e-12, 1.0))
    names = _list_probability_columns(probabilities.shape[1])
    columns = {name: probabilities[:, index] for index, name in enumerate(names)}
    return pd.DataFrame({"row": rows, "label": labels, **columns, "loss": losses})
