"""The training loop: steps, validations and checkpoints.

The next action depends only on the position, and the order of rows only on seed and epoch, so a
resumed run has the same curve as an uninterrupted one.
"""

import math
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from functools import lru_cache

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from core.config import RunConfig, Schedule
from core.errors import LEARNING_RATE_DIVISOR, Diverged, ModelUnavailable, Stopped
from core.evaluation.scores import Scores
from core.progress import Phase, Progress
from core.training.adapted_model import (
    TrainableModel,
    copy_weights,
    list_trainable,
    restore_weights,
    serialize_adapter,
)
from core.training.batches import Encoded, draw_epoch_batches, draw_shuffled_batches
from core.training.checkpoint import (
    Position,
    Weights,
    get_random_state,
    pack,
    set_random_state,
    unpack,
)
from core.training.device import release_memory
from core.training.events import AdapterSaved, Checkpoint, Event, TrainMetric, ValidationMetric
from core.training.predict import predict, tabulate_predictions
from core.translation import mark

Gradients = tuple[torch.Tensor | None, ...]
CLIP_NORM = 1.0
RELEASE_STEPS = 10  # until freed memory is returned: buffers of different sizes leave gaps
CHECKPOINT_SECONDS = 30  # a crash loses at most this much work


class Loop:
    """Training of an adapter. ``position`` is the progress, ``best`` are the best weights, and
    ``best_scores`` what they predict for the validation rows; None after a resume.
    """

    def __init__(
        self,
        config: RunConfig,
        network: TrainableModel,
        train: Encoded,
        validation: Encoded,
        report: Callable[[Event], None],
        should_stop: Callable[[], bool],
    ) -> None:
        self.config, self.network = config, network
        self.train, self.validation = train, validation
        self.report, self.should_stop = report, should_stop
        self.weights = list_trainable(network.peft)
        self.optimizer = torch.optim.AdamW(
            self.weights.values(),
            config.learning_rate,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.total_steps = config.total_steps(len(train))
        self.position = Position()
        self.best: Weights | None = None
        self.best_scores: NDArray[np.float32] | None = None
        torch.manual_seed(config.seed)
        self._scaler = torch.amp.GradScaler(
            network.device.type, enabled=network.precision == "fp16"
        )
        self._batches = lru_cache(maxsize=1)(self._draw_batches)

    def resume(self, files: Mapping[str, bytes]) -> None:
        """Continue from a checkpoint. Raises ArtifactDamaged."""
        self.position, self.best = unpack(files, self.weights, self.optimizer)
        if self._scaler.is_enabled():
            self._scaler.load_state_dict(
                self._scaler.state_dict() | {"scale": self.position.loss_scale}
            )

    def run(self) -> None:
        """Train to the end, or until early stopping. Raises Diverged, ModelUnavailable if the loss
        is not a number in the first step, and Stopped after saving a checkpoint.
        """
        saved_at = time.monotonic()
        try:
            while True:
                if self._validation_is_due():
                    self._validate()
                    self._save_checkpoint()
                    saved_at = time.monotonic()
                if self.position.step == self.total_steps or self.position.early_stopped:
                    return
                if self.should_stop():
                    raise Stopped("The run was stopped.")
                self._step()
                if self.position.step % RELEASE_STEPS == 0:
                    release_memory()
                if time.monotonic() - saved_at > CHECKPOINT_SECONDS:
                    self._save_checkpoint()
                    saved_at = time.monotonic()
        except Stopped:
            self._save_checkpoint()
            if self.best is None:
                self._keep_best()
            raise

    def restore_best(self) -> None:
        """Copy the best weights into the model."""
        restore_weights(self.network.peft, self.best or {})

    def _step(self) -> None:
        began = time.monotonic()
        position = self.position
        rate = self.config.learning_rate * compute_lr_factor(
            position.step, self.total_steps, self.config.warmup, self.config.schedule
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        rows = self._rows_of(position.step)
        loss = self.add_gradients(rows)
        self._scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.weights.values(), CLIP_NORM)
        # a scaler skips a step whose gradients overflow
        if not (math.isfinite(loss) and (self._scaler.is_enabled() or torch.isfinite(norm))):
            raise self._diverged(
                mark(
                    "The loss is no longer a number at step {step:,}, with learning rate {rate:g}."
                ),
                position.step + 1,
            )
        self._scaler.step(self.optimizer)
        self._scaler.update()
        self.optimizer.zero_grad()
        seconds = time.monotonic() - began
        position.step += 1
        position.rows_seen += len(rows)
        position.step_seconds += seconds
        position.train_seconds += seconds
        speed = position.rows_seen / position.step_seconds
        self.report(TrainMetric(position.step, self._epoch, loss, rate, speed))
        self.report(Progress(Phase.TRAINING, position.step, self.total_steps))

    def add_gradients(self, rows: NDArray[np.int64]) -> float:
        """Compute the mean loss of the rows and add its gradients by micro-batch, so that memory
        does not grow with the batch. Raises Stopped.
        """
        random_state = get_random_state()
        self.network.start_step(self.config)
        batch_loss = 0.0
        with closing(self._compute_microbatches(rows)) as microbatches:
            for loss, gradients in microbatches:
                for weight, gradient in zip(self.weights.values(), gradients, strict=True):
                    if gradient is None:  # of a module that the model never calls
                        continue
                    weight.grad = gradient if weight.grad is None else weight.grad.add_(gradient)
                batch_loss += loss
                # checked here because a large batch takes many seconds; a resumed run repeats the
                # step with the same masks
                if self.should_stop():
                    set_random_state(random_state)
                    self.optimizer.zero_grad()
                    raise Stopped("The run was stopped.")
        return batch_loss

    def _compute_microbatches(
        self, rows: NDArray[np.int64]
    ) -> Generator[tuple[float, Gradients], None, None]:
        """Compute loss and gradients of each micro-batch of a batch, in order; the losses add up to
        the mean of the batch.
        """
        microbatches = self.network.split_microbatches(self.train.lengths[rows])

        def compute(number: int) -> tuple[float, Gradients]:
            self.network.start_microbatch(self.config, self.position.step, number)
            texts = rows[microbatches[number]]
            # (B, T), (B, T), (B,)
            ids, mask, labels = self.train.pad_batch(texts, self.network.device)
            below = self.train.read_frozen(texts, self.network.precision)
            with self.network.starting_from(below):
                logits = self.network.compute_logits(ids, mask)
            loss = torch.nn.functional.cross_entropy(logits, labels, reduction="sum") / len(rows)
            gradients = torch.autograd.grad(
                self._scaler.scale(loss), list(self.weights.values()), allow_unused=True
            )
            return loss.item(), gradients

        numbers, pool = range(len(microbatches)), self.network.training_pool
        yield from pool.stream(compute, numbers) if pool else map(compute, numbers)

    def _draw_batches(self, epoch: int) -> list[NDArray[np.int64]]:
        size, seed = self.config.batch_size, self.config.seed
        if self.network.optimizations.similar_length:
            return draw_epoch_batches(self.train.lengths, size, seed, epoch)
        return draw_shuffled_batches(len(self.train), size, seed, epoch)

    def _rows_of(self, step: int) -> NDArray[np.int64]:
        epoch, index = divmod(step, self.total_steps // self.config.epochs)
        rows: NDArray[np.int64] = self._batches(epoch)[index]
        return rows

    @property
    def _epoch(self) -> float:
        return self.position.step / self.total_steps * self.config.epochs

    def _validation_is_due(self) -> bool:
        step = self.position.step
        at_interval = step > 0 and step % self.config.evaluation_interval == 0
        return (at_interval or step == self.total_steps) and self.position.validated_step != step

    def _validate(self) -> None:
        began = time.monotonic()
        position = self.position
        scores = self.predict_validation()
        frame = tabulate_predictions(self.validation, scores)
        loss = float(frame["loss"].mean())
        if not math.isfinite(loss):
            raise self._diverged(
                mark(
                    "The loss is no longer a number in the validation after step {step:,}, with"
                    " learning rate {rate:g}."
                ),
                position.step,
            )
        measured = Scores.of(self.validation.labels, scores.argmax(axis=1), scores.shape[1])
        best = position.best_loss is None or loss < position.best_loss + self._tolerance(frame)
        position.validated_step = position.step
        position.validations_without_gain = 0 if best else position.validations_without_gain + 1
        position.early_stopped = (
            0 < self.config.early_stopping <= position.validations_without_gain
            and position.step < self.total_steps
        )
        if best:
            position.best_loss, self.best_scores = loss, scores
            self._keep_best()
        position.train_seconds += time.monotonic() - began
        self.report(
            ValidationMetric(
                position.step,
                self._epoch,
                loss,
                measured.accuracy.value,
                measured.macro_f1,
                best,
                frame,
            )
        )
        self.report(Progress(Phase.TRAINING, position.step, self.total_steps))

    def predict_validation(self) -> NDArray[np.float32]:
        """Return the log-probabilities (n, C) of the validation rows, computed in the network's
        ``validation_precision``. Raises Stopped.
        """
        rows = len(self.validation)
        self.report(Progress(Phase.VALIDATING, 0, rows))
        return predict(
            self.network,
            self.validation,
            self.should_stop,
            lambda done: self.report(Progress(Phase.VALIDATING, done, rows)),
            self.network.validation_precision,
        )

    def _tolerance(self, frame: pd.DataFrame) -> float:
        """Return how much worse the last validation may be than the best one and still count as the
        best: one standard error of its mean loss, in nats.

        At the end of the schedule the weights have converged; an earlier minimum within the noise
        of a few hundred rows is chance.
        """
        return (
            float(frame["loss"].std(ddof=0)) / math.sqrt(len(frame))
            if self.position.step == self.total_steps
            else 0.0
        )

    def _keep_best(self) -> None:
        self.position.best_step = self.position.step
        self.best = copy_weights(self.network.peft)
        self.report(AdapterSaved(self.position.step, serialize_adapter(self.network.peft)))

    def _save_checkpoint(self) -> None:
        if self._scaler.is_enabled():
            self.position.loss_scale = self._scaler.get_scale()
        self.report(
            Checkpoint(
                self.position.step, pack(self.position, self.weights, self.optimizer, self.best)
            )
        )

    def _diverged(self, message: str, step: int) -> ModelUnavailable | Diverged:
        """Return the error for a loss that is not a number: before the first update it depends on
        the base model only, later on the learning rate.
        """
        if not self.position.step:
            return make_overflow_error(self.config, "The loss is not a number in the first step")
        lower = self.config.learning_rate / LEARNING_RATE_DIVISOR
        return Diverged(
            message,
            mark("Retry with a learning rate of {lower:.1g}."),
            step=step,
            rate=self.config.learning_rate,
            lower=lower,
        )


def make_overflow_error(config: RunConfig, problem: str) -> ModelUnavailable:
    """Return the error for a base model that gives NaN or infinity before it is trained."""
    precision = "" if config.precision == "fp32" else "fp32 as precision, or "
    return ModelUnavailable(
        f"{problem}, before any training: the base model {config.model} computes NaN or infinite"
        " values.",
        f"Choose {precision}another base model.",
    )


def compute_lr_factor(step: int, total: int, warmup: float, schedule: Schedule) -> float:
    """Return the learning rate's factor for the step after ``step`` of ``total`` steps: up to 1
    during ``warmup``, then as scheduled.

    The factor is not zero in the first step of a warm-up and in the last step of a schedule.
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(1, total - rising)
    if schedule == "linear":
        return 1 - done
    return 0.5 * (1 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0
