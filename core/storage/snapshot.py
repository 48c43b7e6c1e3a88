"""The snapshot of a database: values that are read once per change for all visitors of a server.

A read compares the file and SQLite's ``data_version`` with those of the values, which takes some
20 µs and releases the interpreter's lock, for which a busy server waits up to
``sys.getswitchinterval()`` each time. So it is left out if this process has written nothing since
the last one, at most ``CHECK_SECONDS`` ago: a write of this process is visible at its next read,
one of another process after that time, and neither a thread nor a message between processes is
needed.
"""

import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock, RLock
from typing import Any, TypeVar

from core.storage.database import SqlitePool, writes

T = TypeVar("T")
# reads a value, given the value before the last change or None
Query = Callable[[sqlite3.Connection, T | None], T]
CHECK_SECONDS = 0.02  # the parts of one script and those that run meanwhile share one comparison
MOST_VALUES = 64  # jobs, people, options, lessons, and the metrics of runs that are watched


class DatabaseSnapshot:
    """Values read from one database. Thread-safe; values are shared and must not be changed."""

    def __init__(
        self, database: Path, busy_seconds: float, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._timer = timer
        self._pool = SqlitePool(database, busy_seconds)  # one connection, as the lock is held
        self._values: OrderedDict[Hashable, tuple[int, Any]] = OrderedDict()
        self._connection: sqlite3.Connection | None = None
        self._data_version = -1
        self._changes = 0
        self._checked: tuple[float, int] = (float("-inf"), -1)  # when, and writes before that
        self._lock = Lock()
        self._computed: OrderedDict[Hashable, tuple[float, Any]] = OrderedDict()
        self._computing = RLock()

    def read(self, key: Hashable, query: Query[T]) -> T:
        """Return the value of ``key``, read by ``query`` if the database has changed since.

        Raises what SQLite raises.
        """
        at, written = self._checked
        if written == writes.value and self._timer() - at < CHECK_SECONDS:
            changes, value = self._values.get(key, (-1, None))
            if changes == self._changes:  # without the lock, so the value may be dropped meanwhile
                with suppress(KeyError):
                    self._values.move_to_end(key)
                known: T = value
                return known
        return self._read(key, query)

    def _read(self, key: Hashable, query: Query[T]) -> T:
        with self._lock, self._pool.transaction() as db:
            checked = self._timer(), writes.value  # before the comparison
            self._count(db)
            self._checked = checked
            changes, value = self._values.get(key, (-1, None))
            if changes != self._changes:
                value = query(db, value)
                self._values[key] = (self._changes, value)
            self._values.move_to_end(key)
            if len(self._values) > MOST_VALUES:
                self._values.popitem(last=False)
            result: T = value
            return result

    def compute(self, key: Hashable, seconds: float, function: Callable[[], T]) -> T:
        """Return what ``function`` computed for ``key`` at most ``seconds`` ago, else call it.

        ``key`` holds whatever must be visible at once; only one thread computes.
        """
        with self._computing:
            at, value = self._computed.get(key, (float("-inf"), None))
            if self._timer() - at >= seconds:
                value = function()
                self._computed[key] = (self._timer(), value)
            self._computed.move_to_end(key)
            if len(self._computed) > MOST_VALUES:
                self._computed.popitem(last=False)
            result: T = value
            return result

    def _count(self, db: sqlite3.Connection) -> None:
        (version,) = db.execute("PRAGMA data_version").fetchone()
        if db is not self._connection:  # another file, or one that was changed from outside
            self._values.clear()
        if db is not self._connection or version != self._data_version:
            self._changes += 1
            self._connection, self._data_version = db, version


@lru_cache(maxsize=8)
def open_snapshot(database: Path, busy_seconds: float) -> DatabaseSnapshot:
    """Return the snapshot of this file, which all sessions of the process share."""
    return DatabaseSnapshot(database, busy_seconds)
