import re
import shutil
from dataclasses import replace

import pytest

from core.config import RunConfig
from core.demo.gallery import open_gallery
from core.presets import make_config, parse_assignments
from core.runs.diagnosis import (
    OVERFITTING,
    RULES,
    TOO_FEW_STEPS,
    TRUNCATED_TEXTS,
    Diagnosis,
    diagnose,
    diagnose_run,
    explain_overfitting,
)
from core.runs.evidence import Evidence, read_evidence
from core.runs.run import Run
from core.settings import BUNDLED_RUNS
from core.storage.recovery import EXAMPLE_ID
from core.storage.store import Store
from core.translation import localize, translate_recorded, use
from tests.support.evidence import make_evidence, predict

GUESS = 1.39  # ln 4, the loss of guessing one of four classes
LEARNING = (GUESS, 0.9, 0.5, 0.35, 0.3)
FALLING = (1.2, 0.8, 0.6, 0.5, 0.45)


def open_example(store: Store) -> Run:
    folder = store.settings.jobs / EXAMPLE_ID
    shutil.copytree(BUNDLED_RUNS / EXAMPLE_ID, folder)
    store.insert_from_folder(folder)
    return Run.of(store, store.read_job(EXAMPLE_ID))


def require(evidence: Evidence) -> Diagnosis:
    diagnosis = diagnose(evidence)
    assert diagnosis is not None
    return diagnosis


@pytest.mark.parametrize(
    ("run_id", "name", "changes"),
    [
        ("gallery-1", "rate too high", {"learning_rate": 0.002, "warmup": 0.05}),
        ("gallery-2", "rate too low", {"learning_rate": 0.002}),
        ("gallery-3", "small adapter", {"rank": 16, "alpha": 32, "target_modules": ()}),
        ("gallery-4", "truncated texts", {"max_tokens": 48}),
        ("gallery-5", "labels do not follow", {}),
        ("gallery-6", "leak", {}),
    ],
)
def test_the_runs_of_the_gallery_are_diagnosed(
    store: Store, run_id: str, name: str, changes: dict[str, object]
) -> None:
    job = open_gallery(store)[run_id]

    diagnosis = diagnose_run(store, Run.of(store, job))

    assert diagnosis is not None
    assert (diagnosis.id, diagnosis.changes) == (name, changes)
    assert job.result["diagnosis"] == name


def test_the_healthy_example_has_no_diagnosis(store: Store) -> None:
    assert diagnose_run(store, open_example(store)) is None


# Ten runs that go wrong, each as its curves and predictions would be recorded.
WRONG = {
    "a rate of 0.05 jumps and stays at one class": (
        "rate too high",
        make_evidence(
            (GUESS, 3.0, 2.0, 1.6, 1.4), (1.6, 1.5), predict(0, only=2), learning_rate=0.05
        ),
    ),
    "a rate of 2e-6 over many steps": (
        "rate too low",
        make_evidence((GUESS, 1.385, 1.38), (1.39, 1.385), predict(0.27), learning_rate=2e-6),
    ),
    "a small alpha acts like a low rate": (
        "rate too low",
        make_evidence((GUESS, 1.385, 1.38), (1.39, 1.385), predict(0.3), alpha=0.1),
    ),
    "15 steps on few rows": (
        "too few steps",
        make_evidence((GUESS, 1.3, 1.15), (1.2,), predict(0.46), steps=15),
    ),
    "a rank of 1": (
        "small adapter",
        make_evidence((GUESS, 1.3, 1.2), (1.3, 1.25), predict(0.5), rank=1, alpha=2),
    ),
    "texts of 300 tokens cut to 16": (
        "truncated texts",
        make_evidence(LEARNING, FALLING, predict(0.6, tokens=300), max_tokens=16),
    ),
    "shuffled labels, learned by heart": (
        "labels do not follow",
        make_evidence((GUESS, 1.0, 0.4, 0.05), (1.4, 1.9, 2.6), predict(0.25), epochs=30),
    ),
    "only the class of 80 % is predicted": (
        "one class",
        make_evidence(
            (0.6, 0.5, 0.5, 0.5),
            (0.5, 0.5),
            predict(0, shares=(0.8, 0.2), only=0),
        ),
    ),
    "test texts of another source": (
        "test below validation",
        make_evidence(LEARNING, FALLING, predict(0.7), predict(0.93, seed=1)),
    ),
    "stopped in the middle of learning": (
        "still improving",
        make_evidence((GUESS, 1.3, 1.1, 0.95, 0.85), (1.35, 1.25, 1.1, 0.9), predict(0.68)),
    ),
    "far below TF-IDF": (
        "worse than TF-IDF",
        make_evidence(LEARNING, FALLING, predict(0.75), tfidf=predict(0.97)),
    ),
    "many epochs on few rows": (
        "overfitting",
        make_evidence(
            (GUESS, 0.6, 0.1, 0.01), (0.8, 0.7, 0.9, 1.3), predict(0.74), predict(0.75), epochs=20
        ),
    ),
    "overfitting that is as sure of its errors": (
        "overfitting",
        make_evidence(
            (GUESS, 0.6, 0.1, 0.01),
            (0.63, 1.1, 1.5, 1.8),
            predict(0.6, sure_of_errors=True),
            epochs=30,
        ),
    ),
    "a validation loss above that of guessing, and better than TF-IDF": (
        "overfitting",
        make_evidence(
            (GUESS, 0.6, 0.1, 0.01),
            (0.63, 1.1, 1.5, 1.8),
            predict(0.6, sure_of_errors=True),
            tfidf=predict(0.4, seed=1),
            epochs=30,
        ),
    ),
    "a third of the labels are wrong": (
        "doubtful labels",
        make_evidence(LEARNING, FALLING, predict(0.66, sure_of_errors=True)),
    ),
    "a loss that stays high": (
        "overlapping classes",
        make_evidence((GUESS, 1.0, 0.9, 0.9, 0.9), (0.95, 0.93, 0.92), predict(0.66), steps=500),
    ),
    "a rate of 0.03 that learns nothing": (
        "rate too high",
        make_evidence((GUESS, 1.4, 1.38), (1.39, 1.39), predict(0.3), learning_rate=0.03),
    ),
    "test texts that are also training texts": (
        "leak",
        make_evidence(LEARNING, FALLING, predict(0.99), predict(0.95), shared=40),
    ),
    "clean test texts, wrong training labels": (
        "test above validation",
        make_evidence(LEARNING, FALLING, predict(0.95), predict(0.7), shared=0),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_run_that_goes_wrong_is_diagnosed(case: str) -> None:
    name, evidence = WRONG[case]

    diagnosis = require(evidence)

    assert diagnosis.id == name
    assert diagnosis.sentence.endswith(".")
    assert diagnosis.action.endswith(".")


@pytest.mark.parametrize("language", ["de", "es"])
@pytest.mark.parametrize("case", WRONG)
def test_a_diagnosis_is_translated_with_its_figures(case: str, language: str) -> None:
    diagnosis = require(WRONG[case][1])

    with use(language):
        for text in (diagnosis.sentence, diagnosis.action):
            translated = translate_recorded(text)
            assert translated != text
            figures = [localize(figure) for figure in re.findall(r"\d[\d.,]*\b", text)]
            assert sorted(re.findall(r"\d[\d.,]*\b", translated)) == sorted(figures)


@pytest.mark.parametrize("case", WRONG)
def test_the_changes_are_a_valid_configuration_that_differs(case: str) -> None:
    evidence = WRONG[case][1]
    changes = require(evidence).changes
    assignments = [
        f"{name}={','.join(value) if isinstance(value, tuple) else value}"
        for name, value in changes.items()
    ]

    config = make_config(None, {**evidence.config.model_dump(), **parse_assignments(assignments)})

    assert (config == evidence.config) == (not changes)


GOOD = {
    "a typical run": make_evidence(LEARNING, FALLING, predict(0.9), tfidf=predict(0.88, seed=1)),
    "a rise from 0.05 to 0.08 nats": make_evidence(
        (GUESS, 0.1, 0.01), (0.2, 0.05, 0.09, 0.08), predict(0.9)
    ),
    "without baselines": make_evidence(LEARNING, FALLING, predict(0.9)),
    "saturated": make_evidence((GUESS, 0.3, 0.05, 0.02), (0.4, 0.1, 0.08), predict(0.99)),
    "two classes": make_evidence(
        (0.69, 0.4, 0.25, 0.2), (0.5, 0.35, 0.3), predict(0.88, shares=(0.5, 0.5))
    ),
    "imbalanced": make_evidence((0.4, 0.1, 0.05), (0.2, 0.08), predict(0.98, shares=(0.95, 0.05))),
    "a little below TF-IDF": make_evidence(
        LEARNING, FALLING, predict(0.89), tfidf=predict(0.9, seed=1)
    ),
    "test a little below validation": make_evidence(
        LEARNING, FALLING, predict(0.88), predict(0.91, rows=90)
    ),
    "test a little above validation": make_evidence(
        (GUESS, 0.4, 0.02), (0.5, 0.4, 0.6), predict(0.93), predict(0.92, rows=90)
    ),
    "a few long texts": make_evidence(LEARNING, FALLING, predict(0.9, tokens=100)),
    "overfit but as good as it gets": make_evidence(
        (GUESS, 0.3, 0.01), (0.3, 0.25, 0.4), predict(0.94), tfidf=predict(0.85, seed=1)
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_a_good_run_has_no_diagnosis(case: str) -> None:
    assert diagnose(GOOD[case]) is None


def test_each_rule_of_the_table_has_a_case() -> None:
    assert {name for name, _ in WRONG.values()} | {"guessing"} == {rule.id for rule in RULES}


def test_guessing_where_tfidf_succeeds_is_no_matter_of_the_labels() -> None:
    evidence = make_evidence(
        (GUESS, 1.38, 1.38), (1.39, 1.38), predict(0.27), tfidf=predict(0.9, seed=0)
    )

    diagnosis = require(evidence)

    assert diagnosis.id == "guessing"
    assert "TF-IDF reaches 90.0 %" in diagnosis.sentence
    assert RunConfig.model_validate({**evidence.config.model_dump(), **diagnosis.changes})


def test_the_only_class_predicted_is_described_with_its_true_share() -> None:
    test = predict(0, rows=10, shares=(0.7, 0.3), only=1)
    share = (test.true == 1).mean()
    evidence = make_evidence((0.6, 0.5, 0.5, 0.5), (0.5, 0.5), test)

    assert share < 0.5
    assert (
        f"predicted as 'Sports', which is the class of {share * 100:.0f} %"
        in require(evidence).sentence
    )


@pytest.mark.parametrize(
    ("max_tokens", "positions", "proposed"),
    [(16, None, 304), (16, 64, 64), (64, 64, None), (512, None, None), (1024, None, None)],
)
def test_longer_texts_are_proposed_up_to_the_positions_of_the_model(
    max_tokens: int, positions: int | None, proposed: int | None
) -> None:
    tokens = 2000 if max_tokens >= 512 else 300
    evidence = make_evidence(LEARNING, FALLING, predict(0.6, tokens=tokens), max_tokens=max_tokens)
    diagnosis = TRUNCATED_TEXTS.diagnose(replace(evidence, most_positions=positions))

    assert (diagnosis.changes["max_tokens"] if diagnosis else None) == proposed


@pytest.mark.parametrize(
    ("steps", "epochs", "rows", "changes"),
    [
        (30, 10, 160, {"epochs": 50, "evaluation_interval": 50}),  # stopped in the third epoch
        (30, 99, 16, {"epochs": 100, "evaluation_interval": 10}),
        (30, 100, 16, None),
    ],
)
def test_more_epochs_are_proposed_up_to_the_limit(
    steps: int, epochs: int, rows: int, changes: dict[str, int] | None
) -> None:
    evidence = make_evidence(
        (GUESS, 1.3, 1.15), (1.2,), predict(0.46), steps=steps, epochs=epochs, batch_size=16
    )
    diagnosis = TOO_FEW_STEPS.diagnose(replace(evidence, trained_rows=rows))

    assert (diagnosis.changes if diagnosis else None) == changes


@pytest.mark.parametrize(
    ("rows", "epochs", "patience", "changes"),
    [
        (320, 20, 3, {"epochs": 8}),  # the best of 200 steps, 100, is the end of epoch 5
        (1600, 2, 0, {"early_stopping": 3}),
        (1600, 2, 5, {"early_stopping": 3}),
        (1600, 2, 3, None),
    ],
)
def test_fewer_epochs_or_early_stopping_are_proposed(
    rows: int, epochs: int, patience: int, changes: dict[str, int] | None
) -> None:
    evidence = make_evidence(
        (GUESS, 0.6, 0.1, 0.01),
        (0.8, 0.7, 0.9, 1.3),
        predict(0.74),
        epochs=epochs,
        early_stopping=patience,
        batch_size=16,
    )
    diagnosis = OVERFITTING.diagnose(replace(evidence, trained_rows=rows))

    assert (diagnosis.changes if diagnosis else None) == changes


@pytest.mark.parametrize(("marked", "step"), [({0, 1}, 50), ({0, 1, 3}, 100)])
def test_overfitting_names_the_step_of_the_stored_adapter(marked: set[int], step: int) -> None:
    evidence = make_evidence((GUESS, 0.6, 0.1, 0.01), (0.8, 0.7, 0.9, 1.3), steps=100)
    validations = tuple(
        replace(each, best=number in marked) for number, each in enumerate(evidence.validations)
    )

    sentence = explain_overfitting(replace(evidence, validations=validations))

    assert "since step 50 the validation loss has risen from 0.70 to 1.30" in sentence
    assert sentence.endswith(f"At step 100 the best adapter is that of step {step}.")


def test_random_labels_are_recognized_by_tfidf_that_guesses_too() -> None:
    evidence = make_evidence(
        (GUESS, 1.38, 1.36), (1.39, 1.38), predict(0.2), tfidf=predict(0.28, seed=1)
    )

    assert require(evidence).id == "labels do not follow"


def test_evidence_reads_curves_and_predictions_of_a_run(store: Store) -> None:
    evidence = read_evidence(store, open_example(store))

    assert evidence.steps == 102
    assert [metric.step for metric in evidence.validations][-1] == 102
    assert evidence.test is not None
    assert evidence.tfidf is None
