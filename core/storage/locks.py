"""File locks that show whether a process is alive.

The kernel releases an ``flock`` however its holder ends, so no pid or clock has to be compared. Not
the package filelock: a worker inherits the descriptor of a lock that the supervisor took.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOCK_TIMEOUT_SECONDS = 0.2  # ``is_locked`` holds the lock for an instant


def take_lock(path: Path, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> int | None:
    """Return a descriptor that holds the lock until closed; None if another process has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + timeout_seconds
    while not _try_lock(descriptor, fcntl.LOCK_EX):
        if time.monotonic() > deadline:
            os.close(descriptor)
            return None
        time.sleep(0.01)
    return descriptor


@contextmanager
def hold_lock(path: Path, timeout_seconds: float = LOCK_TIMEOUT_SECONDS) -> Iterator[bool]:
    """Hold the lock on ``path``; yields False if another process does not release it in time."""
    descriptor = take_lock(path, timeout_seconds)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether a living process holds the lock on ``path``."""
    if not path.exists():
        return False
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # shared, so that two processes that check at once do not see each other as the holder
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
