"""A training from base model and rows to an evaluated adapter.

It uses neither the database nor the folders of runs: all output is passed to ``report``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.config import Precision, RunConfig
from core.data.rows import stratified_sample
from core.data.sources import Split
from core.errors import DataError, Diverged, ModelUnavailable, Stopped
from core.models.catalog import ModelLocation
from core.progress import Phase, Progress
from core.training.activations import STORED_TYPES, ActivationStore, Batches, Layout
from core.training.adapted_model import (
    ALL_ON,
    Optimizations,
    TrainableModel,
    build_model,
    copy_weights,
    list_trainable,
    restore_weights,
    serialize_adapter,
)
from core.training.batches import Encoded, encode_frame
from core.training.device import (
    choose_device,
    measure_peak_memory_mb,
    release_memory,
    release_weights,
    require_precision,
)
from core.training.events import (
    COMPARED_TEXTS,
    UNTRAINED_ROWS,
    AdapterSaved,
    EvaluatedSplit,
    Evaluation,
    Event,
    LabelAgreement,
    TrainResult,
)
from core.training.load_model import fetch, load_base, load_in_four_bits
from core.training.loop import Loop, make_overflow_error
from core.training.predict import predict, tabulate_predictions

SAMPLE_SEED = 42  # the same rows in every run, so that runs can be compared text by text

Report = Callable[[Event], None]
ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class TrainingData:
    """Class names in the order of their ids; ``read`` returns a split's frame with columns row,
    text and label, and raises ArtifactDamaged.

    A split is read just before its texts are encoded, so that the texts (30 MB of AG News) are not
    in memory during training. ``draw``, if any, draws a sample without reading the whole split.
    """

    classes: tuple[str, ...]
    read: Callable[[Split], pd.DataFrame]
    draw: Callable[[Split, int, int], pd.DataFrame] | None = None

    def sample(self, split: Split, rows: int, seed: int) -> pd.DataFrame:
        """Draw a stratified sample; 0 rows means all. Raises DataError if the split is empty."""
        sample = (
            self.draw(split, rows, seed)
            if self.draw
            else stratified_sample(self.read(split), rows, seed)
        )
        if sample.empty:
            raise DataError(f"The {split} split has no rows.", "Choose other data.")
        return sample


class TrainingSession:
    """A loaded model that the untrained score and the training share.

    The constructor raises ModelUnavailable and ConfigError (targets, max tokens, precision, 4
    bits). Methods raise DataError for an empty split. With ``activations`` the outputs of frozen
    layers below the first adapted one are computed once for each set of texts and stored there, as
    are, if it has a key for them, the base model's outputs for the texts of the untrained score.
    """

    def __init__(
        self,
        config: RunConfig,
        model: ModelLocation,
        data: TrainingData,
        report: Report,
        should_stop: ShouldStop,
        optimizations: Optimizations = ALL_ON,
        activations: ActivationStore | None = None,
    ) -> None:
        self.config, self.model, self.data = config, model, data
        self.report, self.should_stop = report, should_stop
        self._activations = activations
        report(Progress(Phase.LOADING))
        self.base = load_base(fetch(model), data.classes, config.seed)
        if config.four_bit:
            device = choose_device()
            self.base = load_in_four_bits(
                self.base, fetch(model), require_precision(config.precision, device), device
            )
            # both need fp32 weights; merging would round the 4-bit weights again
            optimizations = replace(optimizations, merge=False, fast_encoder=False)
        self.network = build_model(
            self.base,
            config,
            model.identity,
            model.revision if model.hub_id else None,
            optimizations,
        )
        self._initial = copy_weights(self.network.peft)
        self._evaluation_precision: Precision | None = None
        self._agreement: LabelAgreement | None = None
        release_memory()

    def score_untrained(self) -> Evaluation:
        """Evaluate the base model with the random head on 1,000 test rows. Raises Stopped, and
        ModelUnavailable if the base model computes no numbers.

        It may follow the training, whose first step should not wait for it: the weights of the
        start are in the model while it computes. They have no adapter, because B is zero, so the
        encoder's output is the same for all heads, and is stored.
        """
        self.report(Progress(Phase.UNTRAINED))
        sample = self._encode(self.data.sample("test", UNTRAINED_ROWS, SAMPLE_SEED))
        report_done = self._count(Phase.UNTRAINED, len(sample))
        trained = copy_weights(self.network.peft)
        restore_weights(self.network.peft, self._initial)
        try:
            scores = self._score_first_tokens(sample, report_done)
            return self._evaluate(self.network, "untrained", sample, report_done, scores=scores)
        finally:
            restore_weights(self.network.peft, trained)

    def train(
        self, resume_from: Mapping[str, bytes] | None = None, score_untrained: bool = False
    ) -> TrainResult:
        """Train, then evaluate the best adapter once on validation and test, and before that the
        untrained model on request. After tokenization a stop is a result, not an error.

        A training in bf16 also validates in bf16. Its final evaluation is in bf16 too if that gives
        the validation texts the labels of fp32: see ``LabelAgreement``. The untrained score is
        always in fp32, because runs in either precision share it.

        Raises Stopped before that, Diverged, ModelUnavailable if the base model computes no
        numbers, and ArtifactDamaged if ``resume_from`` is not a checkpoint of this training.
        """
        self.report(Progress(Phase.TOKENIZING))
        train = self._encode(self.data.sample("train", self.config.train_rows, self.config.seed))
        validation = self._encode(
            self.data.sample("validation", self.config.validation_rows, SAMPLE_SEED)
        )
        stopped = False
        train = self._store_frozen(train, self.network.precision)
        validation = self._store_frozen(validation, self.network.validation_precision)
        loop = Loop(self.config, self.network, train, validation, self.report, self.should_stop)
        if resume_from is not None:
            loop.resume(resume_from)
        release_memory()
        release_weights(self.network.peft)
        self.report(Progress(Phase.TRAINING, loop.position.step, loop.total_steps))
        try:
            loop.run()
            loop.restore_best()
            # after a crash the stored adapter may be newer than the checkpoint
            self.report(AdapterSaved(loop.position.best_step, serialize_adapter(self.network.peft)))
            if score_untrained:
                self.report(self.score_untrained())
            self._evaluate_best(loop)
        except Stopped:
            stopped = True
        return self._result(loop, stopped)

    def predict_rows(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Predict other rows (row, text, label) with the current weights. Raises Stopped."""
        network = self._load_in_full_precision() if self.config.four_bit else self.network
        texts = self._encode(rows)
        report_done = self._count(Phase.EVALUATING, len(texts))
        precision = self._evaluation_precision or "fp32"
        return self._evaluate(network, "test", texts, report_done, precision).predictions

    def _evaluate_best(self, loop: Loop) -> None:
        self.report(Progress(Phase.EVALUATING))
        self._agreement = self._compare_labels(loop)
        suffices = self._agreement is not None and self._agreement.suffices
        precision = self.network.validation_precision if suffices else "fp32"
        self._evaluation_precision = precision
        network = self._load_in_full_precision() if self.config.four_bit else self.network
        held_out: tuple[Literal["validation", "test"], ...] = ("validation", "test")
        splits = {
            split: self._encode(self.data.sample(split, self.config.test_rows, SAMPLE_SEED))
            for split in held_out
        }
        total, before = sum(map(len, splits.values())), 0
        for split, encoded in splits.items():
            known = self._find_scores(loop, split, encoded)
            texts = self._store_frozen(encoded, precision) if known is None else encoded
            report_done = self._count(Phase.EVALUATING, total, before)
            self.report(self._evaluate(network, split, texts, report_done, precision, known))
            before += len(texts)

    def _find_scores(
        self, loop: Loop, split: EvaluatedSplit, texts: Encoded
    ) -> NDArray[np.float32] | None:
        """Return what the best weights predicted for ``texts`` in a validation while training, if
        they are the same texts, computed in the same way.
        """
        same = split == "validation" and np.array_equal(texts.rows, loop.validation.rows)
        computed = self.network.validation_precision == self._evaluation_precision
        return loop.best_scores if same and computed and not self.config.four_bit else None

    def _compare_labels(self, loop: Loop) -> LabelAgreement | None:
        """Compare the labels of the validation rows in bf16 and in fp32; None if bf16 is not used
        or there are too few rows. Raises Stopped.
        """
        network, validation = self.network, loop.validation
        precision = network.validation_precision
        if precision == "fp32" or len(validation) < COMPARED_TEXTS:
            return None
        half = loop.best_scores
        if half is None:
            half = predict(network, validation, self.should_stop, precision=precision)
        exact = predict(network, validation, self.should_stop)
        equal = int((half.argmax(axis=1) == exact.argmax(axis=1)).sum())
        return LabelAgreement(equal, len(validation))

    def _count(self, phase: Phase, total: int, before: int = 0) -> Callable[[int], None]:
        """Return a callback that reports the finished texts after the ``before`` first ones."""
        return lambda done: self.report(Progress(phase, before + done, total))

    def _load_in_full_precision(self) -> TrainableModel:
        """Load the base model in fp32 with the trained weights, as Classify and exports do."""
        config = self.config.model_copy(update={"four_bit": False, "precision": "fp32"})
        base = load_base(fetch(self.model), self.data.classes, config.seed)
        network = build_model(base, config, self.model.identity, None)
        restore_weights(network.peft, list_trainable(self.network.peft))
        return network

    def _evaluate(
        self,
        network: TrainableModel,
        split: EvaluatedSplit,
        texts: Encoded,
        report_done: Callable[[int], None],
        precision: Precision = "fp32",
        scores: NDArray[np.float32] | None = None,
    ) -> Evaluation:
        """Predict ``texts``, unless their ``scores`` (n, C) are known."""
        if scores is None:
            scores = predict(network, texts, self.should_stop, report_done, precision)
        damaged = int((~np.isfinite(scores)).any(axis=1).sum())
        if damaged:
            problem = (
                f"The probabilities of {damaged:,} of {len(texts):,} {split} texts are not numbers"
            )
            raise self._make_error(split, problem)
        return Evaluation(split, tabulate_predictions(texts, scores))

    def _make_error(self, split: EvaluatedSplit, problem: str) -> ModelUnavailable | Diverged:
        if split == "untrained":
            return make_overflow_error(self.config, problem)
        return Diverged(
            f"{problem} after training with learning rate {self.config.learning_rate:g} in"
            f" {self.network.precision}.",
            "Retry with a lower learning rate, or in fp32.",
        )

    @property
    def stores_frozen(self) -> bool:
        """Whether the outputs of frozen layers are stored: they must be the same at every read."""
        dropout = self.config.base_dropout
        return self._activations is not None and self.network.frozen_layers > 0 and not dropout

    def _store_frozen(self, texts: Encoded, precision: Precision) -> Encoded:
        """Return ``texts`` with the stored outputs of the frozen layers, in the type of
        ``precision``; unchanged if they are not stored. Raises Stopped.

        They are computed in batches that depend on the texts only, because rounding depends on the
        other texts of a batch: so a run has the same curve whether or not they were stored before.
        """
        if self._activations is None or not self.stores_frozen:
            return texts
        network, report_done = self.network, self._count(Phase.FROZEN, len(texts))
        layout = Layout(texts.lengths, self.base.shape.hidden_size, STORED_TYPES[precision])
        compute = partial(network.compute_frozen, precision=precision)
        report_done(0)
        key = f"{network.identify_frozen(precision)}{texts.compute_digest()}"
        stored = self._activations.open(
            key,
            layout,
            lambda: self._compute_batches(texts, compute, report_done),
            lambda: self._report_unless_stopped(report_done, 0),
        )
        return replace(texts, frozen=stored)

    def _score_first_tokens(
        self, texts: Encoded, report_done: Callable[[int], None]
    ) -> NDArray[np.float32] | None:
        """Compute log probabilities (n, C) from the encoder's output for the first token of each
        text, which is stored; None if it is not. Raises Stopped.
        """
        network = self.network
        if self._activations is None or network.fast is None or not self._activations.untrained_key:
            return None
        layout = Layout(np.ones_like(texts.lengths), self.base.shape.hidden_size, torch.float32)
        with network.evaluating():
            stored = self._activations.open(
                self._activations.untrained_key,
                layout,
                lambda: self._compute_batches(texts, network.compute_first_tokens, report_done),
                lambda: self._report_unless_stopped(report_done, 0),
            )
            first = stored.read(np.arange(len(texts))) if stored else None  # (n, 1, d)
            if first is None:
                return None
            scores: NDArray[np.float32] = network.compute_head(first).log_softmax(-1).numpy()
        return scores

    def _compute_batches(
        self,
        texts: Encoded,
        compute: Callable[[Tensor, Tensor], Tensor],
        report_done: Callable[[int], None],
    ) -> Batches:
        """Yield places (B,) and outputs of ``compute`` for ids and mask (B, T). Raises Stopped."""
        network, done = self.network, 0
        network.peft.eval()

        def compute_batch(rows: NDArray[np.int64]) -> Tensor:
            ids, mask, _ = texts.pad_batch(rows, network.device)
            return compute(ids, mask)

        batches = network.split_evaluation_batches(texts.lengths)
        outputs = (
            network.pool.stream(compute_batch, batches)
            if network.pool
            else map(compute_batch, batches)
        )
        for rows, output in zip(batches, outputs, strict=True):
            yield rows, output
            done += len(rows)
            self._report_unless_stopped(report_done, done)

    def _report_unless_stopped(self, report_done: Callable[[int], None], done: int) -> None:
        report_done(done)
        if self.should_stop():
            raise Stopped("The run was stopped.")

    def _encode(self, frame: pd.DataFrame) -> Encoded:
        return encode_frame(self.base.tokenizer, frame, self.config.max_tokens, self.should_stop)

    def _result(self, loop: Loop, stopped: bool) -> TrainResult:
        position = loop.position
        return TrainResult(
            steps=position.step,
            best_step=position.best_step,
            stopped=stopped,
            early_stopped=position.early_stopped,
            trained_rows=min(position.rows_seen, len(loop.train)),
            train_seconds=round(position.train_seconds, 3),
            step_seconds=round(position.step_seconds, 3),
            rows_per_second=round(position.rows_seen / position.step_seconds, 2)
            if position.step_seconds
            else 0.0,
            peak_memory_mb=round(measure_peak_memory_mb(), 1),
            precision=self.network.precision,
            device=self.network.device.type,
            threads=torch.get_num_threads(),
            validation_precision=self.network.validation_precision,
            evaluation_precision=self._evaluation_precision,
            agreement=self._agreement,
        )
