"""Runs in real processes on a tiny model: launching, stopping, killing and resuming them."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from core.data.hidden_test import read_hidden_rows, read_hidden_test
from core.data.preparation import find_prepared, prepare
from core.data.sources import folder_source
from core.errors import ArtifactDamaged
from core.estimate.inputs import data_facts, model_facts
from core.evaluation.predictions import Predictions
from core.jobs import actions, launching, worker
from core.jobs.supervisor import ensure_supervisor
from core.jobs.workers.classify import classify_texts
from core.models.catalog import find_model
from core.people.classroom import Rules, change_rules
from core.presets import FITTED, Preset, make_config
from core.runs import artifacts
from core.runs.local_estimate import estimate_request, find_speed
from core.runs.requests import CalibrateRequest, TrainRequest, read_train_request
from core.runs.run import Run
from core.settings import Settings
from core.storage.job import UNFINISHED, FailureCause, Job, JobKind, JobState
from core.storage.locks import is_locked
from core.storage.store import Store
from tests.support.json_values import value_at
from tests.support.small_news import write_small_news
from tests.support.tiny_models import write_bert

pytestmark = pytest.mark.worker
DEADLINE_SECONDS = 120  # importing torch takes most of it on a busy machine


@pytest.fixture
def lab(supervised: None, store: Store, tmp_path: Path) -> Iterator[Store]:
    write_bert(tmp_path / "tiny")
    write_small_news(tmp_path / "news")
    yield store
    for job in store.list_jobs(states=UNFINISHED):
        actions.stop(store, job)
        if job.pid:
            os.killpg(job.pid, signal.SIGKILL)


def launch(store: Store, tmp_path: Path, **values: object) -> Job:
    fields: dict[str, object] = {
        "evaluation_interval": 5,
        "validation_rows": 24,
        "precision": "fp32",
        **values,
    }
    config = make_config(None, {"model": str(tmp_path / "tiny"), "train_rows": 160, **fields})
    return actions.launch_training(
        store, TrainRequest(config=config, source=folder_source(tmp_path / "news"))
    )


def wait_for(store: Store, job: Job, reached: Callable[[Job], bool]) -> Job:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not reached(latest := store.read_job(job.id)):
        if time.monotonic() > deadline or latest.state is JobState.FAILED:
            pytest.fail(
                f"{latest.state} in phase {latest.phase!r}:"
                f" {latest.message}\n{artifacts.read_log_tail(store.get_folder(job))}"
            )
        time.sleep(0.05)
    return latest


def over(job: Job) -> bool:
    return job.state.is_finished


def steps(store: Store, job: Job) -> list[int]:
    return [metric.step for metric in store.read_metrics(job.id) if metric.split == "train"]


def kill_supervisor(settings: Settings) -> None:
    """SIGKILL the supervisor of this home, and only that one."""
    for process in psutil.process_iter(["cmdline"]):
        if "core.jobs.supervisor" in (process.info["cmdline"] or ()) and process.environ()[
            "LORALAB_HOME"
        ] == str(settings.home):
            process.kill()
            gone, _ = psutil.wait_procs([process], timeout=60)
            assert gone
            return
    pytest.fail("there is no supervisor to kill")


def test_a_run_completes_and_can_be_read_and_used(lab: Store, tmp_path: Path) -> None:
    job = wait_for(lab, launch(lab, tmp_path, epochs=2), over)

    assert job.state is JobState.COMPLETED, job.message
    assert steps(lab, job) == list(range(1, 21))
    assert [metric.step for metric in lab.read_metrics(job.id) if metric.split == "validation"] == [
        5,
        10,
        15,
        20,
    ]
    assert artifacts.list_validation_steps(lab.get_folder(job)) == [5, 10, 15, 20]
    test = Predictions.of(artifacts.read_predictions(lab.get_folder(job), "test"), 4)
    assert len(test) == 80
    assert test.frame["text"].notna().all()
    assert value_at(job.result, "test", "rows") == 80
    assert value_at(job.result, "test", "accuracy") == test.scores.accuracy.value
    assert value_at(job.result, "untrained", "rows") == 80
    seconds, total = Run.of(lab, job).result.seconds, job.elapsed_seconds(0)
    assert seconds and seconds.total == pytest.approx(total, rel=0.02)
    parts = seconds.model_dump()
    assert parts.pop("frozen") == 0  # every layer has an adapter
    assert all(parts.values())
    (prediction,) = classify_texts(lab, job, ["the team won the cup"], hub=False)
    assert sum(value_at(prediction, "probabilities").values()) == pytest.approx(1)


def test_the_hidden_final_test_of_a_class_is_scored_into_a_file_of_its_own(
    lab: Store, tmp_path: Path
) -> None:
    change_rules(lab, Rules(hidden_percent=20))

    job = wait_for(lab, launch(lab, tmp_path), over)

    folder = lab.get_folder(job)
    dataset = find_prepared(lab.settings, folder_source(tmp_path / "news"))
    assert job.state is JobState.COMPLETED and dataset is not None, job.message
    hidden, test = read_hidden_rows(dataset), artifacts.read_predictions(folder, "test")
    assert hidden is not None and len(hidden) == 16
    scored = Predictions.read(artifacts.hidden_path(folder, read_hidden_test(lab.settings)), 4)
    assert sorted(scored.rows) == sorted(hidden["row"])
    assert not set(hidden["row"]) & set(test["row"]) and len(test) == 64
    assert value_at(job.result, "test", "rows") == 64
    assert job.fingerprint == dataset.fingerprint


def test_a_preset_is_fitted_to_data_that_the_run_prepares(lab: Store, tmp_path: Path) -> None:
    source, model = folder_source(tmp_path / "news"), str(tmp_path / "tiny")
    later = tuple(name for name in FITTED if name != "epochs")
    config = make_config(Preset.TASTE, {"model": model, "epochs": 2})
    request = TrainRequest(config=config, source=source, preset=Preset.TASTE, fitted_later=later)

    job = wait_for(lab, actions.launch_training(lab, request), over)

    dataset = find_prepared(lab.settings, source)
    assert dataset is not None
    size = data_facts(dataset).size
    trained = read_train_request(job)
    chosen = trained.config.model_copy(update={"precision": "auto"})
    assert job.state is JobState.COMPLETED, job.message
    assert chosen == make_config(Preset.TASTE, {"model": model, "epochs": 2}, size)
    assert trained.fitted_later == ()
    assert trained.config.train_rows == 0
    assert "diagnosis" in job.result


def test_the_untrained_score_is_computed_once(lab: Store, tmp_path: Path) -> None:
    first = wait_for(lab, launch(lab, tmp_path), over)
    second = wait_for(lab, launch(lab, tmp_path, rank=4), over)

    assert first.result["untrained"] == second.result["untrained"]
    log = artifacts.read_log_tail(lab.get_folder(first))
    assert log.index(" training") < log.index("scoring the untrained model")
    assert "scoring the untrained model" not in artifacts.read_log_tail(lab.get_folder(second))


def test_once_it_is_kept_no_estimate_counts_the_untrained_score(lab: Store, tmp_path: Path) -> None:
    first = launch(lab, tmp_path)
    request = read_train_request(first)
    prepare(lab.settings, request.source, lambda progress: None, lambda: False)
    before = estimate_request(lab, request)
    wait_for(lab, first, over)
    others = [
        request.model_copy(update={"config": request.config.model_copy(update=changes)})
        for changes in ({}, {"seed": 7}, {"max_tokens": 32})
    ]
    known = [estimate_request(lab, other) for other in others]

    assert before and before.untrained_seconds > 0
    assert [each.untrained_seconds > 0 for each in known if each] == [False, False, True]


def test_a_training_begins_again_where_its_data_had_to_be_prepared_and_goes_on_if_that_fails(
    lab: Store, tmp_path: Path
) -> None:
    lab = Store(replace(lab.settings, supervise=False))  # no other process looks at these jobs
    queries: list[bool] = []
    for prepared in (False, True):
        job = lab.read_job(launch(lab, tmp_path, seed=int(prepared)).id)
        lab.transition(job, JobState.STARTING)
        # returns, as if the system had refused the restart
        code = worker.perform(lab, lab.read_job(job.id), lambda: queries.append(True))
        assert (code, lab.read_job(job.id).state) == (0, JobState.COMPLETED)
        assert queries == [True]


def test_a_worker_that_begins_again_keeps_its_lock_and_does_so_once(
    lab: Store, tmp_path: Path
) -> None:
    first = launch(lab, tmp_path, epochs=40)
    running = wait_for(lab, first, lambda job: bool(steps(lab, job)))
    assert is_locked(lab.get_folder(first) / "lock")
    process = psutil.Process(running.pid or 0)
    assert process.cmdline()[-1] == "restarted"
    assert process.nice() == max(worker.NICE, psutil.Process().nice())  # and not twice as nice
    first = wait_for(lab, first, over)
    second = wait_for(lab, launch(lab, tmp_path, rank=4), over)

    assert (first.state, second.state) == (JobState.COMPLETED, JobState.COMPLETED)
    assert [
        artifacts.read_log_tail(lab.get_folder(job)).count("restarting to free memory")
        for job in (first, second)
    ] == [1, 0]


def test_a_stopped_run_keeps_its_adapter_and_goes_on_where_it_was(
    lab: Store, tmp_path: Path
) -> None:
    job = launch(lab, tmp_path, epochs=100, evaluation_interval=20)
    wait_for(lab, job, lambda job: len(steps(lab, job)) > 25)

    actions.stop(lab, lab.read_job(job.id))
    stopped = wait_for(lab, job, over)

    assert stopped.state is JobState.CANCELLED
    assert artifacts.find_adapter(lab.get_folder(job)).is_dir()
    reached = artifacts.list_checkpoints(lab.get_folder(job))[-1]
    actions.resume(lab, stopped)
    wait_for(lab, job, lambda job: len(steps(lab, job)) > reached + 10)
    assert steps(lab, job) == list(range(1, len(steps(lab, job)) + 1))


def test_a_killed_worker_is_noticed_and_its_run_resumed(lab: Store, tmp_path: Path) -> None:
    job = launch(lab, tmp_path, epochs=12, evaluation_interval=20)
    working = wait_for(
        lab, job, lambda job: len(artifacts.list_checkpoints(lab.get_folder(job))) > 0
    )
    os.killpg(working.pid, signal.SIGKILL)
    killed = wait_for(lab, job, over)

    assert (killed.state, killed.cause) == (JobState.INTERRUPTED, FailureCause.KILLED)
    actions.resume(lab, killed)
    finished = wait_for(lab, job, over)
    assert finished.state is JobState.COMPLETED
    assert steps(lab, job) == list(range(1, 121))


def test_a_killed_supervisor_is_replaced_and_takes_over_the_worker(
    lab: Store, settings: Settings, tmp_path: Path
) -> None:
    job = launch(lab, tmp_path, epochs=12, evaluation_interval=50)
    wait_for(lab, job, lambda job: job.state is JobState.RUNNING)
    kill_supervisor(settings)

    ensure_supervisor(lab.settings)

    assert wait_for(lab, job, over).state is JobState.COMPLETED


def test_data_that_changed_is_refused_on_resume(lab: Store, tmp_path: Path) -> None:
    job = launch(lab, tmp_path, epochs=100)
    wait_for(lab, job, lambda job: len(steps(lab, job)) > 5)
    actions.stop(lab, lab.read_job(job.id))
    stopped = wait_for(lab, job, over)
    write_small_news(tmp_path / "news", train=200)

    actions.resume(lab, stopped)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not lab.read_job(job.id).state.is_finished and time.monotonic() < deadline:
        time.sleep(0.05)

    failed = lab.read_job(job.id)
    assert (failed.state, failed.cause) == (JobState.FAILED, FailureCause.DATA)
    assert "fingerprint" in failed.message


def test_a_run_without_an_adapter_says_so(lab: Store, tmp_path: Path) -> None:
    job = lab.create(JobKind.TRAIN, "empty", {}, "key")

    with pytest.raises(ArtifactDamaged, match="no adapter"):
        artifacts.find_adapter(lab.get_folder(job))


def test_measuring_gives_a_speed_that_a_finished_run_refines(lab: Store, tmp_path: Path) -> None:
    folder = str(tmp_path / "tiny")
    model = model_facts(find_model(folder, lab.settings, hub=False))
    config = make_config(None, {"model": folder, "precision": "fp32"})
    assert not find_speed(lab, config, model).measured

    request = CalibrateRequest(model=folder, precision="fp32")
    measuring = wait_for(lab, launching.launch(lab, request, folder), over)
    assert measuring.state is JobState.COMPLETED, measuring.message
    calibrated = find_speed(lab, config, model)
    assert calibrated.measured
    assert calibrated.calibration.start_seconds > 0

    run = wait_for(lab, launch(lab, tmp_path), over)
    assert run.state is JobState.COMPLETED, run.message
    refined = find_speed(lab, config, model)
    assert "refined by 1 run" in refined.source
    took = value_at(run.result, "start_seconds")
    assert 0 < took < 60
    assert refined.calibration == replace(calibrated.calibration, start_seconds=took)
    assert 0 < value_at(run.result, "step_seconds") <= value_at(run.result, "train_seconds")
