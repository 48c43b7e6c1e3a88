"""Diagnosis and alerts of a run, on Runs, Home and in the sidebar."""

import json

import pytest

from core.demo.gallery import FAILURES, open_gallery
from core.evaluation.baselines import Baseline
from core.evaluation.predictions import Predictions
from core.runs.diagnosis import update_conclusions
from core.runs.requests import read_train_request
from core.runs.run_baselines import BaselineRequest, Fitted, save
from core.storage.job import Job
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.app.visitors import report
from tests.support.stored_runs import CLASSES, FINGERPRINT, predictions

PAGE = "pages/runs.py"


@pytest.fixture
def beaten(store: Store, finished: Job) -> Job:
    """A finished run with TF-IDF baselines that are much better."""
    request = BaselineRequest.of(FINGERPRINT, read_train_request(finished).config)
    perfect = Predictions.of(predictions(40, 40), len(CLASSES))
    save(store.settings, request, Fitted(Baseline.TFIDF, perfect, 800, 1.0))
    update_conclusions(store, request)
    return store.read_job(finished.id)


def test_a_good_run_says_that_no_problem_was_found(open_app: Open, finished: Job) -> None:
    app = open_app(PAGE, run=finished.id)

    assert "No problem found in the curves and predictions." in page_text(app)
    assert app.dataframe[0].value["state"].tolist() == [["✓ Finished"]]


def test_a_run_worse_than_tfidf_is_not_just_finished(open_app: Open, beaten: Job) -> None:
    app = open_app(PAGE, run=beaten.id)

    assert "The run is worse than TF-IDF: TF-IDF reaches 100.0 % on the test texts" in page_text(
        app
    )
    (row,) = app.dataframe[0].value.to_dict("records")
    assert row["state"] == ["⚑ Finished, see diagnosis"]
    assert row["tfidf"] == "100.0 %"


def test_home_shows_both_too(open_app: Open, beaten: Job) -> None:
    table = next(frame.value for frame in open_app().dataframe if "tfidf" in frame.value)

    assert table["tfidf"].tolist() == ["100.0 %"]
    assert table["state"].tolist() == [["⚑ Finished, see diagnosis"]]


@pytest.mark.parametrize("run_id", [failure.id for failure in FAILURES])
def test_the_list_marks_a_run_of_the_gallery(open_app: Open, store: Store, run_id: str) -> None:
    open_gallery(store)

    (row,) = open_app(PAGE, run=run_id).dataframe[0].value.to_dict("records")

    assert row["state"] == ["⚑ Finished, see diagnosis"]


def test_a_diagnosis_and_alerts_stand_in_the_language_of_the_visit(
    open_app: Open, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_gallery(store)
    english = page_text(open_app(PAGE, run="gallery-1"))  # and is cached
    report(monkeypatch, locale="de-DE")

    german = page_text(open_app(PAGE, run="gallery-1"))

    assert "the learning rate 0.1 is too high." in english
    assert "Die Lernrate 0,1 ist zu hoch." in german
    assert "Trainiere noch einmal mit einer niedrigeren Lernrate." in german
    assert "Änderungen: Lernrate 0,002, Aufwärmen 0,05." in german


def test_the_fix_fills_the_form(open_app: Open, store: Store) -> None:
    open_gallery(store)
    app = open_app(PAGE, run="gallery-3")
    assert "The adapter is too small" in page_text(app)

    app.button(key="fix-run").click().run()

    assert app.title[0].value == "New run"
    assert app.number_input(key="field-rank").value == 16
    assert app.number_input(key="field-alpha").value == 32
    assert app.text_input(key="field-target_modules").value == ""


def test_a_fix_of_the_data_leads_to_quality(open_app: Open, store: Store) -> None:
    open_gallery(store)
    app = open_app(PAGE, run="gallery-5")

    assert "hardly better than guessing" in page_text(app)
    assert not [button for button in app.button if button.key == "fix-run"]
    assert "Check the data" in [link.proto.label for link in app.get("page_link")]


def test_alerts_of_a_training_are_on_the_page_and_in_the_sidebar(
    open_app: Open, store: Store, running: Job
) -> None:
    alert = {"id": "loss rising", "step": 20, "message": "The loss is 3.0.", "action": "Stop."}
    store.update(running, result_json=json.dumps({**running.result, "alerts": [alert]}))

    app = open_app(PAGE, run=running.id)

    assert "Step 20. The loss is 3.0. Stop." in page_text(app).replace("**", "")
    assert any("The loss is 3" in link.proto.label for link in app.get("page_link"))
