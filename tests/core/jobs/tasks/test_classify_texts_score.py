import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from core.access import Role, Visitor
from core.cli.transferring import evaluate
from core.data.sources import Source, folder_source
from core.errors import NotAllowed, StateConflict
from core.evaluation.predictions import Predictions
from core.jobs import actions, worker
from core.jobs.tasks.classify_texts import find_scoring, launch_scoring
from core.jobs.workers.classify import classify_texts
from core.presets import make_config
from core.runs import artifacts
from core.runs.requests import TrainRequest
from core.settings import Settings
from core.storage.job import Job, JobState, read_record
from core.storage.store import Store
from core.transfer.imports.archive import read_upload
from core.transfer.imports.import_run import import_run
from tests.support.json_values import value_at
from tests.support.peft_files import CLASSES, adapter_files, zipped
from tests.support.small_news import write_small_news
from tests.support.stopped_context import StoppedContext
from tests.support.tiny_models import write_bert

pytestmark = pytest.mark.slow


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("LORALAB_MODEL", str(write_bert(tmp_path / "tiny")))
    return Store(Settings())


@pytest.fixture
def job(lab: Store, tmp_path: Path) -> Job:
    """An imported run without predictions."""
    return import_run(
        lab, read_upload("mine.zip", zipped(adapter_files(tmp_path / "tiny"))), name="mine"
    )


@pytest.fixture
def news(tmp_path: Path) -> Source:
    return folder_source(write_small_news(tmp_path / "news", train=80, test=40))


def do(store: Store, job: Job) -> Job:
    """Execute the job as a worker does."""
    store.transition(job, JobState.STARTING, started_at=1.0)
    worker.perform(store, store.read_job(job.id))
    return store.read_job(job.id)


def test_an_imported_run_gets_scores_that_are_those_of_its_answers(
    lab: Store, job: Job, news: Source
) -> None:
    done = do(lab, launch_scoring(lab, job, news))

    scored = lab.read_job(job.id)
    predictions = Predictions.of(artifacts.read_predictions(lab.get_folder(job), "test"), 4)
    assert done.state is JobState.COMPLETED, done.message
    assert value_at(scored.result, "test", "rows") == 40
    assert value_at(scored.result, "test", "hits") == predictions.scores.accuracy.hits
    assert (scored.fingerprint != "", scored.version > job.version) == (True, True)
    (answer,) = classify_texts(lab, job, [predictions.frame["text"][3]], hub=False)
    expected = list(value_at(answer, "probabilities").values())
    assert predictions.probabilities[3] == pytest.approx(expected, abs=1e-5)
    assert read_record(lab.get_folder(job))[0] == scored  # a lost database is rebuilt with it


def test_classes_in_another_order_are_distinguished_by_name(
    lab: Store, tmp_path: Path, news: Source
) -> None:
    turned = {str(number): name for number, name in enumerate(reversed(CLASSES))}
    contents = adapter_files(tmp_path / "tiny") | {
        "labels.json": json.dumps({"id2label": turned, "max_tokens": 64}).encode()
    }
    job = import_run(lab, read_upload("mine.zip", zipped(contents)))

    do(lab, launch_scoring(lab, job, news))

    frame = artifacts.read_predictions(lab.get_folder(job), "test")
    true = pd.read_csv(tmp_path / "news" / "test.csv")
    named = dict(zip(true["text"], true["label"], strict=True))
    assert [tuple(reversed(CLASSES))[label] for label in frame["label"]] == [
        named[text] for text in frame["text"]
    ]
    assert frame["loss"].to_numpy() == pytest.approx(
        -np.log(frame[[f"p{i}" for i in range(4)]].to_numpy()[range(40), frame["label"]])
    )


def test_other_class_names_are_refused(lab: Store, tmp_path: Path, news: Source) -> None:
    job = import_run(
        lab,
        read_upload("mine.zip", zipped(adapter_files(tmp_path / "tiny"))),
        classes=["a", "b", "c", "d"],
    )

    done = do(lab, launch_scoring(lab, job, news))

    assert done.state is JobState.FAILED
    assert "has a, b, c, d." in done.message
    assert "test" not in lab.read_job(job.id).result


def test_a_stop_leaves_the_run_without_scores(lab: Store, job: Job, news: Source) -> None:
    requests = launch_scoring(lab, job, news)
    lab.transition(requests, JobState.STARTING, started_at=1.0)
    actions.stop(lab, lab.read_job(requests.id))
    worker.perform(lab, lab.read_job(requests.id), new_context=StoppedContext)

    assert lab.read_job(requests.id).state is JobState.CANCELLED
    assert "test" not in lab.read_job(job.id).result
    assert not artifacts.predictions_path(lab.get_folder(job), "test").exists()


def test_a_run_of_this_machine_keeps_its_own_scores(lab: Store, news: Source) -> None:
    config = {"train_rows": 80}

    job = actions.launch_training(lab, TrainRequest(config=make_config(None, config), source=news))
    with pytest.raises(StateConflict, match="was not imported"):
        launch_scoring(lab, job, news)


def test_two_clicks_are_one_job(lab: Store, job: Job, news: Source) -> None:
    assert launch_scoring(lab, job, news).id == launch_scoring(lab, job, news).id
    assert (find_scoring(lab, job) or job).name == "Score mine"


def test_a_student_scores_own_runs_alone(lab: Store, job: Job, news: Source) -> None:
    lab = lab.for_visitor(Visitor("ada", "Ada", Role.STUDENT))

    with pytest.raises(NotAllowed, match="score this run"):
        launch_scoring(lab, job, news)


def test_the_command_scores(
    lab: Store, job: Job, news: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluate("mine", str(tmp_path / "news"), as_json=True)

    assert json.loads(capsys.readouterr().out)["test"]["rows"] == 40
