"""This project's training session as a side of ``benchmarks/training.py``, and what all sides read.

``benchmarks.trainer_side`` is the other one.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pandas as pd
import torch
from transformers import DistilBertConfig, DistilBertModel

from benchmarks.flops import gemm_flops, gemm_peak
from benchmarks.tasks import BATCH_SIZE, MAX_TOKENS, Format, Measured, Task
from core.data.preparation import find_prepared, prepare
from core.data.sources import Split, find_source
from core.errors import Stopped
from core.evaluation.scores import Scores
from core.models.catalog import ModelLocation, find_model
from core.settings import Settings
from core.training.adapted_model import ALL_ON
from core.training.batches import encode_frame
from core.training.device import measure_peak_memory_mb
from core.training.events import Event, TrainMetric, ValidationMetric
from core.training.fast.matmul import measure_products
from core.training.predict import predict
from core.training.session import SAMPLE_SEED, TrainingData, TrainingSession


@cache
def measure_peaks() -> tuple[float, float]:
    """Return the operations per second of ``torch.mm`` and of oneDNN, measured once per process."""
    return gemm_peak(), gemm_peak(onednn=True)


@cache
def choose_onednn() -> bool:
    """Return whether oneDNN is faster in fp32, measured once per process."""
    return measure_products().onednn_is_faster


def ours(task: Task, precision: Format) -> Measured:
    """Train with this project's ``TrainingSession`` and its defaults, except the task's own
    numbers.
    """
    peaks = measure_peaks() if precision == "fp32" else None
    model, data = prepare_inputs(task)
    config, optimizations = task.make_config(precision), replace(ALL_ON, onednn=choose_onednn())
    target = Target(task.until, config.total_steps(task.rows))
    data = replace(data, read=target.scored(data.read))
    session = TrainingSession(config, model, data, target.watch, target.is_reached, optimizations)
    result = session.train()
    test = encode_frame(session.base.tokenizer, test_rows(task, data), MAX_TOKENS)
    began = time.perf_counter()
    scores = predict(session.network, test)
    evaluation_seconds = time.perf_counter() - began
    memory = measure_peak_memory_mb()
    outcome = Scores.of(test.labels, scores.argmax(axis=1), scores.shape[1])
    evaluated = len(test) / evaluation_seconds
    measured = Measured(
        result.rows_per_second,
        evaluated,
        outcome.accuracy.value,
        outcome.macro_f1,
        memory,
        result.step_seconds + evaluation_seconds,
        target.seconds,
    )
    if peaks is None:  # of products in fp32
        return measured
    lengths = encode_frame(session.base.tokenizer, train_rows(task, data), MAX_TOKENS).lengths
    flops = gemm_flops(session.base.shape, config, int(lengths.sum()), len(lengths))
    reached = flops / len(lengths) * result.rows_per_second
    (share, onednn_share), (peak, onednn_peak) = (
        (reached / item for item in peaks),
        (item / 1e9 for item in peaks),
    )
    return replace(
        measured,
        gemm_share=share,
        gemm_peak_gflops=peak,
        onednn_share=onednn_share,
        onednn_peak_gflops=onednn_peak,
    )


@dataclass
class Target:
    """The test accuracy to reach (0 for none), and the ``seconds`` of the steps until then.

    Without one the training ends with step ``steps``: what follows it in a session is not timed.
    """

    accuracy: float
    steps: int
    seconds: float = 0.0
    spent: float = 0.0

    def is_reached(self) -> bool:
        """Return whether a score has reached the target."""
        return self.seconds > 0

    def scored(self, read: Callable[[Split], pd.DataFrame]) -> Callable[[Split], pd.DataFrame]:
        """Return a reader whose validation rows are the test rows, if there is a target."""
        return lambda split: read("test" if split == "validation" and self.accuracy else split)

    def add_score(self, accuracy: float) -> None:
        """Take the time if this score is the first that reaches the target."""
        if self.accuracy and accuracy >= self.accuracy and not self.seconds:
            self.seconds = self.spent

    def watch(self, event: Event) -> None:
        """Follow a training of this project. Raises Stopped after its last step."""
        if isinstance(event, TrainMetric):
            self.spent = event.step * BATCH_SIZE / event.rows_per_second
            if event.step == self.steps and not self.accuracy:
                raise Stopped("The last step is finished.")
        elif isinstance(event, ValidationMetric):
            self.add_score(event.accuracy)


def prepare_inputs(task: Task) -> tuple[ModelLocation, TrainingData]:
    """Prepare the base model and the data once for all processes."""
    settings = Settings(home=Path(task.home))
    source = find_source(settings, Path(task.data).absolute() if task.data else None)
    dataset = find_prepared(settings, source) or prepare(
        settings, source, lambda progress: None, lambda: False
    )
    model = find_model(task.model, settings, hub=False)
    if not model.available and task.model == "distilbert":
        model = find_model(
            str(random_distilbert(Path(task.home) / "distilbert", settings)), settings, hub=False
        )
    return model, TrainingData(dataset.classes, dataset.read)


def random_distilbert(folder: Path, settings: Settings) -> Path:
    """Write a model with DistilBERT's shape and MiniLM's tokenizer, whose vocabulary is equal."""
    if not (folder / "vocab.txt").exists():
        torch.manual_seed(0)
        DistilBertModel(DistilBertConfig()).save_pretrained(folder)
        source = find_model("minilm", settings, hub=False).folder
        if source is None:
            raise SystemExit("MiniLM is not on this machine; its tokenizer is needed.")
        for name in (
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "vocab.txt",
        ):
            shutil.copy(source / name, folder)
    return folder


def train_rows(task: Task, data: TrainingData) -> pd.DataFrame:
    """Return the rows that a session with this seed draws."""
    return data.sample("train", task.rows, task.seed)


def test_rows(task: Task, data: TrainingData) -> pd.DataFrame:
    """Return the held-out rows that score both sides."""
    return data.sample("test", task.test_rows, SAMPLE_SEED)
