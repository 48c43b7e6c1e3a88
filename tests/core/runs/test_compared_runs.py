import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from core.cli.app import app
from core.config import RunConfig
from core.data.sources import demo_source
from core.errors import StateConflict
from core.runs import artifacts
from core.runs.compared_runs import compare_runs, describe_pair
from core.runs.requests import TrainRequest
from core.storage import files
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store

CLASSES = ("World", "Sports")


def finished(store: Store, name: str, wrong: int) -> Job:
    """Create a finished run with errors on the first ``wrong`` of 100 texts."""
    request = TrainRequest(config=RunConfig(), source=demo_source())
    job = store.create(
        JobKind.TRAIN, name, request.model_dump(mode="json"), launch_key=f"{name}-{wrong}"
    )
    store.transition(job, JobState.STARTING, started_at=1.0)
    store.transition(job, JobState.RUNNING)
    store.update(job, fingerprint="abcdef012345", result_json=json.dumps({"classes": CLASSES}))
    ids = np.arange(100)
    share = np.where(ids < wrong, 0.2, 0.8)  # of the true class
    labels = ids % 2
    frame = pd.DataFrame(
        {"row": ids, "label": labels, "p0": np.where(labels == 0, share, 1 - share), "loss": 0.5}
    )
    files.write_parquet(
        artifacts.predictions_path(store.get_folder(job), "test"), frame.assign(p1=1 - frame["p0"])
    )
    store.transition(job, JobState.COMPLETED, ended_at=2.0)
    return store.read_job(job.id)


@pytest.fixture
def pair(store: Store) -> list[Job]:
    return [finished(store, "worse", 30), finished(store, "better", 10)]


def test_a_pair_is_described_in_numbers_and_words(store: Store, pair: list[Job]) -> None:
    (result,) = compare_runs(store, pair)

    described = describe_pair(result)

    assert (described["a"], described["b"]) == (pair[0].id, pair[1].id)
    assert described["difference"] == pytest.approx(0.2)
    assert described["p_mcnemar"] == pytest.approx(2 * 0.5**20)
    assert described["decided"] is True
    assert str(described["verdict"]).startswith(
        "better is 20.0 points better than worse on 100 texts"
    )


def test_runs_of_one_name_are_shown_with_their_ids(store: Store) -> None:
    first, second = finished(store, "tiny", 30), finished(store, "tiny", 10)

    (result,) = compare_runs(store, [first, second])

    assert (result.first.name, result.second.name) == (f"tiny ({first.id})", f"tiny ({second.id})")


@pytest.mark.parametrize("number", [1, 11])
def test_fewer_than_two_or_more_than_ten_are_refused(store: Store, number: int) -> None:
    jobs = [finished(store, f"run-{index}", index) for index in range(number)]

    with pytest.raises(StateConflict, match=f"{number} different runs"):
        compare_runs(store, jobs)


def test_the_same_run_twice_is_one_run(store: Store, pair: list[Job]) -> None:
    with pytest.raises(StateConflict, match="1 different runs"):
        compare_runs(store, [pair[0], pair[0]])


def test_a_run_without_scores_is_refused(store: Store, pair: list[Job]) -> None:
    artifacts.predictions_path(store.get_folder(pair[1]), "test").unlink()

    with pytest.raises(StateConflict, match="better has not been scored on test texts"):
        compare_runs(store, pair)


def test_the_command_prints_pairs(home: Path, store: Store, pair: list[Job]) -> None:
    as_json = CliRunner().invoke(app, ["compare", "worse", pair[1].id, "--json"])
    as_text = CliRunner().invoke(app, ["compare", "worse", "better"])

    (result,) = json.loads(as_json.stdout)["pairs"]
    assert result["interval"] == pytest.approx([0.13, 0.28], abs=0.011)
    assert as_text.stdout.startswith("better is 20.0 points better than worse")
    assert CliRunner().invoke(app, ["compare", "worse"]).exit_code == 1
