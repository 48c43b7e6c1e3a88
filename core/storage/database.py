"""Schema and migrations of the SQLite database, and a pool of open connections.

To open a connection and read its schema costs more than a short query.
"""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from core.errors import StoreDamaged


@dataclass(frozen=True, slots=True)
class Metric:
    """One point of a curve.

    A training step has a loss and a speed; a validation also has accuracy and macro-F1.
    """

    step: int
    split: Literal["train", "validation"]
    epoch: float
    loss: float
    at: float
    accuracy: float | None = None
    macro_f1: float | None = None
    learning_rate: float | None = None
    rows_per_second: float | None = None
    best: bool = False
    id: int = 0


METRIC_FIELDS = tuple(field.name for field in fields(Metric) if field.name != "id")
METRIC_COLUMNS = ", ".join(METRIC_FIELDS)

MIGRATIONS = (  # version n is reached by running the first n; a published one is never edited
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL,
        attempt INTEGER NOT NULL, owner TEXT NOT NULL, launch_key TEXT NOT NULL UNIQUE,
        request_json TEXT NOT NULL, created_at REAL NOT NULL,
        phase TEXT NOT NULL, done INTEGER NOT NULL, total INTEGER NOT NULL, pid INTEGER NOT NULL,
        started_at REAL, ended_at REAL, heartbeat_at REAL, stop_at REAL, fingerprint TEXT NOT NULL,
        cause TEXT NOT NULL, message TEXT NOT NULL, fix TEXT NOT NULL, error_id TEXT NOT NULL,
        result_json TEXT NOT NULL, version INTEGER NOT NULL
    );
    CREATE INDEX jobs_by_state ON jobs (state, created_at);
    CREATE TABLE metrics (
        id INTEGER PRIMARY KEY AUTOINCREMENT, job_id TEXT NOT NULL, step INTEGER NOT NULL,
        split TEXT NOT NULL, epoch REAL NOT NULL, loss REAL NOT NULL, at REAL NOT NULL,
        accuracy REAL, macro_f1 REAL, learning_rate REAL, rows_per_second REAL,
        best INTEGER NOT NULL
    );
    CREATE INDEX metrics_by_job ON metrics (job_id, id);
    """,
    "ALTER TABLE jobs ADD COLUMN proposal_json TEXT NOT NULL DEFAULT '{}'",
    """
    CREATE TABLE people (
        id TEXT PRIMARY KEY, name TEXT NOT NULL, role TEXT NOT NULL,
        key_hash TEXT NOT NULL UNIQUE, joined_at REAL NOT NULL
    );
    CREATE TABLE options (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE audit (
        at REAL NOT NULL, visitor TEXT NOT NULL, action TEXT NOT NULL, what TEXT NOT NULL
    );
    """,
    "ALTER TABLE jobs ADD COLUMN phase_at REAL",
    """
    ALTER TABLE people ADD COLUMN seen_at REAL;
    CREATE TABLE browsers (
        token_hash TEXT PRIMARY KEY, person TEXT NOT NULL, at REAL NOT NULL
    );
    CREATE TABLE wrong_tries (
        kind TEXT NOT NULL, address TEXT NOT NULL, browser TEXT NOT NULL, tries INTEGER NOT NULL,
        last_at REAL NOT NULL, PRIMARY KEY (kind, address, browser)
    );
    CREATE TABLE drafts (
        person TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (person, name)
    );
    """,
    """
    CREATE TABLE lessons (
        title TEXT PRIMARY KEY, content TEXT NOT NULL, stored_at REAL NOT NULL
    );
    CREATE TABLE open_lessons (
        id TEXT PRIMARY KEY, owner TEXT NOT NULL, content TEXT NOT NULL, step INTEGER NOT NULL,
        revealed INTEGER NOT NULL, deadline REAL, started_at REAL NOT NULL, ended_at REAL
    );
    CREATE INDEX open_lessons_by_owner ON open_lessons (owner, ended_at, started_at);
    CREATE TABLE lesson_entries (
        lesson TEXT NOT NULL, step INTEGER NOT NULL, person TEXT NOT NULL, kind TEXT NOT NULL,
        value TEXT NOT NULL, at REAL NOT NULL, PRIMARY KEY (lesson, step, person, kind)
    );
    """,
    """
    CREATE TABLE uses (kind TEXT NOT NULL, user TEXT NOT NULL, at REAL NOT NULL);
    CREATE INDEX uses_by_user ON uses (kind, user, at);
    """,
    """
    CREATE TABLE lesson_pins (
        id TEXT PRIMARY KEY, lesson TEXT NOT NULL, step INTEGER NOT NULL, person TEXT NOT NULL,
        title TEXT NOT NULL, about TEXT NOT NULL, alt TEXT NOT NULL, svg TEXT NOT NULL,
        at REAL NOT NULL
    );
    CREATE INDEX lesson_pins_by_person ON lesson_pins (lesson, person, at);
    """,
)


def migrate(db: sqlite3.Connection) -> None:
    """Migrate the database to the newest version.

    Raises StoreDamaged if it is newer than this program.
    """
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise StoreDamaged(
            f"The database has schema version {version}; this program supports {len(MIGRATIONS)}.",
            "Update LoRA Lab.",
        )
    if version == len(MIGRATIONS):
        return
    db.execute("PRAGMA journal_mode = WAL")
    # of two processes that open a new database at once, the second waits and has nothing to do
    db.execute("BEGIN IMMEDIATE")
    current = int(db.execute("PRAGMA user_version").fetchone()[0])
    for number, script in enumerate(MIGRATIONS[current:], start=current + 1):
        for statement in filter(str.strip, script.split(";")):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {number}")


READING = ("SELECT", "PRAGMA")  # statements that do not write
TURN_SECONDS = 10.0  # longer than any transaction
IDLE = 4  # connections kept for the next use; each may hold 2 MB of pages

FileIdentity = tuple[int, int, int, int]

log = logging.getLogger(__name__)


class WriteCount:
    """Number of transactions of this process that may have written, to any file. Thread-safe."""

    def __init__(self) -> None:
        self.value = 0
        self._lock = Lock()

    def add(self) -> None:
        """Count a transaction that has ended."""
        with self._lock:
            self.value += 1


writes = WriteCount()


class TurnConnection(sqlite3.Connection):
    """A connection whose first write in a transaction waits for those of other threads.

    SQLite's own wait for a writer sleeps up to 100 ms at a time, so when a whole class writes at
    once, some would wait for seconds, even while the database is free.
    """

    turn: Lock  # of the pool
    has_turn = False
    wrote = False  # perhaps, in the current transaction

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        """Execute a statement, in turn if it may write."""
        if not sql.lstrip().startswith(READING):
            self._wait()
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        """Execute a statement that writes, in turn."""
        self._wait()
        return super().executemany(sql, parameters)

    def end_turn(self) -> None:
        """Count a transaction that may have written, and let the next thread write."""
        if self.wrote:
            self.wrote = False
            writes.add()
        if self.has_turn:
            self.has_turn = False
            self.turn.release()

    def _wait(self) -> None:
        self.wrote = True
        # after this time SQLite waits, and reports what holds the database
        self.has_turn = self.has_turn or self.turn.acquire(timeout=TURN_SECONDS)


class SqlitePool:
    """Open connections of this process to one file. Thread-safe: a connection has one user at a
    time.

    A file that was replaced, damaged or restored from outside counts as another file: its
    connections are closed, and it is opened again.
    """

    def __init__(self, database: Path, busy_seconds: float) -> None:
        self._database = database
        self._busy_seconds = busy_seconds
        self._idle: list[tuple[FileIdentity, TurnConnection]] = []
        self._turn = Lock()
        self._joined = threading.local()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Join the transactions of this thread inside the context into one."""
        if getattr(self._joined, "connection", None) is not None:  # it is nested
            yield
            return
        later, undo = list[Callable[[], None]](), list[Callable[[], None]]()
        try:
            with self.transaction() as db:
                self._joined.connection, self._joined.later, self._joined.undo = db, later, undo
                try:
                    yield
                finally:
                    self._joined.connection = None
        except BaseException:
            for act in reversed(undo):
                try:
                    act()
                except OSError as error:  # the first error says what has failed
                    log.warning("%s", error)
            raise
        errors = list[OSError]()
        for act in later:
            try:
                act()
            except OSError as error:  # what is stored must not keep its other files
                errors.append(error)
        if errors:
            raise errors[0]

    def after(self, act: Callable[[], None]) -> None:
        """Call ``act`` at the end of ``together``, if its transaction succeeds; outside, at once.

        An OSError is raised when all others were called.
        """
        if getattr(self._joined, "connection", None) is None:
            act()
        else:
            self._joined.later.append(act)

    def on_failure(self, act: Callable[[], None]) -> None:
        """Call ``act`` if the transaction of ``together`` fails, the last one first.

        Raises RuntimeError outside of ``together``, where nothing can fail later.
        """
        if getattr(self._joined, "connection", None) is None:
            raise RuntimeError("on_failure needs an open transaction of together")
        self._joined.undo.append(act)

    @contextmanager
    def transaction(self, create: bool = False) -> Iterator[TurnConnection]:
        """Run a transaction; without ``create`` a missing file is an error.

        Raises what SQLite raises, and then closes the connection.
        """
        if (joined := getattr(self._joined, "connection", None)) is not None:
            yield joined
            return
        identity, db = self._take(create)
        try:
            with db:
                yield db
        except BaseException:
            db.close()
            raise
        finally:
            db.end_turn()
        if len(self._idle) < IDLE:
            self._idle.append((identity, db))
        else:
            db.close()

    def close(self) -> None:
        """Close all idle connections, because the file is about to be moved."""
        while self._idle:
            self._idle.pop()[1].close()

    def __del__(self) -> None:
        """Close when the cache drops this object: Python 3.13 warns about open connections."""
        self.close()

    def _take(self, create: bool) -> tuple[FileIdentity, TurnConnection]:
        identity = self._identify()
        while self._idle:
            try:
                known, db = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            if known == identity:
                return known, db
            db.close()
        mode = "rwc" if create else "rw"
        url = f"{self._database.absolute().as_uri()}?mode={mode}"
        db = sqlite3.connect(
            url,
            timeout=self._busy_seconds,
            uri=True,
            check_same_thread=False,
            factory=TurnConnection,
        )
        db.turn = self._turn
        db.row_factory = sqlite3.Row
        try:
            db.execute("PRAGMA synchronous = FULL")
        except BaseException:
            db.close()
            raise
        return identity, db

    def _identify(self) -> FileIdentity:
        try:
            status = self._database.stat()
        except FileNotFoundError:
            return (0, 0, 0, 0)
        return (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def open_pool(database: Path, busy_seconds: float) -> SqlitePool:
    """Return the pool of this file, which all callers share.

    A write waits for ``busy_seconds`` for another process's write.
    """
    return SqlitePool(database, busy_seconds)


def read_metrics(db: sqlite3.Connection, job_id: str, after: int) -> list[Metric]:
    """Read the rows of a job with an id above ``after``, in order."""
    rows = db.execute(
        f"SELECT {METRIC_COLUMNS}, id FROM metrics WHERE job_id = ? AND id > ? ORDER BY id",
        (job_id, after),
    )
    return [Metric(*row) for row in rows]


def append_metrics(
    job_id: str, db: sqlite3.Connection, earlier: list[Metric] | None
) -> list[Metric]:
    """Append the new rows to those of ``earlier``, unless some of them have been deleted since."""
    last = earlier[-1].id if earlier else 0
    count = "SELECT COUNT(*) FROM metrics WHERE job_id = ? AND id <= ?"
    if earlier and db.execute(count, (job_id, last)).fetchone()[0] != len(earlier):
        earlier, last = None, 0
    new = read_metrics(db, job_id, last)
    return [*(earlier or ()), *new] if new or not earlier else earlier


def insert_metrics(db: sqlite3.Connection, job_id: str, metrics: list[Metric]) -> None:
    """Append the rows in order; the database assigns new ids."""
    rows = [(job_id, *(getattr(metric, name) for name in METRIC_FIELDS)) for metric in metrics]
    marks = ", ".join("?" * len(METRIC_FIELDS))
    db.executemany(
        f"INSERT INTO metrics (job_id, {METRIC_COLUMNS}) VALUES (?, {marks})",
        rows,
    )
