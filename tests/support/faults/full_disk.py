"""A database that has no room to grow: SQLite itself refuses, by ``PRAGMA max_page_count``."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from core.errors import NotEnoughRoom
from core.settings import Settings
from core.storage.store import Store

ROOMY = 2**30  # pages


class FillableStore(Store):
    """After ``fill`` its database is full for a number of transactions."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.time) -> None:
        self._opened = 0
        self._full_from = self._full_to = 0
        self.refused = 0
        super().__init__(settings, clock)

    def fill(self, after: int, writes: int) -> None:
        """From ``after`` transactions on, ``writes`` of them find no room."""
        self._full_from = self._opened + after
        self._full_to = self._full_from + writes

    def make_room(self) -> None:
        """From here on there is room."""
        self._full_from = self._full_to = 0

    @property
    def is_full(self) -> bool:
        """Whether the next transaction may find no room."""
        return self._full_from <= self._opened + 1 < self._full_to

    @contextmanager
    def transaction(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """The store's, in a database that is full for a while."""
        self._opened += 1
        full = self._full_from <= self._opened < self._full_to
        try:
            with super().transaction(create) as db:
                if create:
                    db.execute(
                        "PRAGMA page_size = 512"
                    )  # a few rows need a new page, so that being full is soon felt
                pages = db.execute("PRAGMA page_count").fetchone()[0] if full else ROOMY
                db.execute(
                    f"PRAGMA max_page_count = {pages}"
                )  # stays with the connection, which serves the next use too
                yield db
        except NotEnoughRoom:
            self.refused += 1
            raise
