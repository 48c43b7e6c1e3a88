import os
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.config import RunConfig
from core.data.sources import demo_source
from core.errors import NotEnoughRoom, StateConflict
from core.jobs import actions, launching
from core.jobs.tasks.classify_texts import BatchRequest
from core.runs.requests import CalibrateRequest, PrepareRequest, TrainRequest, read_train_request
from core.storage.job import Job, JobKind, JobState
from core.storage.recovery import remove_job
from core.storage.store import Store


def launch(store: Store, key: str = "key", **values: object) -> Job:
    return actions.launch_training(
        store,
        TrainRequest(config=RunConfig.model_validate(values), source=demo_source(), preset="quick"),
        key=key,
    )


def test_the_request_reads_back_as_it_was_launched(store: Store) -> None:
    job = launch(store, rank=8, target_modules=("query",))

    request = read_train_request(store.read_job(job.id))

    assert (request.config.rank, request.config.target_modules) == (8, ("query",))
    assert (request.source, request.preset) == (demo_source(), "quick")


def test_a_second_click_launches_nothing(store: Store) -> None:
    assert launch(store, "one").id == launch(store, "one").id
    assert len(store.list_jobs()) == 1


def test_clicks_at_the_same_moment_launch_once(store: Store) -> None:
    threads = [threading.Thread(target=launch, args=(store, "one")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(store.list_jobs()) == 1


def test_files_classified_with_a_run_are_deleted_with_it(store: Store) -> None:
    run, other = launch(store, "one"), launch(store, "two")
    for job in (run, other):
        store.transition(job, JobState.CANCELLED)
    jobs = [
        launching.launch(store, BatchRequest(run=job.id, key="k", name="a.csv"), "a.csv")
        for job in (run, other)
    ]
    for job in jobs:
        (store.get_folder(job) / "classified.parquet").write_bytes(b"rows")
    store.transition(jobs[0], JobState.STARTING)

    with pytest.raises(StateConflict, match=r"Classify a\.csv uses quick-minilm-01"):
        actions.delete(store, run)
    assert len(store.list_jobs()) == 4
    store.transition(jobs[0], JobState.FAILED)
    actions.delete(store, run)

    remaining = {other.id, jobs[1].id}
    assert {job.id for job in store.list_jobs()} == remaining
    assert {path.name for path in store.settings.jobs.iterdir()} == remaining


def test_a_refused_deletion_removes_nothing(store: Store) -> None:
    stale = actions.stop(store, launch(store))
    request = BatchRequest(run=stale.id, key="k", name="a.csv")
    batch = launching.launch(store, request, "a.csv")
    classified = store.get_folder(batch) / "classified.parquet"
    classified.write_bytes(b"rows")
    for state in (JobState.QUEUED, JobState.STARTING):
        assert store.transition(stale, state)

    with pytest.raises(StateConflict, match="quick-minilm-01 is still starting"):
        remove_job(store, stale)

    assert {job.id for job in store.list_jobs()} == {stale.id, batch.id}
    assert classified.read_bytes() == b"rows"


def test_a_removal_that_is_not_stored_changes_no_folder(store: Store) -> None:
    run = actions.stop(store, launch(store))
    request = BatchRequest(run=run.id, key="k", name="a.csv")
    actions.stop(store, launching.launch(store, request, "a.csv"))
    before = sorted(store.settings.jobs.rglob("*.json"))

    with pytest.raises(NotEnoughRoom), store.together():
        remove_job(store, run)
        full = sqlite3.OperationalError("database or disk is full")
        full.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise full

    assert len(store.list_jobs()) == 2
    assert sorted(store.settings.jobs.rglob("*.json")) == before


def test_runs_launched_at_the_same_moment_have_different_names(store: Store) -> None:
    ready = threading.Barrier(8)

    def launch_one(number: int) -> str:
        ready.wait()
        return launch(store, f"key {number}").name

    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(launch_one, range(8)))

    assert sorted(names) == [f"quick-minilm-{number:02d}" for number in range(1, 9)]


def test_names_count_up_per_preset_and_model(store: Store) -> None:
    names = [
        launch(store, key, model=model).name
        for key, model in (("a", "minilm"), ("b", "minilm"), ("c", "/models/tiny-bert"))
    ]

    assert names == ["quick-minilm-01", "quick-minilm-02", "quick-tiny-bert-01"]


def test_a_calibration_that_is_running_is_not_asked_for_twice(store: Store) -> None:
    first = launching.launch(store, CalibrateRequest(model="minilm"), "model")

    assert launching.launch(store, CalibrateRequest(model="minilm"), "model").id == first.id
    assert (
        launching.launch(store, CalibrateRequest(model="minilm", precision="bf16"), "model").id
        != first.id
    )
    assert launching.launch(store, CalibrateRequest(model="distilbert"), "model").id != first.id


def test_a_calibration_that_was_cancelled_can_be_asked_for_again(store: Store) -> None:
    first = launching.launch(store, CalibrateRequest(model="minilm"), "model")
    actions.stop(store, first)

    assert launching.launch(store, CalibrateRequest(model="minilm"), "model").id != first.id


def test_a_queued_run_that_is_stopped_leaves_the_queue(store: Store) -> None:
    job = launch(store)

    assert actions.stop(store, job).state is JobState.CANCELLED


def test_a_working_run_is_asked_to_stop(store: Store) -> None:
    job = launch(store)
    store.transition(job, JobState.STARTING)

    assert actions.stop(store, store.read_job(job.id)).state is JobState.STOPPING
    assert actions.stop(store, store.read_job(job.id)).state is JobState.STOPPING


def test_a_run_that_is_over_has_nothing_to_stop(store: Store) -> None:
    job = actions.stop(store, launch(store))

    with pytest.raises(StateConflict, match="already cancelled"):
        actions.stop(store, job)


def test_only_a_run_that_ended_early_is_resumed(store: Store) -> None:
    job = actions.stop(store, launch(store))

    again = actions.resume(store, job)

    assert (again.state, again.attempt) == (JobState.QUEUED, 2)
    with pytest.raises(StateConflict, match="is queued"):
        actions.resume(store, again)


def test_a_diverged_run_is_tried_again_with_the_rate_it_proposes(store: Store) -> None:
    job = launch(store, rank=4, learning_rate=0.02)
    store.transition(job, JobState.STARTING)
    store.transition(job, JobState.FAILED, proposal_json='{"learning_rate": 0.005}')
    failed = store.read_job(job.id)

    again, second_click = (actions.retry(store, failed, key="retry") for _ in range(2))

    config = read_train_request(again).config
    assert (config.learning_rate, config.rank) == (0.005, 4)
    assert again.id == second_click.id != job.id
    assert store.read_job(job.id) == failed


def test_a_run_that_proposes_nothing_is_not_tried_again(store: Store) -> None:
    with pytest.raises(StateConflict, match="proposes no change"):
        actions.retry(store, actions.stop(store, launch(store)))


def test_deleting_removes_row_and_folder(store: Store) -> None:
    job = actions.stop(store, launch(store))
    assert store.get_folder(job).is_dir()

    actions.delete(store, job)

    assert store.list_jobs() == []
    assert not store.get_folder(job).exists()


def test_a_full_disk_is_said_before_the_launch(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=10 * 2**20)
    # of the operating system: a test cannot fill the disk
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    with pytest.raises(NotEnoughRoom, match="Only 10 MB of disk are free"):
        launch(store)
    assert store.list_jobs() == []


def test_preparing_the_same_data_twice_is_one_job(store: Store, tmp_path: Path) -> None:
    first = launching.launch(store, PrepareRequest(source=demo_source()), "data")

    assert launching.launch(store, PrepareRequest(source=demo_source()), "data").id == first.id
    assert [job.kind for job in store.list_jobs()] == [JobKind.PREPARE]
    assert os.path.isdir(store.get_folder(first))
