"""A database that cannot grow: SQLite itself refuses, by ``PRAGMA max_page_count``."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import NotEnoughRoom
from core.settings import Settings
from core.storage.store import Store

ROOMY = 2**30  # pages


class FillableStore(Store):
    """Store whose database is full for a number of transactions after ``fill``."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._opened = 0
        self._full_from = self._full_to = 0
        self.refused = 0
        super().__init__(settings, clock)

    def fill(self, after: int, writes: int) -> None:
        """Let ``writes`` transactions fail, starting after ``after`` more of them."""
        self._full_from = self._opened + after
        self._full_to = self._full_from + writes

    def make_room(self) -> None:
        """Let the database grow again."""
        self._full_from = self._full_to = 0

    @property
    def is_full(self) -> bool:
        """Return whether the next transaction may fail."""
        return self._full_from <= self._opened + 1 < self._full_to

    @contextmanager
    def transaction(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Open a transaction, in a full database if requested."""
        self._opened += 1
        full = self._full_from <= self._opened < self._full_to
        try:
            with super().transaction(create) as db:
                if create:
                    db.execute("PRAGMA page_size = 512")  # so that a few rows need a new page
                pages = db.execute("PRAGMA page_count").fetchone()[0] if full else ROOMY
                db.execute(
                    f"PRAGMA max_page_count = {pages}"
                )  # a setting of the connection, which is used again
                yield db
        except NotEnoughRoom:
            self.refused += 1
            raise
