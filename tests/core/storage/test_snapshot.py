"""Values that visitors of a server share are read once per change, and filtered for each."""

import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core.access import GUEST, MACHINE_OWNER, Role, Visitor
from core.errors import StoreDamaged
from core.settings import Settings
from core.storage import accounts
from core.storage.database import Metric
from core.storage.snapshot import CHECK_SECONDS, MOST_VALUES, DatabaseSnapshot
from core.storage.store import Store

ADA, BEN = Visitor("ada", "Ada", Role.STUDENT), Visitor("ben", "Ben", Role.STUDENT)
TEACHER = Visitor("mia", "Mia", Role.TEACHER)


@pytest.fixture
def shared(store: Store, settings: Settings) -> Store:
    """A store of the same database that reads from the snapshot."""
    return Store(settings, create=False, shared=True)


def count_queries(snapshot: DatabaseSnapshot, times: list[int]) -> int:
    def query(db: sqlite3.Connection, earlier: int | None) -> int:
        times.append(1)
        return int(db.execute("SELECT COUNT(*) FROM jobs").fetchone()[0])

    return snapshot.read("jobs", query)


def metric(step: int) -> Metric:
    return Metric(step, "train", 0.1, 1.0, float(step))


def test_a_value_is_read_again_only_after_a_change(store: Store) -> None:
    snapshot, times = DatabaseSnapshot(store.database, 10), list[int]()

    assert [count_queries(snapshot, times) for _ in range(3)] == [0, 0, 0]
    store.create("train", "first", {}, "key")
    assert [count_queries(snapshot, times) for _ in range(3)] == [1, 1, 1]
    assert len(times) == 2


def test_the_write_of_another_program_is_seen_at_the_next_comparison(store: Store) -> None:
    now, times = [0.0], list[int]()
    snapshot = DatabaseSnapshot(store.database, 10, timer=lambda: now[0])
    store.create("train", "first", {}, "key")
    assert count_queries(snapshot, times) == 1
    with sqlite3.connect(store.database) as db:
        db.execute("DELETE FROM jobs")

    now[0] = 0.99 * CHECK_SECONDS
    assert count_queries(snapshot, times) == 1
    now[0] = CHECK_SECONDS
    assert count_queries(snapshot, times) == 0


def test_a_write_of_this_process_is_seen_at_the_next_read(store: Store) -> None:
    snapshot = DatabaseSnapshot(store.database, 10, timer=lambda: 0.0)  # no time passes

    for number in range(3):
        assert count_queries(snapshot, []) == number
        store.create("train", "name", {}, f"key {number}")
    assert count_queries(snapshot, []) == 3


def test_writes_of_many_threads_are_each_seen_by_their_author(store: Store) -> None:
    snapshot = DatabaseSnapshot(store.database, 10, timer=lambda: 0.0)

    def read_names(db: sqlite3.Connection, earlier: object) -> set[str]:
        return {row[0] for row in db.execute("SELECT name FROM jobs")}

    def write_and_read(number: int) -> list[bool]:
        seen = []
        for each in range(10):
            store.create("train", name := f"{number}-{each}", {}, name)
            seen.append(name in snapshot.read("names", read_names))
        return seen

    with ThreadPoolExecutor(8) as threads:
        assert all(all(seen) for seen in threads.map(write_and_read, range(8)))


def test_a_job_that_has_not_changed_is_the_same_object(shared: Store) -> None:
    shared.create("train", "first", {}, "first")
    (before,) = shared.list_jobs()
    shared.create("train", "second", {}, "second")

    assert shared.list_jobs()[1] is before


def test_metrics_are_appended_and_read_again_after_a_deletion(shared: Store) -> None:
    job = shared.create("train", "first", {}, "key")
    shared.add_metrics(job, [metric(1), metric(2)])
    first = shared.read_metrics(job.id)
    shared.add_metrics(job, [metric(3)])
    second = shared.read_metrics(job.id)
    assert [each.step for each in second] == [1, 2, 3]
    assert second[0] is first[0]
    assert [each.step for each in shared.read_metrics(job.id, first[-1].id)] == [3]

    shared.drop_metrics_after(job, 1)
    shared.add_metrics(job, [metric(2)])
    assert shared.read_metrics(job.id) == Store(shared.settings).read_metrics(job.id)
    assert [each.step for each in shared.read_metrics(job.id)] == [1, 2]


@pytest.mark.parametrize("visitor", [MACHINE_OWNER, TEACHER, ADA, BEN, GUEST], ids=str)
def test_each_visitor_lists_the_same_jobs_with_and_without_it(
    store: Store, shared: Store, visitor: Visitor
) -> None:
    for person in (ADA, BEN, TEACHER):
        accounts.add_person(store, person, f"hash of {person.id}")
        for name, result in (("own", "{}"), ("imported", '{"imported": "a.zip"}'), ("bad", "{")):
            job = store.create("train", name, {}, f"{person.id} {name}", owner=person.id)
            with store.transaction() as db:
                db.execute("UPDATE jobs SET result_json = ? WHERE id = ?", (result, job.id))
    shared.list_jobs()  # of a visitor who sees everything

    listed = shared.for_visitor(visitor).list_jobs("train")

    assert listed == store.for_visitor(visitor).list_jobs("train")
    imported = {job.owner for job in listed if job.name == "imported"}
    own = {visitor.id} & {"ada", "ben"}
    assert imported == ({"ada", "ben", "mia"} if visitor.is_admin else {"mia", *own})


@pytest.mark.parametrize("shared_reads", [True, False])
def test_a_member_who_is_blocked_is_no_member_at_once(
    settings: Settings, store: Store, shared_reads: bool
) -> None:
    reader = Store(settings, create=False, shared=shared_reads)
    accounts.add_person(store, ADA, "hash")
    assert accounts.find_member(reader, "ada") == ADA
    accounts.set_standing(store, ADA, accounts.Standing.BLOCKED)

    assert accounts.find_member(reader, "ada") is None
    assert not accounts.is_member(reader, ADA)


def test_a_store_that_writes_alone_sees_what_is_not_stored_yet(shared: Store) -> None:
    with shared.alone() as current:
        current.create("train", "first", {}, "key")
        names = [job.name for job in current.list_jobs()]

    assert names == ["first"]


def test_homes_in_one_process_do_not_mix(tmp_path: Path) -> None:
    stores = [Store(Settings(home=tmp_path / name), shared=True) for name in ("a", "b")]
    for store in stores:
        store.create("train", store.settings.home.name, {}, "key")

    assert [[job.name for job in store.list_jobs()] for store in stores] == [["a"], ["b"]]


def test_a_database_that_was_replaced_is_read_from_the_new_file(
    store: Store, tmp_path: Path
) -> None:
    now = [0.0]
    snapshot = DatabaseSnapshot(store.database, 10, timer=lambda: now[0])
    store.create("train", "old", {}, "key")
    assert count_queries(snapshot, []) == 1
    other = Store(Settings(home=tmp_path / "other"))
    for name in ("new", "newer"):
        other.create("train", name, {}, name)
    with sqlite3.connect(other.database) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("-wal", "-shm"):
        store.database.with_name(store.database.name + suffix).unlink(missing_ok=True)
    os.replace(other.database, store.database)

    now[0] = CHECK_SECONDS
    assert count_queries(snapshot, []) == 2


def test_a_database_that_is_missing_is_reported_and_not_created(shared: Store) -> None:
    shared.database.unlink()

    with pytest.raises(StoreDamaged):
        shared.list_jobs()
    assert not shared.database.exists()


def test_a_database_that_is_missing_later_is_reported(store: Store) -> None:
    now = [0.0]
    snapshot = DatabaseSnapshot(store.database, 10, timer=lambda: now[0])
    count_queries(snapshot, [])
    store.database.unlink()

    now[0] = CHECK_SECONDS
    with pytest.raises(sqlite3.OperationalError):
        count_queries(snapshot, [])


def test_a_computed_value_is_shared_until_it_is_too_old(store: Store) -> None:
    now, times = [0.0], list[str]()
    snapshot = DatabaseSnapshot(store.database, 10, timer=lambda: now[0])

    def compute(key: str) -> int:
        def count() -> int:
            times.append(key)
            return len(times)

        return snapshot.compute(key, 2.0, count)

    assert [compute("a"), compute("a"), compute("b")] == [1, 1, 2]
    now[0] = 2.0
    assert [compute("a"), compute("a")] == [3, 3]


def test_only_the_values_used_last_are_stored(store: Store) -> None:
    snapshot, read, computed = DatabaseSnapshot(store.database, 10), list[int](), list[int]()

    def use(number: int) -> None:
        snapshot.read(number, lambda db, earlier: read.append(number))
        snapshot.compute(number, 60.0, lambda: computed.append(number))

    for number in (*range(MOST_VALUES), 0, MOST_VALUES, 0, 1):  # 0 is used again, so 1 is dropped
        use(number)

    assert read == computed == [*range(MOST_VALUES), MOST_VALUES, 1]


def test_a_row_that_cannot_be_parsed_is_reported(shared: Store) -> None:
    job = shared.create("train", "first", json.loads("{}"), "key")
    with shared.transaction() as db:
        db.execute("UPDATE jobs SET state = 'no state' WHERE id = ?", (job.id,))

    with pytest.raises(StoreDamaged):
        shared.list_jobs()
