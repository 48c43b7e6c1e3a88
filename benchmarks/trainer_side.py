"""The usual recipe with Trainer and PEFT as a side of ``benchmarks/training.py``."""

import time

import pandas as pd
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainingArguments,
    set_seed,
)

from benchmarks.sides import Target, prepare_inputs, test_rows, train_rows
from benchmarks.tasks import BATCH_SIZE, MAX_TOKENS, SCORED_STEPS, Format, Measured, Task
from core.training.device import measure_peak_memory_mb


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
    target = Target(task.until, task.make_config(precision).total_steps(task.rows))

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
    trained = trainer.train().metrics
    predicted, memory = trainer.predict(encoded(test_rows(task, data))), measure_peak_memory_mb()
    # Neither side's memory or time should count it.
    from benchmarks.metric import ClassificationMetric  # noqa: PLC0415

    outcome = ClassificationMetric().compute(
        predictions=predicted.predictions.argmax(-1), references=predicted.label_ids
    )
    return Measured(
        trained["train_samples_per_second"],
        predicted.metrics["test_samples_per_second"],
        outcome["accuracy"],
        outcome["macro_f1"],
        memory,
        trained["train_runtime"] + predicted.metrics["test_runtime"],
        target.seconds,
    )
