"""Bring jobs into the database from their folders: the shipped example, and all of them after the
database was lost.
"""

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from core.access import MACHINE_OWNER, Action, Visitor, require
from core.errors import ArtifactDamaged, StoreBusy, StoreDamaged
from core.settings import Settings
from core.storage import files
from core.storage.job import ACTIVE, JobKind, JobState
from core.storage.job_record import check_types
from core.storage.locks import holding, is_locked
from core.storage.schema import METRIC_COLUMNS, Metric
from core.storage.sqlite_pool import connection_pool
from core.storage.store import Store

SHIPPED = Path(__file__).parents[1] / "demo" / "runs"  # one folder per shipped run
SHIPPED_OWNER, GALLERY_OWNER = "shipped", "gallery"
BUNDLED_OWNERS = (SHIPPED_OWNER, GALLERY_OWNER)  # nobody here trained those
EXAMPLE_ID = "example"
REPAIR_SECONDS = 15  # somebody else's repair takes a second or two

log = logging.getLogger(__name__)


def open_store(settings: Settings, visitor: Visitor = MACHINE_OWNER) -> Store:
    """The store of this home folder, for a visitor; a new one starts with the shipped example run.
    Raises StoreDamaged.
    """
    if not settings.database.exists():
        with alone(settings):
            if not settings.database.exists():
                _build(settings)
    store = Store(settings, create=False)
    store.visitor = visitor
    return store


def repair(settings: Settings, visitor: Visitor = MACHINE_OWNER) -> tuple[int, Path | None]:
    """Set a damaged or held database aside and rebuild it from the runs' folders: (runs found,
    where the old file is).

    A database that can be used is left alone. Curves of runs that had not ended come from the old
    file, as far as it can be read. Raises NotAllowed.
    """
    require(visitor, Action.REPAIR)
    with alone(settings):
        try:
            return _require_sound(settings), None
        except StoreDamaged as error:
            log.warning("%s", error.message)
        aside = _build(settings)
    return len(Store(settings, create=False).jobs()), aside


@contextmanager
def alone(settings: Settings) -> Iterator[None]:
    """While nobody else creates or repairs the database."""
    with holding(settings.home / "repair.lock", REPAIR_SECONDS) as held:
        if not held:
            raise StoreBusy("The database is being rebuilt.", "Wait a moment, then try again.")
        yield


def _build(settings: Settings) -> Path | None:
    """Put a database made from the folders in the place of what is there, which gets the name that
    is returned.

    It is made beside and takes its name when it is complete, so that nobody takes an empty list of
    runs for the truth.
    """
    fresh = settings.database.with_name(f".{settings.database.name}.new")
    for leftover in settings.home.glob(f"{fresh.name}*"):
        leftover.unlink()
    store = Store(settings, database=fresh)
    adopt_folders(store)
    for folder in (
        sorted(path for path in SHIPPED.iterdir() if path.is_dir()) if SHIPPED.is_dir() else ()
    ):
        if not (settings.jobs / folder.name).exists():
            shutil.copytree(folder, settings.jobs / folder.name)
            store.adopt(settings.jobs / folder.name)
    if settings.database.exists():
        _salvage_metrics(store, settings.database)
    connection_pool(fresh).close()  # what is still in the journal beside it goes into the file
    aside = settings.database.with_name(
        f"{settings.database.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    )
    for suffix in (
        "",
        "-wal",
        "-shm",
    ):  # the journal of another file would be played into the new one
        old = settings.database.with_name(settings.database.name + suffix)
        if old.exists():
            os.replace(old, aside.with_name(aside.name + suffix))
    files.disk.rename(fresh, settings.database)
    files.disk.sync(settings.home)
    return aside if aside.exists() else None


def adopt_folders(store: Store) -> None:
    """Insert every job that a folder describes; one that cannot be read is left where it is and
    logged.
    """
    for folder in sorted(path for path in store.settings.jobs.glob("[!.]*") if path.is_dir()):
        try:
            job = store.adopt(folder)
        except ArtifactDamaged as error:
            log.warning("%s", error)
            continue
        if job.state in ACTIVE and not is_locked(folder / "lock"):
            store.transition(
                job,
                JobState.INTERRUPTED,
                ended_at=store.clock(),
                message="The database was lost while this ran.",
            )


def _require_sound(settings: Settings) -> int:
    """How many jobs the database has. Raises StoreDamaged if it cannot be read throughout, or
    nobody can write to it.
    """
    store = Store(settings, create=False)
    store.check()
    return len(store.jobs())


def _salvage_metrics(store: Store, damaged: Path) -> None:
    """Give runs whose record has no curve what the old file still tells of it."""
    bare = [job for job in store.jobs(JobKind.TRAIN) if not store.read_metrics(job.id)]
    with closing(sqlite3.connect(damaged)) as old:
        for job in bare:
            query = f"SELECT {METRIC_COLUMNS} FROM metrics WHERE job_id = ? ORDER BY id"
            try:
                rows = old.execute(query, (job.id,)).fetchall()
                metrics = [Metric(*row) for row in rows]
                for metric in metrics:
                    check_types(metric)
            except (sqlite3.DatabaseError, UnicodeDecodeError, TypeError) as error:
                log.warning(
                    "the curve of %s cannot be read from %s: %s", job.id, damaged.name, error
                )
                continue
            store.add_metrics(job, metrics)
