"""Connections to a SQLite file that stay open between uses: to open one and read its schema costs
more than a short query.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

BUSY_SECONDS = 10  # how long a write waits for another process's write
IDLE = 4  # connections kept for the next use; each may hold 2 MB of pages

Identity = tuple[int, int, int, int]


class SqlitePool:
    """Those of this process to one file. Safe from any thread: a connection serves one use at a
    time.

    A file that was replaced, damaged or restored from outside is another one: what was open to it
    is closed, and it is opened anew.
    """

    def __init__(self, database: Path) -> None:
        self._database = database
        self._idle: list[tuple[Identity, sqlite3.Connection]] = []

    @contextmanager
    def transaction(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """A transaction. Without ``create`` a missing file stays missing. Raises what SQLite
        raises; then the connection is closed.
        """
        identity, db = self._take(create)
        try:
            with db:
                yield db
        except BaseException:
            db.close()
            raise
        if len(self._idle) < IDLE:
            self._idle.append((identity, db))
        else:
            db.close()

    def close(self) -> None:
        """Close all that are idle: the file is about to be moved."""
        while self._idle:
            self._idle.pop()[1].close()

    def __del__(self) -> None:
        """Close all when the cache drops this object; Python 3.13 warns about connections left
        open.
        """
        self.close()

    def _take(self, create: bool) -> tuple[Identity, sqlite3.Connection]:
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
        db = sqlite3.connect(url, timeout=BUSY_SECONDS, uri=True, check_same_thread=False)
        db.row_factory = sqlite3.Row
        try:
            db.execute("PRAGMA synchronous = FULL")
        except BaseException:
            db.close()
            raise
        return identity, db

    def _identify(self) -> Identity:
        try:
            found = self._database.stat()
        except FileNotFoundError:
            return (0, 0, 0, 0)
        return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=8)
def connection_pool(database: Path) -> SqlitePool:
    """Those to this file, shared by all who ask."""
    return SqlitePool(database)
