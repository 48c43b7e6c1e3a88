"""Curves and predictions of a run, as the rules of ``core.runs.diagnosis`` read them.

Shapes: n texts, C classes.
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, log, sqrt

import numpy as np
from numpy.typing import NDArray

from core.config import RunConfig
from core.errors import ArtifactDamaged, ModelUnavailable
from core.estimate.checks import FAST_RATE, SLOW_RATE, USUAL_SCALE
from core.evaluation.baselines import Baseline
from core.evaluation.predictions import Predictions
from core.evaluation.significance import Paired
from core.models.catalog import find_known_model, shape_of
from core.runs.run import Run
from core.runs.run_baselines import read_baselines
from core.storage.database import Metric
from core.storage.store import Store
from core.training.events import EvaluatedSplit

WINDOW = 10  # steps of which losses are averaged


@dataclass(frozen=True, eq=False)
class Evidence:
    """Curves and predictions of a run so far, and TF-IDF's predictions on its test texts.

    ``losses`` are the training losses of all steps so far, in nats. ``validation`` is of the best
    adapter at the end, of the last validation before that. ``shared_test_texts`` is the number of
    test texts that are also training texts, None if it was not counted; ``most_positions`` is the
    longest text that the base model reads, in tokens, None if it is unknown.
    ``trained_rows`` is the number of training rows, None if it was not recorded.
    """

    config: RunConfig
    classes: tuple[str, ...]
    total_steps: int
    losses: NDArray[np.float64]
    validations: tuple[Metric, ...] = ()
    validation: Predictions | None = None
    test: Predictions | None = None
    tfidf: Predictions | None = None
    shared_test_texts: int | None = None
    most_positions: int | None = None
    trained_rows: int | None = None

    @property
    def felt_rate(self) -> float:
        """The learning rate at the usual scale alpha / rank."""
        config = self.config
        scale = config.alpha / (sqrt(config.rank) if config.rslora else config.rank)
        return config.learning_rate * scale / USUAL_SCALE

    @property
    def rate_is_high(self) -> bool:
        """Whether the learning rate is above the range of LoRA."""
        return self.felt_rate > FAST_RATE

    @property
    def rate_is_low(self) -> bool:
        """Whether the learning rate is below the range of LoRA."""
        return self.felt_rate < SLOW_RATE

    @property
    def steps(self) -> int:
        """Number of steps so far."""
        return len(self.losses)

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps of an epoch, at least 1. Without a record of the rows, all epochs are
        assumed to have been trained.
        """
        if self.trained_rows:
            return ceil(self.trained_rows / self.config.batch_size)
        return max(1, self.steps // self.config.epochs)

    @property
    def held_out(self) -> Predictions | None:
        """The predictions on test texts; before the end those on validation texts."""
        return self.test or self.validation

    @cached_property
    def guess_loss(self) -> float:
        """Loss of predicting the class frequencies: their entropy in nats, at most ln C."""
        if self.held_out is None or not len(self.held_out):
            return log(len(self.classes))
        shares = np.bincount(self.held_out.true) / len(self.held_out)
        present = shares[shares > 0]
        return max(0.05, float(-(present * np.log(present)).sum()))

    @property
    def high_loss(self) -> float:
        """Training loss that only a loss that rises reaches: well above that of equal
        probabilities, ln C.
        """
        return 1.25 * log(len(self.classes))

    @property
    def start_loss(self) -> float:
        """Mean training loss of the first steps."""
        return float(self.losses[:WINDOW].mean()) if self.steps else float("nan")

    @property
    def end_loss(self) -> float:
        """Mean training loss of the last tenth of the steps, at least ``WINDOW`` steps."""
        last = max(WINDOW, self.steps // 10)
        return float(self.losses[-last:].mean()) if self.steps else float("nan")

    @cached_property
    def peak_loss(self) -> float:
        """Highest mean training loss of 15 steps in a row: batches of similar length may have more
        texts of a rare class.
        """
        width = min(self.steps, 15)
        if not width:
            return float("nan")
        return float(np.convolve(self.losses, np.ones(width) / width, mode="valid").max())

    @cached_property
    def skill(self) -> float:
        """Skill on held-out texts, see ``compute_skill``; NaN without texts."""
        return float("nan") if self.held_out is None else compute_skill(self.held_out)

    @cached_property
    def top_class(self) -> tuple[str, float]:
        """The class that is predicted most often, and its proportion of the predictions."""
        if self.held_out is None or not len(self.held_out):
            return "", 0.0
        counts = np.bincount(self.held_out.predicted, minlength=len(self.classes))
        return self.classes[int(counts.argmax())], float(counts.max() / counts.sum())

    @cached_property
    def top_class_share(self) -> float:
        """Proportion of the held-out texts whose true class is the one predicted most often."""
        if self.held_out is None or not len(self.held_out):
            return 0.0
        counts = np.bincount(self.held_out.predicted)
        return float((self.held_out.true == counts.argmax()).mean())

    @cached_property
    def majority(self) -> float:
        """Proportion of the most frequent class of the held-out texts."""
        if self.held_out is None or not len(self.held_out):
            return 0.0
        return float(np.bincount(self.held_out.true).max() / len(self.held_out))

    @cached_property
    def errors(self) -> int:
        """Number of errors on validation and test texts."""
        return int((~self._confidences[1]).sum())

    @cached_property
    def error_ranking(self) -> float:
        """Probability that a correct prediction is more confident than an error: 0.5 if errors are
        independent of the texts, as with random labels; NaN without errors.
        """
        confidence, correct = self._confidences
        hits, errors = int(correct.sum()), int((~correct).sum())
        if not hits or not errors:
            return float("nan")
        # Mann-Whitney; ties get one random order, which has the same mean
        ranks = np.lexsort((np.random.default_rng(0).random(len(correct)), confidence)).argsort()
        above = float((ranks[correct] + 1).sum()) - hits * (hits + 1) / 2
        return above / (hits * errors)

    @cached_property
    def _confidences(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Confidence of all held-out predictions, and whether they are correct (n,)."""
        tables = [table for table in (self.validation, self.test) if table is not None]
        return (
            np.concatenate([np.empty(0), *(table.confidence for table in tables)]),
            np.concatenate(
                [np.empty(0, dtype=bool), *(table.predicted == table.true for table in tables)]
            ),
        )

    @cached_property
    def token_lengths(self) -> NDArray[np.int64]:
        """Lengths of the test texts in tokens (n,), sorted; empty if they are unknown."""
        if self.test is None or "tokens" not in self.test.frame:
            return np.empty(0, dtype=np.int64)
        return np.sort(self.test.frame["tokens"].to_numpy(np.int64))

    @property
    def cut_share(self) -> float:
        """Proportion of the test texts that are longer than the limit of tokens."""
        lengths = self.token_lengths
        return float((lengths > self.config.max_tokens).mean()) if len(lengths) else 0.0

    @property
    def best_validation(self) -> Metric | None:
        """The validation with the lowest loss."""
        return min(self.validations, key=lambda metric: metric.loss, default=None)

    def loss_gain(self) -> float:
        """Proportion by which the validation loss fell in the second half; 0 if unknown."""
        half = [metric for metric in self.validations if metric.step <= self.total_steps / 2]
        if not half or len(self.validations) == len(half):
            return 0.0
        return 1 - self.validations[-1].loss / half[-1].loss

    @cached_property
    def against_tfidf(self) -> Paired | None:
        """The run (second) against TF-IDF (first) on the same test texts; None if unknown."""
        if self.test is None or self.tfidf is None:
            return None
        own = self.test.select_rows(self.tfidf.rows)
        other = self.tfidf.select_rows(self.test.rows)
        if not len(own) or not np.array_equal(own.true, other.true):
            return None
        return Paired.of(other.predicted == other.true, own.predicted == own.true)


def compute_skill(predictions: Predictions) -> float:
    """Return the mean recall of the classes that occur, scaled to 0 at chance and 1 at best; NaN
    without texts.
    """
    if not len(predictions):
        return float("nan")
    present = predictions.scores.support > 0
    chance = 1 / max(2, int(present.sum()))
    return (float(predictions.scores.recall[present].mean()) - chance) / (1 - chance)


def read_evidence(store: Store, run: Run) -> Evidence:
    """Read what a finished run recorded. Raises ArtifactDamaged if its record is damaged."""
    metrics = store.read_metrics(run.id)
    losses = [metric.loss for metric in metrics if metric.split == "train"]
    return Evidence(
        run.config,
        run.classes,
        len(losses),
        np.array(losses, dtype=np.float64),
        tuple(metric for metric in metrics if metric.split == "validation"),
        _read(run, "validation"),
        _read(run, "test"),
        _read_tfidf(store, run),
        run.result.shared_test_texts,
        _read_positions(store, run),
        run.result.trained_rows,
    )


def _read(run: Run, split: EvaluatedSplit) -> Predictions | None:
    try:
        return run.read_predictions(split) if run.has_predictions(split) else None
    except ArtifactDamaged:  # the pages that need the table show the error
        return None


def _read_positions(store: Store, run: Run) -> int | None:
    try:
        shape = shape_of(find_known_model(run.config.model, store.settings, hub=False))
    except ModelUnavailable:
        return None
    return shape.max_positions if shape else None


def _read_tfidf(store: Store, run: Run) -> Predictions | None:
    fitted = read_baselines(store, run.job, run.config, len(run.classes))
    return next((each.predictions for each in fitted if each.baseline is Baseline.TFIDF), None)
