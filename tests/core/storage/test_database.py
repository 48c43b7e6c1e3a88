import gc
import os
import sqlite3
import threading
from pathlib import Path

import pytest

from core.storage.database import IDLE, SqlitePool


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "some.db"
    with SqlitePool(path, busy_seconds=10).transaction(create=True) as db:
        db.execute("CREATE TABLE notes (text TEXT)")
    return path


def read(some: SqlitePool) -> list[str]:
    with some.transaction() as db:
        return [row["text"] for row in db.execute("SELECT text FROM notes")]


def test_a_connection_is_used_again(database: Path) -> None:
    some = SqlitePool(database, busy_seconds=10)
    with some.transaction() as first:
        pass
    with some.transaction() as second, some.transaction() as meanwhile:
        assert second is first
        assert meanwhile is not first


def test_what_failed_is_undone_and_its_connection_is_not_used_again(database: Path) -> None:
    some = SqlitePool(database, busy_seconds=10)
    with pytest.raises(ZeroDivisionError), some.transaction() as first:
        first.execute("INSERT INTO notes VALUES ('half')")
        raise ZeroDivisionError

    assert read(some) == []
    with pytest.raises(sqlite3.ProgrammingError):
        first.execute("SELECT 1")


def test_a_file_that_was_replaced_is_opened_again(database: Path, tmp_path: Path) -> None:
    some = SqlitePool(database, busy_seconds=10)
    assert read(some) == []
    other = tmp_path / "other.db"
    with SqlitePool(other, busy_seconds=10).transaction(create=True) as db:
        db.execute("CREATE TABLE notes (text TEXT)")
        db.execute("INSERT INTO notes VALUES ('from the other')")
    os.replace(other, database)

    assert read(some) == ["from the other"]


def test_a_file_that_was_damaged_in_place_is_noticed(database: Path) -> None:
    some = SqlitePool(database, busy_seconds=10)
    assert read(some) == []
    database.write_bytes(b"\xff" * 8192)

    with pytest.raises(sqlite3.DatabaseError):
        read(some)


def test_a_missing_file_stays_missing(database: Path) -> None:
    some = SqlitePool(database, busy_seconds=10)
    assert read(some) == []
    database.unlink()

    with pytest.raises(sqlite3.OperationalError):
        read(some)
    assert not database.exists()


def test_closing_leaves_everything_in_the_file(database: Path) -> None:
    some = SqlitePool(database, busy_seconds=10)
    with some.transaction() as db:
        db.execute("PRAGMA journal_mode = WAL")
    with some.transaction() as db:
        db.execute("INSERT INTO notes VALUES ('kept')")

    some.close()

    assert [path.name for path in database.parent.iterdir()] == [database.name]
    assert read(SqlitePool(database, busy_seconds=10)) == ["kept"]


@pytest.mark.slow
def test_many_threads_write_at_once_and_few_connections_remain(database: Path) -> None:
    some = SqlitePool(database, busy_seconds=10)
    together = threading.Barrier(12)

    def write() -> None:
        together.wait()
        for _ in range(20):
            with some.transaction() as db:
                db.execute("INSERT INTO notes VALUES ('one')")

    threads = [threading.Thread(target=write) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(read(some)) == 240
    assert len(some._idle) <= IDLE + 1


def test_connections_close_with_the_object_that_holds_them(tmp_path: Path) -> None:
    held = SqlitePool(tmp_path / "lab.db", busy_seconds=10)
    with held.transaction(create=True) as db:
        db.execute("CREATE TABLE t (x)")

    del held
    gc.collect()

    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        db.execute("SELECT 1")


def test_writes_of_threads_wait_for_each_other_even_if_sqlite_does_not_wait(
    database: Path,
) -> None:
    some = SqlitePool(database, busy_seconds=0)
    errors: list[sqlite3.Error] = []

    def write() -> None:
        try:
            with some.transaction() as db:
                db.execute("INSERT INTO notes VALUES ('second')")
        except sqlite3.Error as error:
            errors.append(error)

    second = threading.Thread(target=write)
    with some.transaction() as first:
        first.execute("INSERT INTO notes VALUES ('first')")
        second.start()
        second.join(0.2)  # long enough to fail
    second.join()

    assert errors == []
    assert read(some) == ["first", "second"]


def test_a_failed_write_ends_its_turn(database: Path) -> None:
    some = SqlitePool(database, busy_seconds=0)
    with pytest.raises(sqlite3.OperationalError), some.transaction() as db:
        db.execute("INSERT INTO missing VALUES ('first')")

    with some.transaction() as db:
        db.executemany("INSERT INTO notes VALUES (?)", [("second",)])
        assert db.has_turn
    assert read(some) == ["second"]


def test_what_follows_a_transaction_is_done_although_the_first_of_it_fails(
    database: Path,
) -> None:
    pool, done = SqlitePool(database, busy_seconds=10), list[str]()

    def fail() -> None:
        raise OSError("unreadable")

    with pytest.raises(OSError, match="unreadable"), pool.together():
        pool.after(fail)
        pool.after(lambda: done.append("second"))

    assert done == ["second"]


def test_nothing_follows_a_transaction_that_fails(database: Path) -> None:
    pool, done = SqlitePool(database, busy_seconds=10), list[str]()

    with pytest.raises(ZeroDivisionError), pool.together():
        pool.after(lambda: done.append("first"))
        raise ZeroDivisionError

    assert done == []
