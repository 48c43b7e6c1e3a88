import json

import pytest

from core.data.sources import Source
from core.evaluation.baselines import Baseline
from core.evaluation.predictions import Predictions
from core.runs.requests import read_train_request
from core.runs.run_baselines import FITTED, BaselineRequest, Fitted, save
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text
from tests.support.stored_runs import CLASSES, FINGERPRINT, make_finished, predictions


def request(job: Job) -> BaselineRequest:
    return BaselineRequest.of(FINGERPRINT, read_train_request(job).config)


@pytest.fixture
def fitted(store: Store, finished: Job) -> None:
    for baseline, right in zip(FITTED, (10, 30, 28), strict=True):
        save(
            store.settings,
            request(finished),
            Fitted(baseline, Predictions.of(predictions(40, right), len(CLASSES)), 800, 1.0),
        )


def test_a_run_is_set_next_to_its_baselines(open_app: Open, finished: Job, fitted: None) -> None:
    app = open_app("pages/runs.py", run=finished.id)

    words = (
        "majority class 25.0 % ± 13.0, untrained 25.0 % ± 13.0, TF-IDF 75.0 % ± 13.0, linear probe"
        " 70.0 % ± 13.7"
    )
    assert f"Baselines on test texts: {words}." in page_text(app)
    assert not [button for button in app.button if button.key == "baselines"]
    assert any("TF-IDF 75.0 %" in chart.proto.alt for chart in app.get("vega_lite_chart"))


def test_evaluate_says_them_too(open_app: Open, finished: Job, fitted: None) -> None:
    assert "TF-IDF 75.0 % ± 13.0" in page_text(open_app("pages/evaluate.py", run=finished.id))


def test_missing_ones_are_offered_watched_and_stopped(
    open_app: Open, store: Store, finished: Job
) -> None:
    (store.settings.prepared / FINGERPRINT).mkdir(parents=True)
    app = open_app("pages/runs.py", run=finished.id)
    assert "Baselines on test texts" not in page_text(app)

    app.button(key="baselines").click().run()
    (job,) = store.list_jobs(JobKind.BASELINE)
    assert "Baselines are computed when no run is training or waiting." in page_text(app)
    app.button(key="stop-baselines").click().run()

    assert store.read_job(job.id).state is JobState.CANCELLED


def test_they_are_not_offered_where_the_data_has_gone(open_app: Open, finished: Job) -> None:
    assert not [
        button
        for button in open_app("pages/runs.py", run=finished.id).button
        if button.key == "baselines"
    ]


def test_a_probe_without_its_model_is_explained(
    open_app: Open, store: Store, finished: Job
) -> None:
    save(
        store.settings,
        request(finished),
        Fitted(Baseline.MAJORITY, Predictions.of(predictions(40, 10), 4), 800, 1.0),
    )
    save(
        store.settings,
        request(finished),
        Fitted(Baseline.TFIDF, Predictions.of(predictions(40, 30), 4), 800, 1.0),
    )
    job = store.create(
        JobKind.BASELINE, "baselines", request(finished).model_dump(mode="json"), "key"
    )
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.RUNNING)
    store.update(job, result_json=json.dumps({"left_out": "The model is not here."}))
    store.transition(job, JobState.COMPLETED)

    assert "Without the linear probe. The model is not here." in page_text(
        open_app("pages/runs.py", run=finished.id)
    )


def test_compare_has_them_as_rows_without_a_star_and_tests_against_them(
    open_app: Open, store: Store, source: Source, finished: Job, fitted: None
) -> None:
    make_finished(store, source, "other-run")
    app = open_app("pages/compare.py")

    results = next(element.value for element in app.dataframe if "Accuracy" in element.value)
    assert results["Run"].tolist()[2:] == [
        "baseline: majority class (800 rows)",
        "baseline: untrained",
        "baseline: TF-IDF (800 rows)",
        "baseline: linear probe (800 rows)",
    ]
    assert results["Accuracy"].tolist() == [
        "★ 85.0 %",
        "★ 85.0 %",
        "25.0 %",
        "25.0 %",
        "75.0 %",
        "70.0 %",
    ]

    app.session_state["against-baselines"] = True
    app.run()
    result = next(element.value for element in app.dataframe if "Baseline" in element.value)
    assert result["Difference (points)"].round(6).tolist() == [60.0, 60.0, 10.0, 15.0] * 2
