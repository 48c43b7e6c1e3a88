from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from core.catalog import Availability, find_model
from core.config import RunConfig
from core.settings import Settings
from core.training.events import AdapterSaved, Checkpoint, Evaluation, Event, Progress, TrainMetric, TrainResult, ValidationMetric
from core.training.session import TrainingData, TrainingSession
from tests.tiny import write_bert, write_distilbert

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
    """Rows whose class shows in their words."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % len(WORDS)
    texts = [" ".join([*generator.choice(WORDS[label], 3), *generator.choice(FILLER, generator.integers(2, 20))]) for label in labels]
    return pd.DataFrame({"row": np.arange(n) + 1000, "text": texts, "label": labels})


@dataclass
class Heard:
    """All that a training reported."""

    events: list[Event] = field(default_factory=list)

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    @property
    def steps(self) -> list[TrainMetric]:
        return [event for event in self.events if isinstance(event, TrainMetric)]

    @property
    def validations(self) -> list[ValidationMetric]:
        return [event for event in self.events if isinstance(event, ValidationMetric)]

    @property
    def evaluations(self) -> list[Evaluation]:
        return [event for event in self.events if isinstance(event, Evaluation)]

    @property
    def adapters(self) -> list[AdapterSaved]:
        return [event for event in self.events if isinstance(event, AdapterSaved)]

    @property
    def checkpoints(self) -> list[Checkpoint]:
        return [event for event in self.events if isinstance(event, Checkpoint)]

    @property
    def progress(self) -> list[Progress]:
        return [event for event in self.events if isinstance(event, Progress)]

    @property
    def losses(self) -> list[float]:
        return [metric.loss for metric in self.steps]


@dataclass
class Lab:
    """A base model and data to train on."""

    model: Availability
    data: TrainingData

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return AutoTokenizer.from_pretrained(self.model.folder)

    def session(self, config: RunConfig, heard: Heard, should_stop: Callable[[], bool] = lambda: False) -> TrainingSession:
        return TrainingSession(config, self.model, self.data, heard, should_stop)

    def train(self, config: RunConfig, heard: Heard, resume_from: dict[str, bytes] | None = None) -> TrainResult:
        return self.session(config, heard).train(resume_from)


@pytest.fixture(scope="session")
def data() -> TrainingData:
    frames = {"train": news(60, 1), "validation": news(24, 2), "test": news(30, 3)}
    return TrainingData(("Sports", "Business", "World"), frames.__getitem__)


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="session")
def distilbert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_distilbert(tmp_path_factory.mktemp("distilbert"))


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
