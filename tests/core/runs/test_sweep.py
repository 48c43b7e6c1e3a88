import json
from dataclasses import astuple

import pytest
from typer.testing import CliRunner

from core.cli.app import app
from core.errors import ConfigError
from core.jobs import actions
from core.runs.requests import read_train_request
from core.runs.sweep import Spread, find_sweep_runs, plan_sweep
from core.storage.job import Job, JobKind
from core.storage.store import Store
from tests.core.runs.test_compared_runs import finished


@pytest.fixture
def run(store: Store, monkeypatch: pytest.MonkeyPatch) -> Job:
    return finished(store, "base", 10)


def test_a_set_is_queued_once_in_the_order_of_its_values(store: Store, run: Job) -> None:
    sweep = plan_sweep(run, "rank", "2, 8, 32")

    first, again = actions.launch_sweep(store, sweep), actions.launch_sweep(store, sweep)

    assert [job.id for job in first] == [job.id for job in again]
    assert [read_train_request(job).config.rank for job in find_sweep_runs(store, sweep.id)] == [
        2,
        8,
        32,
    ]
    assert [job.name for job in first] == ["base · rank 2", "base · rank 8", "base · rank 32"]


def test_another_key_is_another_request(run: Job) -> None:
    assert (
        plan_sweep(run, "seed", "1,2", "a").id
        == plan_sweep(run, "seed", "1, 2", "a").id
        != plan_sweep(run, "seed", "1,2", "b").id
    )


@pytest.mark.parametrize(
    ("field", "values", "message"),
    [
        ("color", "1,2", "There is no field 'color'"),
        ("rank", "2,many", "many"),
        ("rank", "8,8", "1 different values"),
        ("seed", ",".join(map(str, range(11))), "11 different values"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_is_queued(
    store: Store, run: Job, field: str, values: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_sweep(run, field, values)
    assert len(store.list_jobs(JobKind.TRAIN)) == 1


def test_names_of_modules_are_separated_by_semicolons(run: Job) -> None:
    sweep = plan_sweep(run, "target_modules", "query,value; all-linear")

    assert [request.config.target_modules for request in sweep.requests] == [
        ("query", "value"),
        ("all-linear",),
    ]


def test_the_spread_is_that_of_the_sample() -> None:
    spread = Spread.of([0.8, 0.9, 1.0])

    assert astuple(spread) == (3, pytest.approx(0.9), pytest.approx(0.1), 0.8, 1.0)


def test_the_command_queues_or_only_reports(store: Store, run: Job) -> None:
    arguments = ["sweep", "base", "--field", "seed", "--values", "1,2,3", "--json"]

    reported = json.loads(CliRunner().invoke(app, [*arguments, "--dry"]).stdout)
    queued = json.loads(CliRunner().invoke(app, arguments).stdout)

    assert reported["set"] == queued["set"]
    assert [item["run"] for item in queued["runs"]] == [
        job.id for job in find_sweep_runs(store, queued["set"])
    ]
    assert len(reported["runs"]) == 3
