import json
import sqlite3
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as profile
from hypothesis import strategies as st

from core.access import MACHINE_OWNER, Role, Visitor
from core.errors import ArtifactDamaged, JobNotFound, StateConflict, StoreDamaged
from core.settings import Settings
from core.storage import accounts
from core.storage.database import MIGRATIONS, Metric
from core.storage.job import TRANSITIONS, Job, JobKind, JobState, sort_fairly
from core.storage.store import BEGAN, Store


def queue(store: Store, key: str = "key", name: str = "run-01") -> Job:
    return store.create(JobKind.TRAIN, name, {"rank": 8}, key)


def move_to(store: Store, *states: JobState) -> Job:
    job = queue(store)
    for state in states:
        assert store.transition(job, state)
    return store.read_job(job.id)


def test_a_job_reads_back_as_it_was_queued(store: Store) -> None:
    job = queue(store)

    assert store.read_job(job.id) == job
    assert (job.state, job.attempt, job.request) == (JobState.QUEUED, 1, {"rank": 8})


def test_the_same_launch_key_makes_one_job(store: Store) -> None:
    first, second = queue(store, "a"), queue(store, "a", name="other")

    assert first == second
    assert len(store.list_jobs()) == 1


def test_an_unknown_job_is_named_in_the_error(store: Store) -> None:
    with pytest.raises(JobNotFound, match="'nope'"):
        store.read_job("nope")


def test_jobs_are_listed_newest_first_and_filtered_by_state(store: Store) -> None:
    older, newer = queue(store, "a"), queue(store, "b")
    store.transition(older, JobState.STARTING)

    assert [job.id for job in store.list_jobs()] == [newer.id, older.id]
    assert [job.id for job in store.list_jobs(JobKind.TRAIN, states=[JobState.STARTING])] == [
        older.id
    ]
    assert store.list_jobs(JobKind.PREPARE) == []


def test_a_clock_that_is_set_back_makes_no_new_job_an_old_one(store: Store) -> None:
    """Pages show the newest job of a request: a new backup would be made and not be shown."""
    store.clock = lambda: 1e9
    older = queue(store, "a")
    store.clock = lambda: 1e9 - 86_400

    newer, newest = queue(store, "b"), queue(store, "c")

    assert [job.id for job in store.list_jobs()] == [newest.id, newer.id, older.id]
    assert [job.id for job in sort_fairly([newest, newer, older], {})][0] == older.id


def test_a_clock_that_was_ahead_when_the_class_began_archives_no_new_job(store: Store) -> None:
    accounts.write_options(store, {BEGAN: "1e9"})
    store.clock = lambda: 1e9 - 3600

    assert queue(store).created_at > 1e9


@pytest.mark.parametrize("start", list(JobState))
@pytest.mark.parametrize("to", list(JobState))
def test_only_the_transitions_of_the_table_happen(
    store: Store, start: JobState, to: JobState
) -> None:
    job = queue(store)
    with sqlite3.connect(store.settings.database) as db:
        db.execute("UPDATE jobs SET state = ?", (start,))
    db.close()

    assert store.transition(job, to) == (to in TRANSITIONS[start])


def test_a_stale_attempt_cannot_write(store: Store) -> None:
    stale = move_to(store, JobState.STARTING, JobState.FAILED)
    store.requeue(stale)
    store.transition(store.read_job(stale.id), JobState.STARTING)

    assert not store.transition(stale, JobState.RUNNING)
    assert not store.update(stale, done=7)
    store.add_metrics(stale, [Metric(1, "train", 0.1, 0.5, 0.0)])
    assert store.read_metrics(stale.id) == []


def test_requeue_clears_what_the_last_attempt_left(store: Store) -> None:
    job = move_to(store, JobState.STARTING, JobState.FAILED)

    assert store.requeue(job)

    again = store.read_job(job.id)
    assert (again.attempt, again.state, again.message, again.started_at) == (
        2,
        JobState.QUEUED,
        "",
        None,
    )


def test_reader_resumes_after_the_last_row_it_saw(store: Store) -> None:
    job = queue(store)
    store.add_metrics(job, [Metric(step, "train", step / 10, 1 / step, 0.0) for step in (1, 2)])
    seen = store.read_metrics(job.id)
    store.add_metrics(
        job, [Metric(3, "validation", 0.3, 0.2, 0.0, accuracy=0.9, macro_f1=0.8, best=True)]
    )

    new = store.read_metrics(job.id, after=seen[-1].id)

    assert [(metric.step, metric.accuracy) for metric in new] == [(3, 0.9)]


def test_metrics_past_the_checkpoint_are_dropped(store: Store) -> None:
    job = queue(store)
    store.add_metrics(job, [Metric(step, "train", 0, 0, 0.0) for step in range(1, 6)])

    store.drop_metrics_after(job, 3)

    assert [metric.step for metric in store.read_metrics(job.id)] == [1, 2, 3]


def test_a_working_job_is_not_deleted(store: Store) -> None:
    job = move_to(store, JobState.STARTING)

    with pytest.raises(StateConflict, match="Stop it first"):
        store.delete(job)
    assert store.read_job(job.id) == job


def test_deleting_takes_the_metrics_along(store: Store) -> None:
    job = queue(store)
    store.add_metrics(job, [Metric(1, "train", 0, 0, 0.0)])

    store.delete(job)

    assert store.read_metrics(job.id) == []


def test_a_run_needs_a_name(store: Store) -> None:
    with pytest.raises(StateConflict, match="needs a name"):
        store.rename(queue(store), "  ")


def test_bytes_that_are_no_database_are_reported_with_the_remedy(settings: Settings) -> None:
    settings.home.mkdir()
    settings.database.write_bytes(b"no database at all" * 100)

    with pytest.raises(StoreDamaged, match="doctor --repair"):
        Store(settings)


def test_a_newer_schema_is_refused(store: Store) -> None:
    with sqlite3.connect(store.settings.database) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    db.close()

    with pytest.raises(StoreDamaged, match="Update LoRA Lab"):
        Store(store.settings)


def test_job_json_restores_the_row_and_its_curve(store: Store, home: object) -> None:
    job = move_to(store, JobState.STARTING, JobState.RUNNING)
    store.add_metrics(job, [Metric(1, "train", 0.1, 0.5, 3.0)])
    store.transition(job, JobState.COMPLETED)
    folder = store.get_folder(job)
    store.delete(store.read_job(job.id))

    store.insert_from_folder(folder)

    assert store.read_job(job.id).state is JobState.COMPLETED
    assert [replace(metric, id=0) for metric in store.read_metrics(job.id)] == [
        Metric(1, "train", 0.1, 0.5, 3.0)
    ]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id": 1}', b"\x00\xff"])
def test_a_damaged_job_json_is_refused(store: Store, content: bytes) -> None:
    folder = store.settings.jobs / "abcd1234"
    folder.mkdir()
    (folder / "job.json").write_bytes(content)

    with pytest.raises(ArtifactDamaged):
        store.insert_from_folder(folder)


def test_a_folder_cannot_pose_as_another_job(store: Store) -> None:
    job = queue(store)
    foreign = store.settings.jobs / "ffff0000"
    foreign.mkdir()
    (foreign / "job.json").write_bytes((store.get_folder(job) / "job.json").read_bytes())

    with pytest.raises(ArtifactDamaged, match="belongs to"):
        store.insert_from_folder(foreign)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_damaged_record_names_the_run_and_the_remedy(store: Store, text: str) -> None:
    job = replace(queue(store), request_json=text)

    with pytest.raises(ArtifactDamaged, match="run-01 is damaged. Delete the run"):
        job.request  # noqa: B018


@pytest.mark.slow
@profile(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(moves=st.lists(st.sampled_from(JobState), max_size=12))
def test_whatever_is_asked_the_state_stays_on_the_table(
    store: Store, moves: list[JobState]
) -> None:
    job = store.create(JobKind.TRAIN, "walk", {}, launch_key=str(id(moves)) + json.dumps(moves))
    for to in moves:
        before = store.read_job(job.id)
        moved = store.transition(before, to)
        assert store.read_job(job.id).state is (to if moved else before.state)
        assert not moved or to in TRANSITIONS[before.state]


def test_a_store_for_another_visitor_leaves_the_first_one_unchanged(store: Store) -> None:
    ada = Visitor("ada", "Ada", Role.STUDENT)

    other = store.for_visitor(ada)

    assert (other.visitor, store.visitor) == (ada, MACHINE_OWNER)
    assert (queue(other, "key-1").owner, queue(store, "key-2").owner) == (
        "ada",
        MACHINE_OWNER.id,
    )


def test_what_is_undone_on_failure_needs_a_transaction(store: Store) -> None:
    with pytest.raises(RuntimeError, match="together"):
        store.on_failure(lambda: None)


def test_what_is_written_together_is_written_completely_or_not_at_all(store: Store) -> None:
    with pytest.raises(StateConflict), store.together():
        accounts.write_options(store, {"color": "blue"})
        assert accounts.read_options(store) == {"color": "blue"}
        raise StateConflict("No.", "Try again.")
    assert accounts.read_options(store) == {}

    with store.together():
        accounts.write_options(store, {"color": "blue"})
        accounts.write_options(store, {"size": "small"})

    assert accounts.read_options(store) == {"color": "blue", "size": "small"}
