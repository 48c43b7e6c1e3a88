"""Locks that say who is alive.

An ``flock`` is freed by the kernel on any death of its holder, so it tells alive from dead without
looking at pids or clocks.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_SECONDS = 0.2  # someone who only looks holds the lock for an instant


def take_lock(path: Path, patience_seconds: float = PATIENCE_SECONDS) -> int | None:
    """A descriptor that holds the lock on ``path`` until it is closed, or None if someone else has
    it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + patience_seconds
    while not _try_lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return None
        time.sleep(0.01)
    return descriptor


@contextmanager
def holding(path: Path, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[bool]:
    """Hold the lock on ``path`` meanwhile; gives False if someone else has it for longer than
    ``patience_seconds``.
    """
    descriptor = take_lock(path, patience_seconds)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock on ``path``."""
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        return not _try_lock(
            descriptor, fcntl.LOCK_SH
        )  # shared, so that two who look do not take each other for a holder
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
