import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from sklearn.metrics import accuracy_score

from core.config import Precision, RunConfig
from core.data.sources import Split
from core.errors import ArtifactDamaged, ConfigError, DataError, Diverged, ModelUnavailable, Stopped
from core.inference.classifier import Classifier
from core.models.catalog import find_model
from core.progress import Phase, Progress
from core.settings import Settings
from core.training.activations import ActivationStore
from core.training.adapted_model import (
    ALL_ON,
    WEIGHTS,
    list_trainable,
    restore_weights,
    serialize_adapter,
)
from core.training.batches import Encoded, encode_frame
from core.training.checkpoint import POSITION, TENSORS
from core.training.events import Event, LabelAgreement, TrainMetric
from core.training.loop import Loop
from core.training.predict import predict, tabulate_predictions
from core.training.session import SAMPLE_SEED, TrainingData, TrainingSession
from tests.core.training.conftest import news
from tests.support.training_lab import Heard, Lab


def test_a_run_trains_validates_and_evaluates_in_order(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    result = lab.train(config, heard)

    assert [metric.step for metric in heard.steps] == [1, 2, 3, 4, 5, 6]
    assert [metric.step for metric in heard.validations] == [2, 4, 6]
    assert [
        (evaluation.split, len(evaluation.predictions)) for evaluation in heard.evaluations
    ] == [("validation", 24), ("test", 30)]
    assert (result.steps, result.stopped, result.trained_rows, result.device) == (
        6,
        False,
        48,
        "cpu",
    )
    assert result.best_step == max(metric.step for metric in heard.validations if metric.best)
    assert result.train_seconds > 0 and result.rows_per_second > 0 and result.peak_memory_mb > 100


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_empty_split_is_named(lab: Lab, config: RunConfig, heard: Heard, split: Split) -> None:
    def read(expected: Split) -> pd.DataFrame:
        frame = lab.data.read(expected)
        return frame.head(0) if expected == split else frame

    session = TrainingSession(
        config, lab.model, TrainingData(lab.data.classes, read), heard, lambda: False
    )

    with pytest.raises(DataError, match=f"The {split} split has no rows"):
        session.train()


def test_a_split_is_read_when_its_texts_are_wanted(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    read: list[tuple[str, int]] = []

    def note(split: Split) -> pd.DataFrame:
        read.append((split, len(heard.steps)))
        return lab.data.read(split)

    TrainingSession(
        config, lab.model, TrainingData(lab.data.classes, note), heard, lambda: False
    ).train()

    assert read == [("train", 0), ("validation", 0), ("validation", 6), ("test", 6)]


def test_a_run_learns(lab: Lab, config: RunConfig, heard: Heard) -> None:
    lab.train(
        config.model_copy(
            update={"epochs": 8, "learning_rate": 1e-2, "target_modules": ("all-linear",)}
        ),
        heard,
    )

    test = heard.evaluations[-1].predictions
    assert (
        accuracy_score(test["label"], test[["p0", "p1", "p2"]].to_numpy().argmax(axis=1)) > 0.6
    )  # by chance 0.33


def test_predictions_carry_row_label_probabilities_and_loss(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    lab.train(config, heard)

    frame = heard.evaluations[-1].predictions
    assert list(frame.columns) == ["row", "label", "p0", "p1", "p2", "loss"]
    assert sorted(frame["row"]) == list(range(1000, 1030))
    probabilities = frame[["p0", "p1", "p2"]].to_numpy()
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(30), abs=1e-5)
    assert frame["loss"].to_numpy() == pytest.approx(
        -np.log(probabilities[np.arange(30), frame["label"]]), abs=1e-5
    )


def test_the_validation_subset_is_the_same_for_every_seed(lab: Lab, config: RunConfig) -> None:
    item, other = Heard(), Heard()

    lab.train(config, item)
    lab.train(config.model_copy(update={"seed": 4}), other)

    assert list(item.validations[0].predictions["row"]) == list(
        other.validations[0].predictions["row"]
    )
    assert item.losses != other.losses


def test_test_rows_bounds_both_final_evaluations(lab: Lab, config: RunConfig, heard: Heard) -> None:
    lab.train(config.model_copy(update={"test_rows": 9}), heard)

    assert [len(evaluation.predictions) for evaluation in heard.evaluations] == [9, 9]


def test_a_run_in_fp32_compares_no_labels(lab: Lab, config: RunConfig, heard: Heard) -> None:
    result = lab.train(config, heard)

    assert (result.validation_precision, result.evaluation_precision) == ("fp32", "fp32")
    assert result.agreement is None


@pytest.mark.parametrize(
    ("equal", "texts", "suffices"),
    [(1000, 1000, True), (995, 1000, True), (994, 1000, False), (199, 199, False), (0, 0, False)],
)
def test_labels_in_bf16_must_agree_in_99_5_per_cent_of_200_texts(
    equal: int, texts: int, suffices: bool
) -> None:
    assert LabelAgreement(equal, texts).suffices is suffices


def predict_again(lab: Lab, config: RunConfig, heard: Heard, precision: Precision) -> pd.DataFrame:
    """Predict the test split with the run's adapter in a new model."""
    session = lab.session(config, Heard())
    restore_weights(session.network.peft, read_adapter(session, heard))
    texts = session._encode(lab.data.sample("test", 0, SAMPLE_SEED))
    scores = predict(session.network, texts, precision=precision)
    return tabulate_predictions(texts, scores)


def read_adapter(session: TrainingSession, heard: Heard) -> dict[str, torch.Tensor]:
    """Return the last adapter that was reported, by the names of the model's parameters."""
    stored = load(heard.adapters[-1].files[WEIGHTS])
    return {
        name: stored[re.sub(r"\.(default|modules_to_save\.default)(?=\.)", "", name)]
        for name in list_trainable(session.network.peft)
    }


@pytest.mark.parametrize(("rows", "precision"), [(0, "bf16"), (199, "fp32")])
def test_final_predictions_are_in_bf16_if_enough_labels_agree(
    bert_folder: Path, settings: Settings, config: RunConfig, rows: int, precision: Precision
) -> None:
    frames = {"train": news(60, 1), "validation": news(240, 2), "test": news(30, 3)}
    data = TrainingData(("Sports", "Business", "World"), frames.__getitem__)
    lab, heard = Lab(find_model(str(bert_folder), settings, hub=False), data), Heard()
    learning = {"epochs": 20, "learning_rate": 1e-2, "target_modules": ("all-linear",)}
    changes = {"precision": "bf16", "validation_rows": rows, "evaluation_interval": 200}
    config = config.model_copy(update=learning | changes)

    result = lab.train(config, heard)

    assert (result.validation_precision, result.evaluation_precision) == ("bf16", precision)
    assert (result.agreement is None) is (precision == "fp32")
    assert result.agreement is None or result.agreement.equal <= result.agreement.texts == 240
    expected = predict_again(lab, config, heard, precision)
    assert heard.evaluations[-1].predictions.equals(expected)
    other = predict_again(lab, config, heard, "fp32" if precision == "bf16" else "bf16")
    assert not heard.evaluations[-1].predictions.equals(other)


@pytest.mark.parametrize("rows", [12, 0])
def test_the_same_texts_are_predicted_once_with_the_same_weights(
    lab: Lab, config: RunConfig, heard: Heard, rows: int
) -> None:
    lab.train(config.model_copy(update={"validation_rows": rows, "evaluation_interval": 6}), heard)

    (validation,), final = heard.validations, heard.evaluations[0].predictions
    done = [event.done for event in heard.progress if event.phase is Phase.EVALUATING]
    assert final["row"].nunique() == 24
    assert done[-1] == 54
    assert final.equals(validation.predictions) is (rows == 0)
    assert (24 in done) is (rows == 12)  # otherwise only the 30 test texts are predicted


def test_the_untrained_score_is_that_of_the_new_head(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    session = lab.session(config, heard)
    untrained = session.score_untrained()

    assert untrained.split == "untrained"
    assert untrained.predictions.equals(lab.session(config, heard).score_untrained().predictions)
    assert untrained.predictions["loss"].mean() == pytest.approx(np.log(3), abs=0.2)


def test_every_head_is_scored_with_what_the_base_model_computed_once(
    lab: Lab, config: RunConfig, tmp_path: Path
) -> None:
    def score(seed: int, folder: Path | None) -> Heard:
        heard = Heard()
        store = ActivationStore(folder, untrained_key="key") if folder else None
        chosen = config.model_copy(update={"seed": seed})
        session = TrainingSession(chosen, lab.model, lab.data, heard, lambda: False, ALL_ON, store)
        heard(session.score_untrained())
        return heard

    def count(heard: Heard) -> list[int]:
        return [event.done for event in heard.progress if event.phase is Phase.UNTRAINED]

    first, second = (score(seed, tmp_path / "states") for seed in (1, 2))

    assert max(count(first)) == len(first.evaluations[0].predictions)
    assert max(count(second)) == 0  # nothing was computed
    for seed, stored in ((1, first), (2, second)):
        (alone,), (event,) = score(seed, None).evaluations, stored.evaluations
        np.testing.assert_allclose(event.predictions, alone.predictions, atol=1e-5)


def test_scoring_the_untrained_model_changes_nothing_in_the_run(
    lab: Lab, config: RunConfig
) -> None:
    plain, scored = Heard(), Heard()

    lab.train(config, plain)
    session = lab.session(config, scored)
    session.score_untrained()
    session.train()

    assert scored.losses == plain.losses


@pytest.mark.parametrize("stop_after", [1, 2, 3, 5])
def test_a_resumed_run_draws_the_curve_of_an_uninterrupted_one(
    lab: Lab, config: RunConfig, stop_after: int
) -> None:
    config = config.model_copy(update={"epochs": 2, "base_dropout": True})
    whole, first, second = Heard(), Heard(), Heard()
    lab.train(config, whole)

    stopped = lab.session(config, first, lambda: len(first.steps) >= stop_after).train()
    result = lab.train(config, second, dict(first.checkpoints[-1].files))

    assert stopped.stopped and stopped.steps == stop_after and not first.evaluations
    assert first.losses + second.losses == whole.losses
    assert [m.loss for m in first.validations + second.validations] == [
        m.loss for m in whole.validations
    ]
    assert [m.best for m in first.validations + second.validations] == [
        m.best for m in whole.validations
    ]
    assert second.evaluations[-1].predictions.equals(whole.evaluations[-1].predictions)
    assert result.steps == 12


@pytest.mark.parametrize("base_dropout", [False, True])
@pytest.mark.parametrize("looks", [3, 4, 5, 6, 7])
def test_a_stop_between_the_parts_of_a_batch_changes_nothing(
    lab: Lab, config: RunConfig, looks: int, base_dropout: bool
) -> None:
    changes = {
        "batch_size": 48,
        "epochs": 3,
        "base_dropout": base_dropout,
    }  # more than one part a batch, one batch an epoch
    config = config.model_copy(update=changes)
    whole, first, second, requests = Heard(), Heard(), Heard(), iter(range(10**6))
    lab.train(config, whole)

    stopped = lab.session(
        config,
        first,
        lambda: (
            bool(first.progress)
            and first.progress[-1].phase == Phase.TRAINING
            and next(requests) >= looks
        ),
    )
    result = stopped.train()
    lab.train(config, second, dict(first.checkpoints[-1].files))

    assert result.stopped and result.steps < 3
    assert first.losses + second.losses == whole.losses
    assert second.adapters[-1].files == whole.adapters[-1].files


def test_a_stop_in_the_final_evaluation_resumes_there(lab: Lab, config: RunConfig) -> None:
    first, second = Heard(), Heard()

    stopped = lab.session(
        config, first, lambda: any(event.phase == Phase.EVALUATING for event in first.progress)
    ).train()
    lab.train(config, second, dict(first.checkpoints[-1].files))

    assert stopped.stopped and stopped.steps == 6 and not first.evaluations
    assert not second.steps and not second.validations and len(second.evaluations) == 2


def test_a_run_stopped_before_any_validation_keeps_its_adapter(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    result = lab.session(
        config.model_copy(update={"evaluation_interval": 100}), heard, lambda: len(heard.steps) >= 3
    ).train()

    assert (result.stopped, result.best_step) == (True, 3)
    assert [adapter.step for adapter in heard.adapters] == [3]


def test_a_stop_while_scoring_the_untrained_model_is_raised(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    with pytest.raises(Stopped):
        lab.session(config, heard, lambda: True).score_untrained()


class ScriptedLoop(Loop):
    """Training loop whose validations have these mean losses."""

    losses: Iterator[float] = iter(())

    def predict_validation(self) -> NDArray[np.float32]:
        return log_probabilities(self.validation, next(self.losses))


def run_scripted(lab: Lab, config: RunConfig, heard: Heard, *losses: float) -> ScriptedLoop:
    """Train six steps with a validation after each second one."""
    session = lab.session(config, heard)
    train, validation = (
        encode_frame(session.base.tokenizer, frame, config.max_tokens)
        for frame in (lab.data.sample("train", 48, 1), lab.data.sample("validation", 24, 1))
    )
    loop = ScriptedLoop(config, session.network, train, validation, heard, lambda: False)
    loop.losses = iter(losses)
    loop.run()
    return loop


def test_the_best_adapter_is_kept(lab: Lab, config: RunConfig, heard: Heard) -> None:
    loop = run_scripted(lab, config, heard, 1.0, 2.0, 3.0)

    (stored,) = heard.adapters
    assert (loop.position.step, loop.position.best_step, stored.step) == (6, 2, 2)
    assert serialize_adapter(loop.network.peft) != stored.files
    loop.restore_best()
    assert serialize_adapter(loop.network.peft) == stored.files


def test_the_best_adapter_is_evaluated(
    lab: Lab, config: RunConfig, heard: Heard, tmp_path: Path
) -> None:
    changes = {"learning_rate": 0.3, "epochs": 10, "schedule": "constant", "early_stopping": 2}
    result = lab.train(config.model_copy(update=changes), heard)
    assert result.best_step < result.steps
    stored, last = heard.adapters[-2:]
    assert stored.step == last.step == result.best_step and stored.files == last.files
    for name, content in stored.files.items():
        (tmp_path / name).write_bytes(content)
    assert lab.model.folder
    classifier = Classifier(lab.model.folder, lab.data.classes)
    classifier.load_adapter("best", tmp_path)

    splits = (lab.data.read("validation"), lab.data.read("test"))
    for evaluation, read in zip(heard.evaluations, splits, strict=True):
        frame = evaluation.predictions
        texts = read.set_index("row")["text"].loc[frame["row"]].tolist()
        expected = classifier.classify("best", texts, config.max_tokens)
        assert frame[["p0", "p1", "p2"]].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_an_earlier_minimum_within_the_noise_is_luck_and_the_last_weights_are_kept(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    # the standard error of each is 0.1
    loop = run_scripted(lab, config, heard, 2.0, 1.0, 1.05)

    assert [validation.loss for validation in heard.validations] == pytest.approx([2.0, 1.0, 1.05])
    assert [validation.accuracy for validation in heard.validations] == [
        0.0,
        0.5,
        0.5,
    ]  # half of the texts are below 1.05
    assert loop.position.best_step == heard.validations[-1].step == heard.adapters[-1].step


def log_probabilities(texts: Encoded, loss: float) -> np.ndarray:
    """(n, 3) with this mean loss, half of the texts 0.5 above it and half below."""
    true = np.exp(-(loss + np.where(np.arange(len(texts)) % 2, 0.5, -0.5)))
    probabilities = np.repeat((1 - true[:, None]) / 2, 3, axis=1)
    probabilities[np.arange(len(texts)), texts.labels] = true
    return np.log(probabilities).astype(np.float32)


def test_early_stopping_counts_validations_without_gain(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    config = config.model_copy(
        update={"learning_rate": 0.3, "epochs": 10, "schedule": "constant", "early_stopping": 2}
    )

    result = lab.train(config, heard)

    assert result.early_stopped and result.steps == result.best_step + 4 < 60
    assert len(heard.evaluations) == 2


def break_base(session: TrainingSession) -> None:
    with_infinity = next(session.network.peft.get_base_model().bert.embeddings.parameters())
    with_infinity.data[:] = float("inf")


def test_a_loss_that_becomes_nan_ends_the_run_with_a_lower_rate(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    def break_after_the_first_step(event: Event) -> None:
        heard(event)
        if isinstance(event, TrainMetric):
            break_base(session)

    session = TrainingSession(
        config, lab.model, lab.data, break_after_the_first_step, lambda: False
    )

    with pytest.raises(Diverged) as caught:
        session.train()

    assert "at step 2, with learning rate 0.005" in caught.value.message
    assert "0.001" in caught.value.fix
    assert not heard.adapters


def test_a_loss_that_is_nan_in_the_first_step_is_a_fault_of_the_base_model(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    session = lab.session(config, heard)
    break_base(session)

    with pytest.raises(ModelUnavailable) as caught:
        session.train()

    assert "not a number in the first step" in caught.value.message
    assert f"the base model {config.model} computes NaN" in caught.value.message


def test_untrained_probabilities_that_are_nan_are_a_fault_of_the_base_model(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    session = lab.session(config, heard)
    break_base(session)

    with pytest.raises(ModelUnavailable) as caught:
        session.score_untrained()

    assert "The probabilities of 30 of 30 untrained texts" in caught.value.message
    assert "base model" in caught.value.fix


def test_final_probabilities_that_are_nan_are_a_divergence(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    def break_before_the_evaluation(event: Event) -> None:
        heard(event)
        if isinstance(event, Progress) and event.phase is Phase.EVALUATING:
            break_base(session)

    session = TrainingSession(
        config, lab.model, lab.data, break_before_the_evaluation, lambda: False
    )

    with pytest.raises(Diverged, match="of 24 validation texts are not numbers after training"):
        session.train()


def test_the_first_metric_comes_after_the_first_step(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    lab.train(config, heard)

    phases = list(dict.fromkeys(event.phase for event in heard.progress))
    assert phases == [
        Phase.LOADING,
        Phase.TOKENIZING,
        Phase.TRAINING,
        Phase.VALIDATING,
        Phase.EVALUATING,
    ]
    assert (heard.steps[0].step, heard.steps[0].learning_rate) == (1, 5e-3)


def test_a_damaged_checkpoint_is_named(lab: Lab, config: RunConfig, heard: Heard) -> None:
    lab.train(config, heard)
    files = heard.checkpoints[-1].files

    for broken in (
        {**files, TENSORS: files[TENSORS][:100]},
        {**files, POSITION: b"{"},
        {TENSORS: files[TENSORS]},
    ):
        with pytest.raises(ArtifactDamaged, match="checkpoint is damaged"):
            lab.train(config, Heard(), broken)


def test_a_checkpoint_of_other_modules_is_refused(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    lab.train(config, heard)

    with pytest.raises(ArtifactDamaged):
        lab.train(config.model_copy(update={"rank": 8}), Heard(), dict(heard.checkpoints[-1].files))


def test_fp16_on_a_cpu_is_refused(lab: Lab, config: RunConfig, heard: Heard) -> None:
    with pytest.raises(ConfigError, match="needs a GPU"):
        lab.session(config.model_copy(update={"precision": "fp16"}), heard)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dora", [False, True])
def test_predictions_equal_those_of_the_classifier_in_each_precision(
    lab: Lab, config: RunConfig, heard: Heard, tmp_path: Path, precision: Precision, dora: bool
) -> None:
    changes = {"precision": precision, "dora": dora, "learning_rate": 0.02}

    result = lab.train(config.model_copy(update=changes), heard)

    assert result.precision == precision
    predicted, classified = predict_test_twice(lab, config, heard, tmp_path)
    assert predicted == pytest.approx(classified, abs=1e-5)


def test_predictions_equal_those_of_the_classifier_with_few_adapted_layers(
    lab: Lab, config: RunConfig, heard: Heard, tmp_path: Path
) -> None:
    lab.train(config.model_copy(update={"layers": "last half", "learning_rate": 0.02}), heard)

    predicted, classified = predict_test_twice(lab, config, heard, tmp_path)

    assert predicted == pytest.approx(classified, abs=1e-5)


def test_a_base_in_four_bits_is_not_used_in_the_final_evaluation(
    lab: Lab, config: RunConfig, heard: Heard, tmp_path: Path
) -> None:
    session = lab.session(config, heard)
    frozen = [weight for weight in session.network.peft.parameters() if not weight.requires_grad]
    with torch.no_grad():
        for weight in frozen:  # rounded, since no CPU loads 4 bits
            weight.copy_((8 * weight).round() / 8)
    session.config = config.model_copy(update={"four_bit": True})

    session.train()

    predicted, classified = predict_test_twice(lab, config, heard, tmp_path)
    assert predicted == pytest.approx(classified, abs=1e-5)


def predict_test_twice(
    lab: Lab, config: RunConfig, heard: Heard, folder: Path
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return the probabilities of the test rows that the run stored, and those by Classify."""
    assert lab.model.folder is not None
    for name, content in heard.adapters[-1].files.items():
        (folder / name).write_bytes(content)
    classifier = Classifier(lab.model.folder, lab.data.classes, config.seed)
    classifier.load_adapter("run", folder)
    texts = lab.data.read("test").set_index("row")["text"]
    predictions = heard.evaluations[-1].predictions
    stored = predictions[["p0", "p1", "p2"]].to_numpy(np.float64)
    return stored, classifier.classify("run", texts[predictions["row"]].tolist(), config.max_tokens)


def test_more_tokens_than_the_model_reads_are_refused(
    lab: Lab, config: RunConfig, heard: Heard
) -> None:
    with pytest.raises(ConfigError, match="at most 128 tokens, not 129"):
        lab.session(config.model_copy(update={"max_tokens": 129}), heard)


def test_a_model_that_is_not_there_is_refused(lab: Lab, config: RunConfig, heard: Heard) -> None:
    assert lab.model.folder is not None
    (lab.model.folder / "model.safetensors").rename(lab.model.folder / "away")
    try:
        with pytest.raises(ModelUnavailable, match="has no model.safetensors"):
            lab.session(config, heard)
    finally:
        (lab.model.folder / "away").rename(lab.model.folder / "model.safetensors")
