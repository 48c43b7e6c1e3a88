"""Precision and matrix library of a run, in real trainings of a tiny model in this process."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from core.data.sources import folder_source
from core.jobs.context import JobContext
from core.jobs.workers.run_numerics import choose_numerics
from core.models.catalog import find_model
from core.presets import make_config
from core.runs import artifacts
from core.runs.descriptions import describe_run_details
from core.runs.local_estimate import untrained_cache_path
from core.runs.requests import TrainRequest, describe_precision, read_train_request
from core.runs.sweep import plan_sweep
from core.storage import files
from core.storage.job import FailureCause, Job, JobKind, JobState
from core.storage.machine_speed import choose_auto_precision, decide_steps
from tests.support.faults.disks import DyingDisk
from tests.support.faults.lab import InProcessLab, outcome
from tests.support.faults.plan import FaultPlan
from tests.support.small_news import write_small_news
from tests.support.tiny_models import write_bert

BF16 = "fp32=1,bf16=0.2,onednn=1"  # products by torch
ONEDNN = "fp32=1,bf16=4,onednn=0.2"
LAST = 10**9
CPU = torch.device("cpu")


class DiesAtStep14(DyingDisk):
    """Ends the process while the checkpoint of step 14, the second one, is renamed."""

    def __init__(self) -> None:
        super().__init__(LAST)

    def rename(self, source: Path, target: Path) -> None:
        if target.parent.name == "checkpoints" and target.name == "00000014":
            self.nth = self.steps
        super().rename(source, target)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def stage(tmp_path: Path) -> InProcessLab:
    write_bert(tmp_path / "tiny")
    write_small_news(tmp_path / "news")
    return InProcessLab(tmp_path / "home", FaultPlan(real=True))


def measure(stage: InProcessLab, stopwatch: str) -> None:
    """Set the stopwatch of the next attempt, on a machine on which nothing was measured."""
    shutil.rmtree(stage.settings.home / "machines", ignore_errors=True)
    stage.settings = stage.store.settings = replace(stage.settings, stopwatch=stopwatch, threads=1)
    decide_steps(stage.settings, model_name(stage), AssertionError)  # type: ignore[arg-type]


def model_name(stage: InProcessLab) -> str:
    return find_model(str(stage.settings.home.parent / "tiny"), stage.settings, hub=False).name


def launch(stage: InProcessLab, key: str, **changes: object) -> Job:
    folder = stage.settings.home.parent
    values = {"model": str(folder / "tiny"), "train_rows": 160, "evaluation_interval": 7, **changes}
    config = make_config(None, {"validation_rows": 24, "batch_size": 8, **values})
    request = TrainRequest(config=config, source=folder_source(folder / "news"))
    return stage.store.create(JobKind.TRAIN, key, request.model_dump(mode="json"), key)


def train(stage: InProcessLab, key: str, **changes: object) -> Job:
    job = launch(stage, key, **changes)
    stage.play()
    ended = stage.store.read_job(job.id)
    assert ended.state is JobState.COMPLETED, ended.message
    return ended


def die(stage: InProcessLab, key: str, **changes: object) -> Job:
    """A run whose worker died after step 7 was saved, and which is queued again."""
    job = launch(stage, key, **changes)
    stage.play(DiesAtStep14())
    assert stage.store.read_job(job.id).state is JobState.INTERRUPTED
    stage.resume(job)
    return stage.store.read_job(job.id)


def finish(stage: InProcessLab, job: Job) -> Job:
    stage.play()
    ended = stage.store.read_job(job.id)
    assert ended.state is JobState.COMPLETED, ended.message
    assert ended.result["resumed"]["step"] == 7  # type: ignore[index]
    return ended


def forget(stage: InProcessLab, job: Job) -> None:
    """Change the record to that of an earlier version, which recorded nothing before the end."""
    request = {name: value for name, value in job.request.items() if name != "numerics"}
    config = {**request["config"], "precision": "auto"}  # type: ignore[dict-item]
    with stage.store.transaction() as db:
        text = json.dumps({**request, "config": config})
        db.execute("UPDATE jobs SET request_json = ? WHERE id = ?", (text, job.id))


@pytest.mark.parametrize(("stopwatch", "precision"), [(BF16, "bf16"), (ONEDNN, "fp32")])
def test_a_run_records_what_it_computes_with(
    stage: InProcessLab, stopwatch: str, precision: str
) -> None:
    measure(stage, stopwatch)

    job = train(stage, "run")

    request = read_train_request(job)
    assert request.numerics
    assert (request.numerics.chosen, request.numerics.onednn) == ("auto", stopwatch == ONEDNN)
    assert request.config.precision == job.result["precision"] == precision
    folder = stage.store.get_folder(job)
    config = files.read_json(folder / "config.json")
    assert config == request.config.model_dump(mode="json")
    record = files.read_json(folder / "job.json")
    assert json.loads(record["request_json"]) == job.request  # type: ignore[index]
    assert describe_precision(job, request) == f"auto → {precision}"
    details = describe_run_details(stage.store, job)
    library = "oneDNN" if stopwatch == ONEDNN else "torch"
    assert (details["precision"], details["products"]) == (f"auto → {precision}", library)


@pytest.mark.parametrize(("first", "second"), [(BF16, ONEDNN), (ONEDNN, BF16)])
def test_a_resume_under_an_opposite_stopwatch_is_bit_equal(
    stage: InProcessLab, first: str, second: str
) -> None:
    measure(stage, first)
    expected = outcome(stage.store.get_folder(train(stage, "undisturbed")))
    job = die(stage, "killed")
    measure(stage, second)

    finished = finish(stage, job)

    assert outcome(stage.store.get_folder(finished)) == expected
    assert (
        choose_auto_precision(stage.settings, model_name(stage), "cpu")
        != finished.result["precision"]
    )


def test_a_later_stopwatch_changes_nothing_on_a_measured_machine(stage: InProcessLab) -> None:
    measure(stage, BF16)
    first = train(stage, "first")
    stage.store.settings = replace(stage.settings, stopwatch=ONEDNN)

    second = train(stage, "second")

    folders = [stage.store.get_folder(job) for job in (first, second)]
    assert outcome(folders[0]) == outcome(folders[1])


def test_equal_runs_have_one_set_of_weights(stage: InProcessLab) -> None:
    measure(stage, ONEDNN)

    runs = [train(stage, f"run-{number}") for number in range(3)]

    adapters = {artifacts.find_adapter(stage.store.get_folder(job)) for job in runs}
    assert len({(folder / "adapter_model.safetensors").read_bytes() for folder in adapters}) == 1


def test_an_old_run_without_a_record_goes_on_in_fp32_and_says_so(
    stage: InProcessLab, caplog: pytest.LogCaptureFixture
) -> None:
    measure(stage, ONEDNN)
    expected = outcome(stage.store.get_folder(train(stage, "undisturbed")))
    job = die(stage, "old")
    forget(stage, job)
    measure(stage, BF16)
    stage.settings = stage.store.settings = replace(stage.settings, stopwatch=ONEDNN)
    shutil.rmtree(stage.settings.home / "machines")  # oneDNN again, as an old version would decide

    finished = finish(stage, job)

    request = read_train_request(finished)
    assert finished.result["precision"] == "fp32"
    assert describe_precision(finished, request).startswith("auto → fp32 (assumed")
    assert "It continues in fp32" in caplog.text
    assert outcome(stage.store.get_folder(finished)) == expected


def test_a_run_recorded_in_fp16_is_refused_where_there_is_no_gpu(stage: InProcessLab) -> None:
    job = die(stage, "gpu")
    request = read_train_request(job)
    assert request.numerics
    numerics = request.numerics.model_copy(update={"precision": "fp16"})
    changed = request.model_copy(update={"numerics": numerics}).model_dump(mode="json")
    with stage.store.transaction() as db:
        db.execute("UPDATE jobs SET request_json = ? WHERE id = ?", (json.dumps(changed), job.id))

    stage.play()

    failed = stage.store.read_job(job.id)
    assert (failed.state, failed.cause) == (JobState.FAILED, FailureCause.CONFIG)
    assert "was started in fp16, which needs a GPU" in failed.message
    assert "clone it" in failed.fix


def test_a_new_run_of_a_set_is_decided_for_itself(stage: InProcessLab) -> None:
    measure(stage, BF16)
    job = train(stage, "run")

    sweep = plan_sweep(job, "precision", "fp32, auto")

    assert [request.numerics for request in sweep.requests] == [None, None]
    assert [request.config.precision for request in sweep.requests] == ["fp32", "auto"]


def test_a_clone_takes_the_precision_of_the_run_and_an_old_one_that_of_its_result(
    stage: InProcessLab,
) -> None:
    measure(stage, BF16)
    job = train(stage, "run")
    assert read_train_request(job).config.precision == "bf16"

    forget(stage, job)

    old = stage.store.read_job(job.id)
    assert (read_train_request(old).numerics, read_train_request(old).config.precision) == (
        None,
        "bf16",
    )
    assert describe_precision(old, read_train_request(old)) == "auto → bf16"


def test_a_record_is_written_once(stage: InProcessLab) -> None:
    measure(stage, BF16)
    job = launch(stage, "run")
    stage.look()
    context = JobContext(stage.store, stage.store.read_job(job.id))
    model = find_model(str(stage.settings.home.parent / "tiny"), stage.settings, hub=False)
    first = choose_numerics(context, model, CPU)
    measure(stage, ONEDNN)

    assert choose_numerics(context, model, CPU) == first
    assert read_train_request(stage.store.read_job(job.id)) == first[0]


def test_untrained_scores_are_shared_by_all_precisions(tmp_path: Path) -> None:
    paths = {
        untrained_cache_path(tmp_path, "m", make_config(None, {"precision": precision}), "data")
        for precision in ("auto", "fp32", "bf16")
    }

    assert len(paths) == 1


def test_a_run_whose_base_has_changed_is_not_resumed(stage: InProcessLab) -> None:
    measure(stage, ONEDNN)
    job = die(stage, "run")
    weights = stage.settings.home.parent / "tiny" / "model.safetensors"
    earlier = weights.read_bytes()
    weights.write_bytes(earlier[:-4] + b"\x00\x00\x00\x3f")  # the last weight is 0.5
    stage.play()

    refused = stage.store.read_job(job.id)
    assert refused.state is JobState.FAILED
    assert "The base model local/tiny has changed since run was trained" in refused.message
    assert "model.safetensors in" in refused.message

    weights.write_bytes(earlier)
    stage.resume(job)
    finish(stage, job)
