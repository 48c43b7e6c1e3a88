"""Parity with transformers' Trainer: without optimizations and dropout a training is the same, and
each optimization alone changes no gradient.
"""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from torch.utils.data import SequentialSampler
from transformers import (
    AutoModelForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

from core.config import RunConfig
from core.training.adapted_model import ALL_OFF, Optimizations, list_trainable, quiet_peft
from core.training.batches import draw_shuffled_batches, encode_frame
from core.training.session import TrainingSession
from tests.support.training_lab import Heard, Lab

STEPS = 20
EXACT = [field.name for field in fields(Optimizations)]


class InOrder(Trainer):  # type: ignore[misc]  # mypy does not follow transformers
    """Trainer that reads the rows in their stored order."""

    def _get_train_sampler(self, *_: object) -> SequentialSampler:
        return SequentialSampler(self.train_dataset)


@pytest.fixture
def steady(config: RunConfig) -> RunConfig:
    """20 steps of 8 rows without any dropout."""
    changes = {
        "train_rows": 40,
        "epochs": 4,
        "dropout": 0.0,
        "warmup": 0.0,
        "learning_rate": 2e-3,
        "evaluation_interval": 1000,
    }
    return config.model_copy(update=changes)


def test_losses_and_adapter_are_those_of_trainer(
    lab: Lab, steady: RunConfig, heard: Heard, tmp_path: Path
) -> None:
    session = TrainingSession(steady, lab.model, lab.data, heard, lambda: False, ALL_OFF)
    start = {
        name: parameter.detach().clone()
        for name, parameter in list_trainable(session.network.peft).items()
    }
    session.train()

    reference = plain_trainer(lab, steady, start, in_order(session, steady), tmp_path)
    reference.train()

    losses = [entry["loss"] for entry in reference.state.log_history if "loss" in entry]
    assert len(heard.losses) == STEPS
    assert heard.losses == pytest.approx([float(loss) for loss in losses], abs=1e-4)
    result = list_trainable(session.network.peft)
    for name, parameter in list_trainable(reference.model).items():
        assert torch.allclose(result[name], parameter, atol=1e-3), name


def plain_trainer(
    lab: Lab, config: RunConfig, start: dict[str, torch.Tensor], rows: Dataset, folder: Path
) -> Trainer:
    base = AutoModelForSequenceClassification.from_pretrained(
        lab.model.folder, num_labels=3, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    targets = ["query", "value"]
    lora = LoraConfig(
        task_type="SEQ_CLS",
        r=4,
        lora_alpha=8,
        lora_dropout=0.0,
        target_modules=targets,
        modules_to_save=["classifier"],
    )
    with quiet_peft():
        model = get_peft_model(base, lora)
    with torch.no_grad():
        for name, parameter in list_trainable(model).items():
            parameter.copy_(start[name])
    arguments = TrainingArguments(
        str(folder),
        per_device_train_batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        num_train_epochs=1,
        lr_scheduler_type="linear",
        logging_steps=1,
        report_to=[],
        save_strategy="no",
        use_cpu=True,
        disable_tqdm=True,
    )
    return InOrder(
        model, arguments, train_dataset=rows, data_collator=DataCollatorWithPadding(lab.tokenizer)
    )


def in_order(session: TrainingSession, config: RunConfig) -> Dataset:
    """Return the rows of all epochs in the order of the session."""
    rows = encode_frame(
        session.base.tokenizer,
        session.data.sample("train", config.train_rows, config.seed),
        config.max_tokens,
    )
    chosen = np.concatenate(
        [
            batch
            for epoch in range(config.epochs)
            for batch in draw_shuffled_batches(len(rows), 8, config.seed, epoch)
        ]
    )
    return Dataset.from_dict(
        {
            "input_ids": [rows.tokens[index].tolist() for index in chosen],
            "labels": rows.labels[chosen].tolist(),
        }
    )


@pytest.mark.parametrize("optimization", EXACT)
def test_a_optimization_changes_no_loss_and_no_gradient_of_a_batch(
    optimization: str, lab: Lab, steady: RunConfig
) -> None:
    rows, others = (
        np.arange(8),
        replace(ALL_OFF, fast_encoder=optimization == "onednn"),
    )  # whose products oneDNN computes
    without, with_it = (
        gradients(lab, steady.model_copy(update={"train_rows": 24}), optimizations, rows)
        for optimizations in (others, replace(others, **{optimization: True}))
    )

    assert with_it[0] == pytest.approx(without[0], abs=1e-6)
    for name, gradient in without[1].items():
        assert torch.allclose(with_it[1][name], gradient, atol=1e-6), name


def gradients(
    lab: Lab, config: RunConfig, optimizations: Optimizations, rows: NDArray[np.int64]
) -> tuple[float, dict[str, torch.Tensor]]:
    """Compute loss and gradients of a batch, with weights that differ slightly from the start."""
    loop = lab.make_loop(config, optimizations)
    loss = loop.add_gradients(rows)
    return loss, {
        name: parameter.grad
        for name, parameter in loop.weights.items()
        if parameter.grad is not None
    }
