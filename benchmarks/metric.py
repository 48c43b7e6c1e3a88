"""Accuracy and macro-F1 as an ``evaluate.Metric``, as the reference computes them.

``evaluate.load`` would need the Hub.
"""

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score


class ClassificationMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
    """``compute(predictions=…, references=…)`` of class ids gives accuracy and macro-F1."""

    def __init__(self) -> None:
        super().__init__(keep_in_memory=True)  # otherwise it writes each batch to a cache folder

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Share of texts whose class was found, and mean F1 over the classes.",
            citation="",
            inputs_description="Lists of class ids.",
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )

    def _compute(
        self, predictions: NDArray[np.int64], references: NDArray[np.int64]
    ) -> dict[str, float]:
        macro = f1_score(references, predictions, average="macro", zero_division=0.0)
        return {"accuracy": accuracy_score(references, predictions), "macro_f1": macro}
