import json
from dataclasses import asdict

import pytest

from core.errors import ArtifactDamaged
from core.estimate.estimate import run_cost
from core.estimate.workload import Cost
from core.evaluation.scores import Proportion
from core.runs.run import (
    ExpectedCost,
    ResumePoint,
    RunResult,
    SplitScores,
    TrainedParameters,
    read_result,
)
from core.storage.job import Job, JobKind, JobState
from tests.core.runs.test_local_estimate import CONFIG
from tests.support.model_facts import MINILM, NEWS


def job_with(result: object) -> Job:
    text = result if isinstance(result, str) else json.dumps(result)
    return Job(
        "0a1b", JobKind.TRAIN, "first", JobState.COMPLETED, 1, "local", "{}", 0.0, result_json=text
    )


def test_what_is_written_is_read_back() -> None:
    written = RunResult(
        classes=("World", "Sports"),
        data="News",
        expected=ExpectedCost(low_seconds=20, high_seconds=40.5, measured=True),
        resumed=ResumePoint(step=20, skipped=("The checkpoint of step 40 is damaged.",)),
        test=SplitScores(accuracy=0.75, macro_f1=0.7, rows=4, hits=3),
        trained_rows=800,
        cost=run_cost(CONFIG, NEWS, MINILM),
    )

    assert read_result(job_with(json.dumps(written.to_dict()))) == written


def test_only_the_fields_that_were_set_are_stored() -> None:
    assert RunResult(data="News", steps=5).to_dict() == {"data": "News", "steps": 5}


def test_an_empty_result_has_no_scores_and_a_known_configuration() -> None:
    result = read_result(job_with({}))

    assert (result.find_accuracy("test"), result.classes, result.config_known) == (None, None, True)


def test_keys_of_another_version_are_ignored() -> None:
    result = read_result(job_with({"test": {"hits": 3, "rows": 4, "loss": 0.1}, "color": "red"}))

    assert result.find_accuracy("test") == Proportion(3, 4)


def test_scores_without_hits_are_counted_from_the_accuracy() -> None:
    result = read_result(job_with({"test": {"accuracy": 0.755, "rows": 40}}))

    assert result.find_accuracy("test") == Proportion(30, 40)


def test_scores_of_no_texts_are_no_proportion() -> None:
    assert read_result(job_with({"test": {"accuracy": 0.9}})).find_accuracy("test") is None


@pytest.mark.parametrize(
    "result",
    [
        "{",
        "[]",
        {"classes": "World"},
        {"classes": ["World", 2]},
        {"test": []},
        {"test": {"accuracy": "high"}},
        {"test": {"hits": 5, "rows": 2}},
        {"test": {"hits": -1, "rows": 2}},
        {"trained_rows": "800"},
        {"threads": True},
        {"resumed": {"step": None}},
    ],
)
def test_a_damaged_value_is_reported(result: object) -> None:
    with pytest.raises(ArtifactDamaged, match="The record of first is damaged"):
        read_result(job_with(result))


def test_a_cost_in_units_of_another_version_keeps_its_trained_parameters() -> None:
    cost = asdict(run_cost(CONFIG, NEWS, MINILM)) | {"work": {"word": 1.0}, "trained": 75_268}

    result = read_result(job_with({"cost": cost}))

    assert result.cost == TrainedParameters(trained=75_268)
    assert result.trained_parameters == 75_268


def test_a_cost_in_the_units_of_this_version_is_read_with_them() -> None:
    cost = run_cost(CONFIG, NEWS, MINILM)

    assert read_result(job_with({"cost": asdict(cost)})).cost == cost
    assert isinstance(read_result(job_with({"cost": asdict(cost)})).cost, Cost)


@pytest.mark.parametrize(
    ("result", "minutes"),
    [({}, None), ({"train_seconds": 90}, 1.5), ({"train_seconds": 90.0, "threads": 2}, 3.0)],
)
def test_cpu_minutes_are_the_minutes_of_all_threads(
    result: dict[str, object], minutes: float | None
) -> None:
    assert read_result(job_with(result)).cpu_minutes == minutes
