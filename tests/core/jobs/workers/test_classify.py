"""Number format of a classified file: the bundled run, whose validation texts a test stores."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.evaluation.predictions import build_prediction_frame
from core.inference.classifier import load_classifier
from core.jobs.tasks.classify_texts import LONG_FILE, Classified, read_classified, write_classified
from core.jobs.workers.classify import build_classify_request, classify_batch
from core.runs import artifacts
from core.runs.run import find_run
from core.settings import Settings
from core.storage import files
from core.storage.job import Job
from core.storage.recovery import open_store
from core.storage.store import Store
from core.training.events import LabelAgreement
from tests.support.text_batches import make_batch

pytestmark = pytest.mark.slow

FAST, SLOW = "fp32=1,bf16=0.2,onednn=1", "fp32=1,bf16=1,onednn=1"
SENTENCES = (
    "The striker scored the winning goal in the last minute of the cup final",
    "Oil prices rose and shares of the bank fell on Wall Street",
    "Troops entered the city after the president of the country resigned",
    "The new chip lets software search the internet faster",
)
TEXTS = [f"{SENTENCES[row % 4]}, {row}." for row in range(LONG_FILE)]


@pytest.fixture
def store() -> Store:
    return open_store(replace(Settings(hub=False), stopwatch=FAST))


@pytest.fixture
def example(store: Store) -> Job:
    return find_run(store, "example")


def store_validation(store: Store, job: Job, rows: int, flipped: int) -> None:
    """Store predictions in fp32 of validation texts, ``flipped`` of them with another label."""
    request = build_classify_request(store, job, hub=False)
    texts = TEXTS[:rows]
    exact = load_classifier(request, onednn=False).classify(job.id, texts, request.max_tokens)
    exact[:flipped] = np.roll(exact[:flipped], 1, axis=1)
    frame = build_prediction_frame(np.arange(rows), np.zeros(rows, np.int64), exact)
    path = artifacts.predictions_path(store.get_folder(job), "validation")
    files.write_parquet(path, frame.assign(text=texts))


def classify(
    store: Store, job: Job, texts: Sequence[str] = TEXTS, exact: bool = False
) -> Classified:
    return classify_batch(store, job, make_batch(texts), hub=False, exact=exact)


def test_a_long_file_is_classified_in_bf16_if_the_labels_agree(store: Store, example: Job) -> None:
    store_validation(store, example, rows=300, flipped=0)

    half, exact = classify(store, example), classify(store, example, exact=True)

    assert (half.precision, half.agreement) == ("bf16", LabelAgreement(300, 300))
    assert half.precision_note == (
        "Computed in bf16: 300 of 300 validation texts of the run have the same label in fp32."
    )
    assert (exact.precision, exact.agreement) == ("fp32", None)
    assert exact.precision_note == "All texts were computed in fp32."
    difference = (half.answers["probability"] - exact.answers["probability"]).abs()
    assert 0 < difference.max() < 0.05
    assert (half.answers["class"] == exact.answers["class"]).mean() >= 0.995


@pytest.mark.parametrize(
    ("rows", "flipped", "agreement"), [(300, 2, LabelAgreement(298, 300)), (199, 0, None)]
)
def test_a_long_file_is_classified_in_fp32_if_too_few_labels_agree(
    store: Store, example: Job, rows: int, flipped: int, agreement: LabelAgreement | None
) -> None:
    store_validation(store, example, rows, flipped)

    classified = classify(store, example)

    assert (classified.precision, classified.agreement) == ("fp32", agreement)
    expected = classify(store, example, exact=True)
    pd.testing.assert_frame_equal(classified.frame, expected.frame)


def test_a_short_file_and_a_machine_without_fast_bf16_use_fp32(store: Store, example: Job) -> None:
    store_validation(store, example, rows=300, flipped=0)
    assert classify(store, example, TEXTS[:-1]).precision == "fp32"

    store.settings = replace(store.settings, stopwatch=SLOW, threads=1)

    assert classify(store, example).precision == "fp32"


def test_precision_and_agreement_are_stored_with_the_answers(tmp_path: Path, example: Job) -> None:
    frame = pd.DataFrame({"text": ["a"], "class": ["World"], "probability": [0.9]})
    classified = Classified(
        frame, None, {}, 0, precision="bf16", agreement=LabelAgreement(499, 500)
    )

    result = write_classified(tmp_path, classified)
    stored = read_classified(tmp_path, replace(example, result_json=result.model_dump_json()))

    assert (stored.precision, stored.agreement) == ("bf16", LabelAgreement(499, 500))
