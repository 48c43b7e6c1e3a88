import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from core.cli.app import app
from core.config import RunConfig
from core.data.disputed_labels import DisputedLabel, change_disputed
from core.data.recipe import Fix, Recipe, Step
from core.data.sources import demo_source
from core.errors import StateConflict
from core.runs import artifacts
from core.runs.compared_runs import (
    compare_runs,
    compare_undisputed,
    describe_pair,
    score_undisputed,
)
from core.runs.descriptions import describe_run_details
from core.runs.requests import TrainRequest
from core.runs.run import Run
from core.storage import files
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store

CLASSES = ("World", "Sports")


def finished(store: Store, name: str, wrong: int, recipe: Recipe | None = None) -> Job:
    """Create a finished run with errors on the first ``wrong`` of 100 texts."""
    request = TrainRequest(config=RunConfig(), source=demo_source(), recipe=recipe)
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


def dispute(store: Store, *rows: int, fingerprint: str = "abcdef012345") -> None:
    labels = [DisputedLabel(row=row, label=CLASSES[row % 2]) for row in rows]
    change_disputed(store, fingerprint, "Demo corpus", labels)


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


def test_disputed_texts_are_left_out_of_a_second_comparison(store: Store, pair: list[Job]) -> None:
    assert compare_undisputed(store, pair) == []
    dispute(store, *range(20, 30))

    (all_texts,), (undisputed,) = compare_runs(store, pair), compare_undisputed(store, pair)

    assert all_texts.paired and undisputed.paired
    assert (all_texts.paired.n, undisputed.paired.n) == (100, 90)
    assert undisputed.paired.difference == pytest.approx(10 / 90)


def test_marks_of_another_version_of_the_data_change_no_score(
    store: Store, pair: list[Job]
) -> None:
    dispute(store, *range(20), fingerprint="012345abcdef")

    assert compare_undisputed(store, pair) == []
    assert score_undisputed(store, Run.of(store, pair[0])) is None


def test_a_run_on_cleaned_texts_has_the_test_split_of_the_original_data(store: Store) -> None:
    step = Step(check="leakage", fix=Fix.DROP, rows=(1,))
    recipe = Recipe(fingerprint="012345abcdef", steps=(step,))
    run = Run.of(store, finished(store, "cleaned", 10, recipe))
    dispute(store, 0, 1, 50, fingerprint="012345abcdef")

    undisputed = score_undisputed(store, run)

    assert undisputed is not None
    assert (undisputed.scores.accuracy.hits, undisputed.scores.accuracy.n) == (89, 97)


def test_details_have_the_scores_without_disputed_labels(store: Store, pair: list[Job]) -> None:
    assert "test_without_disputed" not in describe_run_details(store, pair[1])
    dispute(store, 0, 1, 50)

    described = describe_run_details(store, pair[1])["test_without_disputed"]

    assert isinstance(described, dict)
    assert (described["disputed"], described["rows"]) == (3, 97)
    assert described["accuracy"] == pytest.approx(89 / 97)
    low, high = described["macro_f1_interval"]
    assert low < described["macro_f1"] < high


def test_the_commands_print_both_numbers(home: Path, store: Store, pair: list[Job]) -> None:
    dispute(store, *range(20, 30))

    shown = CliRunner().invoke(app, ["show", "worse"]).stdout
    compared = CliRunner().invoke(app, ["compare", "worse", "better"]).stdout

    assert "without 10 disputed labels: accuracy 77.8%" in shown
    first, heading, second = compared.splitlines()
    assert ("on 100 texts" in first, heading) == (True, "Without disputed labels:")
    assert "on 90 texts" in second
