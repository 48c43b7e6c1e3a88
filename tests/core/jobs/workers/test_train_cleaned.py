from dataclasses import replace
from pathlib import Path

import pytest

from core.config import RunConfig
from core.data.preparation import prepare
from core.data.recipe import Fix, Recipe, Step
from core.data.sources import Source, folder_source
from core.errors import ArtifactDamaged, DataError
from core.jobs import actions
from core.jobs.context import JobContext
from core.jobs.workers import train
from core.runs.requests import TrainRequest, read_train_request
from core.storage.job import Job, JobState
from core.storage.store import Store
from tests.support.small_news import write_small_news

pytestmark = pytest.mark.slow


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return folder_source(write_small_news(tmp_path / "news"))


@pytest.fixture
def recipe(store: Store, source: Source) -> Recipe:
    """Drops two training texts."""
    dataset = prepare(store.settings, source, lambda progress: None, lambda: False)
    rows = tuple(int(row) for row in dataset.read("train")["row"][:2])
    return Recipe(
        fingerprint=dataset.fingerprint, steps=(Step(check="leakage", fix=Fix.DROP, rows=rows),)
    )


def start(store: Store, source: Source, recipe: Recipe | None) -> Job:
    job = actions.launch_training(
        store, TrainRequest(config=RunConfig(), source=source, recipe=recipe)
    )
    store.transition(job, JobState.STARTING, started_at=store.clock())
    return store.read_job(job.id)


def test_a_run_trains_on_cleaned_data_and_carries_their_fingerprint(
    store: Store, source: Source, recipe: Recipe
) -> None:
    job = start(store, source, recipe)

    dataset = train._read_dataset(JobContext(store, job), read_train_request(job))

    assert not set(dataset.read("train")["row"]) & recipe.effect().dropped
    assert store.read_job(job.id).fingerprint == recipe.cleaned_fingerprint() != recipe.fingerprint


def test_a_run_without_a_recipe_takes_the_data_as_they_are(
    store: Store, source: Source, recipe: Recipe
) -> None:
    job = start(store, source, None)

    assert (
        train._read_dataset(JobContext(store, job), read_train_request(job)).fingerprint
        == recipe.fingerprint
    )


def test_a_recipe_for_other_data_fails_the_run(
    store: Store, source: Source, recipe: Recipe
) -> None:
    job = start(store, source, recipe.model_copy(update={"fingerprint": "f" * 12}))

    with pytest.raises(DataError, match="The cleaning recipe is for data ffffffffffff"):
        train._read_dataset(JobContext(store, job), read_train_request(job))


def test_a_retried_run_keeps_its_recipe(store: Store, source: Source, recipe: Recipe) -> None:
    job = start(store, source, recipe)
    store.transition(
        job, JobState.FAILED, proposal_json='{"batch_size": 8}', ended_at=store.clock()
    )

    assert read_train_request(actions.retry(store, store.read_job(job.id))).recipe == recipe


def test_a_database_that_is_damaged_meanwhile_does_not_hide_why_a_run_failed(
    store: Store, source: Source, recipe: Recipe, caplog: pytest.LogCaptureFixture
) -> None:
    job = start(store, source, None)
    context = JobContext(store, replace(job, request_json="{"))
    store.database.write_bytes(b"no database" * 1000)

    with pytest.raises(ArtifactDamaged) as raised:
        train.run(context)

    assert raised.value.message == f"The record of {job.name} is damaged."
    assert "the seconds of each part were not recorded" in caplog.text
