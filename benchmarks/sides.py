"""The sides of ``benchmarks/training.py``: this project's training session, and the same recipe
with Trainer and PEFT, both in fp32 and in bf16.
"""

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from pathlib import Path
from typing import Literal

import pandas as pd
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    DistilBertConfig,
    DistilBertModel,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainingArguments,
    set_seed,
)

from benchmarks.flops import gemm_flops, gemm_peak
from core.config import RunConfig
from core.data.preparation import find_prepared, prepare
from core.data.sources import Split, find_source
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

MAX_TOKENS = 512
BATCH_SIZE = 16
SCORED_STEPS = 25
Format = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Task:
    """The task of both sides: model, rows, seed, and dataset folder ("" for the default); ``home``
    stores prepared data. With ``until`` a side scores the test rows after every ``SCORED_STEPS``
    steps, and stops once that accuracy is reached; 0 for neither.
    """

    model: str
    rows: int
    test_rows: int
    seed: int
    data: str
    home: str
    until: float = 0.0

    def with_seed(self, seed: int) -> "Task":
        """Return the task with another seed."""
        return replace(self, seed=seed)

    def as_dict(self) -> dict[str, object]:
        """Return the fields by name."""
        return asdict(self)

    def make_config(self, precision: Format) -> RunConfig:
        """Return the recipe's hyperparameters."""
        return RunConfig(
            train_rows=self.rows, test_rows=1, seed=self.seed, max_tokens=MAX_TOKENS, warmup=0.0,
            evaluation_interval=SCORED_STEPS if self.until else 100_000,
            validation_rows=self.test_rows if self.until else 1, precision=precision,
        )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Figures of one side, without loading and tokenization; ``gemm_share`` is 0 if not measured.
    ``seconds_to_accuracy`` are those of the steps, 0 if it was not reached.

    ``gemm_share`` is the fraction of the peak of ``torch.mm``, and ``onednn_share`` that of
    oneDNN: the library chosen by a training may be the faster one.
    """

    rows_per_second: float
    evaluated_rows_per_second: float
    accuracy: float
    macro_f1: float
    peak_memory_mb: float
    seconds_to_accuracy: float = 0.0
    gemm_share: float = 0.0
    gemm_peak_gflops: float = 0.0
    onednn_share: float = 0.0
    onednn_peak_gflops: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)

    @classmethod
    def names(cls) -> list[str]:
        """Return the names of the fields."""
        return [field.name for field in fields(cls)]


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
    peaks = measure_peaks()
    model, data = prepare_inputs(task)
    config, optimizations = task.make_config(precision), replace(ALL_ON, onednn=choose_onednn())
    target = Target(task.until)
    data = replace(data, read=target.scored(data.read))
    session = TrainingSession(config, model, data, target.watch, target.is_reached, optimizations)
    result = session.train()
    test = encode_frame(session.base.tokenizer, test_rows(task, data), MAX_TOKENS)
    began = time.perf_counter()
    scores = predict(session.network, test)
    evaluation_seconds = time.perf_counter() - began
    lengths = encode_frame(session.base.tokenizer, train_rows(task, data), MAX_TOKENS).lengths
    flops = gemm_flops(session.base.shape, config, int(lengths.sum()), len(lengths))
    reached = flops / len(lengths) * result.rows_per_second
    outcome = Scores.of(test.labels, scores.argmax(axis=1), scores.shape[1])
    evaluated = len(test) / evaluation_seconds
    measured = Measured(
        result.rows_per_second,
        evaluated,
        outcome.accuracy.value,
        outcome.macro_f1,
        result.peak_memory_mb,
        target.seconds,
    )
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
    """The test accuracy to reach (0 for none), and the ``seconds`` of the steps until then."""

    accuracy: float
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
        """Follow a training of this project."""
        if isinstance(event, TrainMetric):
            self.spent = event.step * BATCH_SIZE / event.rows_per_second
        elif isinstance(event, ValidationMetric):
            self.add_score(event.accuracy)


class TargetCallback(TrainerCallback):  # type: ignore[misc]  # mypy does not follow transformers
    """Follows a training of Trainer."""

    def __init__(self, target: Target) -> None:
        self.target, self._began = target, 0.0

    def on_step_begin(self, *_: object, **__: object) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:
        """Stop the clock: scores and logs do not count."""
        self.target.spent += time.perf_counter() - self._began

    def on_evaluate(
        self,
        _: object,
        __: object,
        control: TrainerControl,
        metrics: dict[str, float],
        **___: object,
    ) -> None:
        """Stop at the target."""
        self.target.add_score(metrics["eval_accuracy"])
        control.should_training_stop = self.target.is_reached()


def reference(task: Task, precision: Format) -> Measured:
    """Train as practitioners do: Trainer, random order, dynamic padding, the dropout of the model's
    config.
    """
    model, data = prepare_inputs(task)
    tokenizer = AutoTokenizer.from_pretrained(model.folder)
    base = AutoModelForSequenceClassification.from_pretrained(
        model.folder, num_labels=len(data.classes)
    )
    targets = ["query", "value"] if task.model == "minilm" else ["q_lin", "v_lin"]
    head = ["classifier"] if task.model == "minilm" else ["pre_classifier", "classifier"]
    set_seed(task.seed)
    lora = LoraConfig(
        task_type="SEQ_CLS",
        r=16,
        lora_alpha=32,
        lora_dropout=0.1,
        target_modules=targets,
        modules_to_save=head,
    )
    arguments = TrainingArguments(
        f"{task.home}/trainer",
        per_device_train_batch_size=BATCH_SIZE,
        per_device_eval_batch_size=64,
        learning_rate=2e-3,
        weight_decay=0.01,
        num_train_epochs=1,
        lr_scheduler_type="linear",
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        bf16=precision == "bf16",
        disable_tqdm=True,
        seed=task.seed,
        eval_strategy="steps" if task.until else "no",
        eval_steps=SCORED_STEPS,
    )
    target = Target(task.until)

    def encoded(frame: pd.DataFrame) -> Dataset:
        ids = tokenizer(frame["text"].tolist(), truncation=True, max_length=MAX_TOKENS)
        return Dataset.from_dict({**ids, "labels": frame["label"].tolist()})

    trainer = Trainer(
        get_peft_model(base, lora),
        arguments,
        train_dataset=encoded(train_rows(task, data)),
        eval_dataset=encoded(test_rows(task, data)),
        data_collator=DataCollatorWithPadding(tokenizer),
        compute_metrics=lambda scored: {
            "accuracy": float((scored.predictions.argmax(-1) == scored.label_ids).mean())
        },
        callbacks=[TargetCallback(target)],
    )
    trained = trainer.train().metrics["train_samples_per_second"]
    predicted, memory = trainer.predict(encoded(test_rows(task, data))), measure_peak_memory_mb()
    # Neither side's memory or time should count it.
    from benchmarks.metric import ClassificationMetric  # noqa: PLC0415

    outcome = ClassificationMetric().compute(
        predictions=predicted.predictions.argmax(-1), references=predicted.label_ids
    )
    return Measured(
        trained,
        predicted.metrics["test_samples_per_second"],
        outcome["accuracy"],
        outcome["macro_f1"],
        memory,
        target.seconds,
    )


SIDES: dict[str, Callable[[Task], Measured]] = {
    "reference": partial(reference, precision="fp32"),
    "reference_bf16": partial(reference, precision="bf16"),
    "ours": partial(ours, precision="fp32"),
    "ours_bf16": partial(ours, precision="bf16"),
}


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
