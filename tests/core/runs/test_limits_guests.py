"""Limits for guests of a public page, who may only start Taste runs."""

import secrets

import pytest

from core.access import Visitor
from core.config import RunConfig
from core.data.sources import demo_source
from core.errors import NotAllowed
from core.jobs import actions
from core.presets import DataSize, Preset, make_config
from core.runs import limits
from core.runs.limits import (
    KEPT_GUEST_RUNS,
    MAX_GUEST_RUNS,
    make_guest_trainer,
    require_guest_preset,
)
from core.runs.requests import TrainRequest
from core.storage.job import Job, JobKind, JobState
from core.storage.store import Store

TASTE = make_config(Preset.TASTE)


def launch(
    store: Store, who: Visitor | None = None, config: RunConfig = TASTE, name: str = ""
) -> Job:
    store = store.for_visitor(who or make_guest_trainer())
    return actions.launch_training(
        store,
        TrainRequest(config=config, source=demo_source()),
        name=name,
        key=secrets.token_hex(4),
    )


def end(store: Store, job: Job) -> None:
    store.transition(job, JobState.CANCELLED, only_from=JobState.QUEUED, ended_at=1.0)


def test_a_guest_launches_the_preset_and_gives_it_no_name(store: Store) -> None:
    who = make_guest_trainer()

    job = launch(store, who, name="read this")

    assert (job.owner, job.name) == (who.id, "custom-minilm-01")


@pytest.mark.parametrize(
    "change",
    [
        {"train_rows": 1001},
        {"epochs": 2},
        {"max_tokens": 512},
        {"batch_size": 64},
        {"seed": 1},
        {"model": f"someone/large@{'a' * 40}"},
        {"model": "distilbert"},
    ],
)
def test_other_choices_are_refused(store: Store, change: dict[str, object]) -> None:
    with pytest.raises(NotAllowed, match="only the preset Taste"):
        launch(store, config=TASTE.model_copy(update=change))

    assert store.list_jobs(JobKind.TRAIN) == []


def test_the_same_click_twice_leads_to_the_same_run(store: Store) -> None:
    store = store.for_visitor(make_guest_trainer())

    first, second = (
        actions.launch_training(
            store, TrainRequest(config=TASTE, source=demo_source()), key="click"
        )
        for _ in range(2)
    )

    assert first.id == second.id


def test_one_run_at_a_time_each(store: Store) -> None:
    who = make_guest_trainer()
    first = launch(store, who)

    with pytest.raises(NotAllowed, match="already have a run"):
        launch(store, who)
    actions.stop(store, first)

    assert launch(store, who).state is JobState.QUEUED


def test_that_many_of_all_guests_at_a_time(store: Store) -> None:
    for _ in range(MAX_GUEST_RUNS):
        launch(store)

    with pytest.raises(NotAllowed, match="the limit of this page"):
        launch(store)


def test_the_oldest_that_are_over_make_room_and_runs_of_others_stay(store: Store) -> None:
    hers = store.create(JobKind.TRAIN, "hers", {}, "hers", "ada")
    end(store, hers)
    before = []
    for number in range(KEPT_GUEST_RUNS + 2):
        job = launch(store)
        end(store, job)
        store.get_folder(job).mkdir(parents=True, exist_ok=True)
        with store.transaction() as db:
            db.execute("UPDATE jobs SET created_at = ? WHERE id = ?", (float(number), job.id))
        before.append(job)

    newest = launch(store)

    stored = {job.id for job in store.list_jobs(JobKind.TRAIN)}
    assert stored == {hers.id, newest.id, *(job.id for job in before[-KEPT_GUEST_RUNS:])}
    assert [store.get_folder(job).exists() for job in before[:3]] == [False, False, True]
    limits.remove_old_guest_runs(store)
    assert len(store.list_jobs(JobKind.TRAIN)) == KEPT_GUEST_RUNS + 2


def test_a_guest_may_start_taste_as_it_fits_the_data(store: Store) -> None:
    few = DataSize(200, 20, 50, 4)
    fitted = make_config(Preset.TASTE, None, few)

    require_guest_preset(store, fitted, [], few)

    with pytest.raises(NotAllowed, match="runs only the preset Taste"):
        require_guest_preset(store, fitted, [])
