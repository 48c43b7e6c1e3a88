"""Accuracy and macro-F1 as an ``evaluate.Metric`` of our own: ``evaluate.load`` would ask the Hub."""

import datasets
import evaluate
import numpy as np
from numpy.typing import NDArray

from core.evaluation.scores import Scores


class ClassificationMetric(evaluate.Metric):  # type: ignore[misc]  # the library is untyped
    """``compute(predictions=…, references=…)`` of class ids gives accuracy and macro-F1 over ``classes`` classes."""

    def __init__(self, classes: int) -> None:
        super().__init__(keep_in_memory=True)  # otherwise it writes each batch to a cache folder
        self.classes = classes

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description="Share of texts whose class was found, and mean F1 over the classes.",
            citation="",
            inputs_description="Lists of class ids.",
            features=datasets.Features({"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}),
        )

    def _compute(self, predictions: NDArray[np.int64], references: NDArray[np.int64]) -> dict[str, float]:
        scores = Scores.of(np.asarray(references), np.asarray(predictions), self.classes)
        return {"accuracy": scores.accuracy.value, "macro_f1": scores.macro_f1}
