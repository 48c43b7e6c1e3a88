"""Precision auto, which the calibration job decides for this machine."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.jobs.context import JobContext
from core.jobs.workers.calibrate import _time_steps
from core.models.catalog import ModelLocation, find_model
from core.runs.requests import CalibrateRequest
from core.storage.job import Job, JobKind, JobState
from core.storage.machine_speed import StepSeconds, choose_auto_precision, decide_steps
from core.training.adapted_model import ALL_ON
from tests.support.faults.lab import InProcessLab
from tests.support.faults.plan import FaultPlan
from tests.support.tiny_models import write_bert


@pytest.fixture
def stage(tmp_path: Path) -> InProcessLab:
    write_bert(tmp_path / "tiny")
    return InProcessLab(tmp_path / "home", FaultPlan())


def model_of(stage: InProcessLab) -> ModelLocation:
    return find_model(str(stage.settings.home.parent / "tiny"), stage.settings, hub=False)


def launch(stage: InProcessLab, stopwatch: str) -> Job:
    stage.settings = stage.store.settings = replace(stage.settings, stopwatch=stopwatch)
    request = CalibrateRequest(model=model_of(stage).id).model_dump(mode="json")
    return stage.store.create(JobKind.CALIBRATE, "measure", request, stopwatch)


def calibrate(stage: InProcessLab, stopwatch: str) -> Job:
    job = launch(stage, stopwatch)
    stage.play()
    ended = stage.store.read_job(job.id)
    assert ended.state is JobState.COMPLETED, ended.message
    return ended


def test_a_calibration_decides_once_what_auto_is(stage: InProcessLab) -> None:
    first = calibrate(stage, "fp32=1,bf16=0.2,onednn=1")
    second = calibrate(stage, "fp32=1,bf16=5,onednn=1")

    assert [job.result["precision"] for job in (first, second)] == ["bf16", "bf16"]
    assert choose_auto_precision(stage.settings, model_of(stage).name, "cpu") == "bf16"


@pytest.mark.parametrize(("bf16", "timed"), [(0.2, True), (1.5, False)])
def test_a_step_in_bf16_is_timed_where_its_products_are_faster(
    stage: InProcessLab, bf16: float, timed: bool
) -> None:
    context = JobContext(stage.store, launch(stage, f"fp32=1,bf16={bf16},onednn=1"))

    steps = _time_steps(context, model_of(stage), ALL_ON)

    assert 0 < steps.fp32 < 60
    assert (steps.bf16 is not None) is timed


def test_a_decision_for_one_machine_is_none_for_another(stage: InProcessLab) -> None:
    name = model_of(stage).name
    decide_steps(stage.settings, name, lambda: StepSeconds(fp32=1, bf16=0.5))
    moved = replace(stage.settings, threads=stage.settings.used_threads + 1)

    assert choose_auto_precision(stage.settings, name, "cpu") == "bf16"
    assert choose_auto_precision(moved, name, "cpu") == "fp32"
