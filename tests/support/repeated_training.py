"""Trainings with one configuration, repeated, and how much their results differ."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import load

from core.config import RunConfig
from core.models.catalog import find_model
from core.settings import Settings
from core.training.adapted_model import WEIGHTS
from core.training.session import TrainingData
from tests.support.tiny_models import WORDS, write_bert
from tests.support.training_lab import Heard, Lab

KINDS: dict[str, dict[str, object]] = {
    "hand-written layers": {},
    "layers of transformers": {"target_modules": ("query", "value", "pooler.dense")},
    "dropout of the base": {"base_dropout": True},
    "DoRA": {"dora": True},
    "bf16": {"precision": "bf16"},
}
CONFIG = RunConfig(
    train_rows=48,
    batch_size=12,
    max_tokens=96,
    rank=8,
    alpha=16,
    dropout=0.1,
    learning_rate=2e-3,
    evaluation_interval=4,
    validation_rows=8,
    precision="fp32",
)


def make_lab(folder: Path) -> Lab:
    """Write a model whose products torch divides among threads, and draw texts of 1 to 90 words."""
    write_bert(folder, hidden=128, layers=2)
    generator = np.random.default_rng(0)

    def draw(rows: int) -> pd.DataFrame:
        texts = [" ".join(generator.choice(WORDS, generator.integers(1, 90))) for _ in range(rows)]
        numbers = np.arange(rows)
        return pd.DataFrame({"row": numbers, "text": texts, "label": numbers % 3})

    frames = {"train": draw(48), "validation": draw(8), "test": draw(16)}
    model = find_model(str(folder), Settings(home=folder / "home"), hub=False)
    return Lab(model, TrainingData(("a", "b", "c"), frames.__getitem__))


class RepeatedTraining:
    """Trainings of one kind with a number of threads, compared with the first one."""

    def __init__(self, lab: Lab, kind: str, threads: int) -> None:
        self.lab, self.threads = lab, threads
        self.config = CONFIG.model_copy(update=KINDS[kind])
        self.first = self._train()

    def repeat(self) -> float:
        """Train again; return the largest difference of a loss, a weight or a prediction."""
        return max(
            float(np.abs(value - first).max())
            for value, first in zip(self._train(), self.first, strict=True)
        )

    def _train(self) -> list[NDArray[np.float64]]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        heard = Heard()
        try:
            self.lab.train(self.config, heard)
        finally:
            torch.set_num_threads(before)
        tensors = load(heard.adapters[-1].files[WEIGHTS])
        return [
            np.array(heard.losses),
            heard.evaluations[-1].predictions.filter(regex=r"^p\d").to_numpy(np.float64),
            *(tensors[name].double().numpy() for name in sorted(tensors)),
        ]
