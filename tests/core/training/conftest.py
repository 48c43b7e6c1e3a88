from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from core.config import RunConfig
from core.models.catalog import find_model
from core.settings import Settings
from core.training.session import TrainingData
from tests.support.training_lab import Heard, Lab

WORDS = (
    ("team", "goal", "coach", "match", "cup"),
    ("bank", "stock", "oil", "price", "profit"),
    ("war", "minister", "vote", "police", "state"),
)
FILLER = ("the", "a", "of", "said", "new", "in", "year", "after", "first", "on")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny products: a second thread only waits
    yield
    torch.set_num_threads(before)


def news(n: int, seed: int) -> pd.DataFrame:
    """Create rows whose class follows from their words."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % len(WORDS)
    texts = [
        " ".join(
            [
                *generator.choice(WORDS[label], 3),
                *generator.choice(FILLER, generator.integers(2, 20)),
            ]
        )
        for label in labels
    ]
    return pd.DataFrame({"row": np.arange(n) + 1000, "text": texts, "label": labels})


@pytest.fixture(scope="session")
def data() -> TrainingData:
    frames = {"train": news(60, 1), "validation": news(24, 2), "test": news(30, 3)}
    return TrainingData(("Sports", "Business", "World"), frames.__getitem__)


@pytest.fixture
def lab(bert_folder: Path, data: TrainingData, settings: Settings) -> Lab:
    return Lab(find_model(str(bert_folder), settings, hub=False), data)


@pytest.fixture
def config() -> RunConfig:
    return RunConfig(
        train_rows=48,
        batch_size=8,
        max_tokens=32,
        rank=4,
        alpha=8,
        learning_rate=5e-3,
        evaluation_interval=2,
        validation_rows=12,
        seed=3,
        precision="fp32",  # auto depends on the machine
    )


@pytest.fixture
def heard() -> Heard:
    return Heard()
