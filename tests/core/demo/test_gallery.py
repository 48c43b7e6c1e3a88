"""The bundled failures match their descriptions in the gallery."""

import json
import shutil

import pytest

from core.access import GUEST
from core.demo.gallery import FAILURES, GALLERY, open_gallery
from core.jobs import actions
from core.people.classroom import Rules
from core.runs.compared_runs import read_test_result
from core.runs.leaderboard import read_leaderboard
from core.settings import Settings
from core.storage.database import Metric
from core.storage.job import Job, JobKind
from core.storage.store import Store

GUESSING = 1.386  # nats: four classes


@pytest.fixture
def store(home: object) -> Store:
    return Store(Settings())


@pytest.fixture
def runs(store: Store) -> dict[str, Job]:
    return open_gallery(store)


def curve(store: Store, job: Job, split: str) -> list[Metric]:
    return [metric for metric in store.read_metrics(job.id) if metric.split == split]


def accuracy(store: Store, job: Job) -> float:
    return read_test_result(store, job).predictions.scores.accuracy.value


def test_they_join_the_home_once_and_come_back_when_deleted(
    store: Store, runs: dict[str, Job]
) -> None:
    assert open_gallery(store) == runs
    actions.delete(store, runs["gallery-4"])
    assert set(open_gallery(store)) == {failure.id for failure in FAILURES}


def test_a_folder_that_the_database_has_lost_is_taken_in_again(
    store: Store, runs: dict[str, Job]
) -> None:
    with store.transaction() as db:
        db.execute("DELETE FROM jobs WHERE id = 'gallery-3'")

    assert open_gallery(store)["gallery-3"].name == runs["gallery-3"].name


def test_a_run_that_an_earlier_version_copied_gets_its_diagnosis(
    store: Store, runs: dict[str, Job]
) -> None:
    job = runs["gallery-3"]
    result = {name: value for name, value in job.result.items() if name != "diagnosis"}
    store.replace_scores(job, json.dumps(result), job.request_json, job.fingerprint)

    assert open_gallery(store)["gallery-3"].result == job.result


def test_a_guest_sees_them_too(store: Store) -> None:
    store = store.for_visitor(GUEST)
    assert len(open_gallery(store)) == len(FAILURES)


def test_they_are_not_on_the_leaderboard(store: Store, runs: dict[str, Job]) -> None:
    assert read_leaderboard(store, Rules()) == []


def test_nothing_of_the_machine_they_were_trained_on_is_left() -> None:
    for path in GALLERY.rglob("*.json"):
        assert "/tmp" not in path.read_text()
        assert json.loads(path.read_text())
    assert not list(GALLERY.rglob("*.safetensors"))


def test_a_rate_too_high_ends_worse_than_guessing(store: Store, runs: dict[str, Job]) -> None:
    assert (
        max(metric.loss for metric in curve(store, runs["gallery-1"], "train")[:20]) > 2 * GUESSING
    )
    assert (
        min(metric.loss for metric in curve(store, runs["gallery-1"], "validation"))
        > 0.99 * GUESSING
    )


def test_a_rate_too_low_stays_where_it_began(store: Store, runs: dict[str, Job]) -> None:
    losses = [metric.loss for metric in curve(store, runs["gallery-2"], "validation")]
    assert min(losses) > 0.9 * GUESSING


def test_a_rank_of_one_learns_less(store: Store, runs: dict[str, Job]) -> None:
    healthy = json.loads((GALLERY.parent / "runs" / "example" / "job.json").read_text())["metrics"]
    at_step = {
        metric["step"]: metric["loss"] for metric in healthy if metric["split"] == "validation"
    }
    worse = [
        metric.loss > at_step[metric.step]
        for metric in curve(store, runs["gallery-3"], "validation")
        if metric.step in at_step
    ]
    assert worse and all(worse)


def test_short_texts_end_on_a_plateau(store: Store, runs: dict[str, Job]) -> None:
    assert 0.4 < accuracy(store, runs["gallery-4"]) < 0.85


def test_shuffled_labels_teach_nothing(store: Store, runs: dict[str, Job]) -> None:
    assert accuracy(store, runs["gallery-5"]) < 0.45


def test_a_leak_shows_as_a_test_score_above_validation(store: Store, runs: dict[str, Job]) -> None:
    assert accuracy(store, runs["gallery-6"]) > accuracy(store, runs["gallery-4"]) + 0.15
    last = curve(store, runs["gallery-6"], "validation")[-1].accuracy
    assert last is not None and accuracy(store, runs["gallery-6"]) > last + 0.03


def test_a_half_copied_folder_is_no_run(store: Store) -> None:
    temporary = store.settings.jobs / ".gallery-3"
    shutil.copytree(GALLERY / "gallery-3", temporary)
    (temporary / "job.json").unlink()

    assert len(open_gallery(store)) == len(FAILURES)
    assert len(store.list_jobs(JobKind.TRAIN)) == len(FAILURES)
