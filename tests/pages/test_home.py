import re

import pytest

from core.config import RunConfig
from core.data.dataset import Dataset
from core.estimate.inputs import data_facts
from core.presets import Preset, make_config
from core.runs.requests import read_train_request
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store
from tests.support.app.page_app import Open
from tests.support.app.page_text import page_text


def test_a_fresh_machine_explains_the_loop_with_a_link_for_each_step(open_app: Open) -> None:
    app = open_app()

    assert "Watch the loss decrease" in page_text(app)
    labels = {link.proto.label for link in app.main.get("page_link")} | {
        text.value for text in app.text
    }
    assert labels >= {"1 Explore", "2 New run", "3 Runs", "4 Evaluate", "5 Classify"}


def test_data_that_is_not_prepared_offers_to_prepare_it_and_then_shows_progress(
    open_app: Open, store: Store
) -> None:
    app = open_app()

    app.button(key="prepare").click().run()

    (job,) = store.list_jobs(JobKind.PREPARE)
    assert job.state is JobState.QUEUED
    assert "Waiting in the queue." in page_text(app)


def test_prepared_data_is_shown_with_its_rows_and_fingerprint(
    open_app: Open, dataset: Dataset
) -> None:
    text = page_text(open_app())

    assert "200 training rows, 20 of them for validation; 40 test rows; 4 classes." in text
    assert dataset.fingerprint in text


def test_a_problem_with_the_data_is_said_on_its_card(
    open_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORALAB_DATA", "/nowhere/at/all")

    assert "/nowhere/at/all does not exist" in open_app().error[0].value.replace("\\", "")


def test_each_model_says_where_it_comes_from_or_why_it_is_unavailable(open_app: Open) -> None:
    text = page_text(open_app())

    assert ":material/check: **minilm**" in text
    assert ":material/block: **distilbert**" in text
    assert "The Hub cannot be reached" in text


def test_a_speed_that_is_only_typical_is_called_so_and_can_be_measured(
    open_app: Open, dataset: Dataset, store: Store
) -> None:
    app = open_app()

    assert re.search(r"About \d+ rows/s", page_text(app))
    assert "has not been measured" in page_text(app)
    app.button(key="measure").click().run()
    (job,) = store.list_jobs(JobKind.CALIBRATE)
    assert job.state is JobState.QUEUED


def test_speed_is_not_guessed_without_data(open_app: Open) -> None:
    assert "The training speed is known once data and model are ready." in page_text(open_app())


def test_a_taste_run_is_one_click_away(open_app: Open, dataset: Dataset, store: Store) -> None:
    app = open_app()

    app.button(key="taste-run").click().run()

    (run,) = store.list_jobs(JobKind.TRAIN)
    size = data_facts(dataset).size
    assert read_train_request(run).config == make_config(Preset.TASTE, None, size) != RunConfig()
    assert app.title[0].value == "Runs"
    assert app.query_params["run"] == run.id


def test_recent_runs_are_listed_whatever_their_state(
    open_app: Open, finished: Job, running: Job, failed: Job, damaged: Job
) -> None:
    table = open_app().dataframe[0].value

    assert sorted(table["name"]) == ["damaged-run", "failed-run", "finished-run", "running-run"]


def test_the_loop_is_not_explained_to_who_has_run_it(open_app: Open, finished: Job) -> None:
    assert "Watch the loss decrease" not in page_text(open_app())
