"""A small training for tests: a base model, data, and a record of the events."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
import torch
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from core.config import RunConfig
from core.models.catalog import ModelLocation
from core.progress import Progress
from core.training.adapted_model import Optimizations
from core.training.batches import encode_frame
from core.training.events import (
    AdapterSaved,
    Checkpoint,
    Evaluation,
    Event,
    TrainMetric,
    TrainResult,
    ValidationMetric,
)
from core.training.loop import Loop
from core.training.session import TrainingData, TrainingSession


@dataclass
class Heard:
    """All events that a training reported."""

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
    """A base model and data for trainings."""

    model: ModelLocation
    data: TrainingData

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return AutoTokenizer.from_pretrained(self.model.folder)

    def session(
        self, config: RunConfig, heard: Heard, should_stop: Callable[[], bool] = lambda: False
    ) -> TrainingSession:
        return TrainingSession(config, self.model, self.data, heard, should_stop)

    def train(
        self, config: RunConfig, heard: Heard, resume_from: dict[str, bytes] | None = None
    ) -> TrainResult:
        return self.session(config, heard).train(resume_from)

    def make_loop(
        self, config: RunConfig, optimizations: Optimizations, sample: pd.DataFrame | None = None
    ) -> Loop:
        """Create a loop over ``sample``, or 24 texts, with weights that differ slightly from the
        start.
        """
        session = TrainingSession(
            config, self.model, self.data, lambda event: None, lambda: False, optimizations
        )
        if sample is None:
            sample = self.data.sample("train", 24, config.seed)
        rows = encode_frame(session.base.tokenizer, sample, config.max_tokens)
        loop = Loop(config, session.network, rows, rows, lambda event: None, lambda: False)
        torch.manual_seed(0)
        with torch.no_grad():
            for parameter in loop.weights.values():
                parameter.add_(0.05 * torch.randn_like(parameter))
        return loop
