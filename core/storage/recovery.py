"""Open the database of a home folder, rebuild it from the folders of the jobs, and keep the two in
step where a process is killed in between.

A new database starts with the bundled example run.
"""

import logging
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path

from core.access import MACHINE_OWNER, Action, Visitor, require
from core.errors import ArtifactDamaged, ConfigError, StoreBusy, StoreDamaged
from core.settings import Settings
from core.storage import files
from core.storage.database import METRIC_COLUMNS, Metric, open_pool
from core.storage.job import (
    ACTIVE,
    RECORD,
    Job,
    JobKind,
    JobState,
    check_types,
    make_active_conflict,
)
from core.storage.locks import hold_lock, is_locked
from core.storage.store import Store

EXAMPLE_ID = "example"
REMOVED = "removed.json"  # name of the record of a job whose removal has begun
REPAIR_SECONDS = 15  # the repair of another process takes a second or two

log = logging.getLogger(__name__)
_opened: set[Path] = set()  # databases that this process has opened


def open_store(settings: Settings, visitor: Visitor = MACHINE_OWNER, shared: bool = False) -> Store:
    """Open the store of this home folder for a visitor, or create it. Raises StoreDamaged.

    A ``shared`` one reads from the snapshot of the database. A home folder that was there before,
    such as one on a disk that is no longer mounted, is not created again: raises ConfigError.
    """
    if not settings.database.exists():
        if settings.database in _opened and not settings.jobs.exists():
            raise ConfigError(
                "The home folder of this server is missing.",
                "Put it back, or mount its disk; to begin with an empty one, restart the server.",
            )
        with hold_repair_lock(settings):
            if not settings.database.exists():
                _build(settings)
    _opened.add(settings.database)
    return Store(settings, create=False, visitor=visitor, shared=shared)


def repair(settings: Settings, visitor: Visitor = MACHINE_OWNER) -> tuple[int, Path | None]:
    """Set a damaged or locked database aside and rebuild it from the folders of the runs.

    A usable database is not changed. Curves of runs that had not ended come from the old file, as
    far as it can be read.

    Returns:
        Number of runs, and the new path of the old file; None if there was nothing to repair.

    Raises:
        NotAllowed: The visitor is no admin.
    """
    require(visitor, Action.REPAIR)
    with hold_repair_lock(settings):
        try:
            return _require_sound(settings), None
        except StoreDamaged as error:
            log.warning("%s", error.message)
        aside = _build(settings)
    return len(Store(settings, create=False).list_jobs()), aside


@contextmanager
def hold_repair_lock(settings: Settings) -> Iterator[None]:
    """Hold the lock for creating or repairing the database. Raises StoreBusy."""
    with hold_lock(settings.home / "repair.lock", REPAIR_SECONDS) as held:
        if not held:
            raise StoreBusy("The database is being rebuilt.", "Wait a moment, then try again.")
        yield


def _build(settings: Settings) -> Path | None:
    """Replace the database by one built from the folders; return the new path of the old file.

    The new file gets the name of the database when it is complete, so that no reader sees an empty
    list of runs.
    """
    fresh = settings.database.with_name(f".{settings.database.name}.new")
    for leftover in settings.home.glob(f"{fresh.name}*"):
        leftover.unlink()
    store = Store(settings, database=fresh)
    adopt_folders(store)
    bundled = settings.bundled_runs
    for folder in (
        sorted(path for path in bundled.iterdir() if path.is_dir()) if bundled.is_dir() else ()
    ):
        if not (settings.jobs / folder.name).exists():
            shutil.copytree(folder, settings.jobs / folder.name)
            store.insert_from_folder(settings.jobs / folder.name)
    if settings.database.exists():
        _salvage_metrics(store, settings.database)
    # writes the content of the journal into the file
    open_pool(fresh, settings.busy_seconds).close()
    aside = settings.database.with_name(
        f"{settings.database.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}"
    )
    # with its journals: that of another file would be replayed into the new one
    for suffix in ("", "-wal", "-shm"):
        old = settings.database.with_name(settings.database.name + suffix)
        if old.exists():
            os.replace(old, aside.with_name(aside.name + suffix))
    files.disk.rename(fresh, settings.database)
    files.disk.sync(settings.home)
    return aside if aside.exists() else None


def adopt_folders(store: Store) -> None:
    """Insert the job of every folder; a folder that cannot be read is logged and not changed."""
    for folder in sorted(path for path in store.settings.jobs.glob("[!.]*") if path.is_dir()):
        try:
            job = store.insert_from_folder(folder)
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


def finish_changes(store: Store) -> None:
    """Finish what killed processes have left between the folder of a job and its row.

    An imported run that was complete on disk is listed; the folder of a deleted job is removed.
    """
    # the folders first: a new job has its row before its folder
    folders = [path for path in store.settings.jobs.glob("[!.]*") if path.is_dir()]
    known = {job.id for job in store.for_visitor(MACHINE_OWNER).list_jobs()}
    for folder in folders:
        if folder.name in known:
            continue
        try:
            if (folder / RECORD).exists():
                job = store.insert_from_folder(folder)
                log.info("%s %s is listed: its import was interrupted", job.id, job.name)
            elif (folder / REMOVED).exists():
                files.remove_folder(folder)
        except (
            ArtifactDamaged,
            OSError,
        ) as error:  # one folder must not keep a server from starting
            log.warning("%s", error)


def _require_sound(settings: Settings) -> int:
    """Return the number of jobs. Raises StoreDamaged if any page is unreadable, or not writable."""
    store = Store(settings, create=False)
    store.check()
    return len(store.list_jobs())


def _salvage_metrics(store: Store, damaged: Path) -> None:
    """Copy curves from the old file for runs whose record has none."""
    bare = [job for job in store.list_jobs(JobKind.TRAIN) if not store.read_metrics(job.id)]
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


def list_dependents(store: Store, run: Job) -> list[Job]:
    """List the jobs that used the run, such as files classified with it, newest first."""
    dependents = []
    for job in store.list_jobs():
        try:
            if job.request.get("run") == run.id:
                dependents.append(job)
        except ArtifactDamaged:  # what it used is unknown
            continue
    return dependents


def remove_job(store: Store, job: Job) -> None:
    """Remove the job, the jobs that used it, and all their files. Checks no permission.

    Inside ``together`` the files are removed at its end; if the process is killed before that,
    ``finish_changes`` removes them. Raises StateConflict while a worker is executing one of them.
    """
    # all states are read before anything is deleted: a refused removal must delete nothing
    jobs = [*list_dependents(store, job), store.read_job(job.id)]
    active = next((each for each in jobs if each.state.is_active), None)
    if active is not None:
        raise make_active_conflict(active, job)
    with store.together():
        for each in jobs:
            folder = store.get_folder(each)
            # a folder without its record is no import that lacks its row; a rename needs no room
            with suppress(FileNotFoundError):
                files.disk.rename(folder / RECORD, folder / REMOVED)
                store.on_failure(partial(_restore_record, folder))
            store.delete(each)
            store.after(partial(_remove_folder, folder))


def _restore_record(folder: Path) -> None:
    if not (folder / RECORD).exists():  # else a newer one was written meanwhile
        files.disk.rename(folder / REMOVED, folder / RECORD)


def _remove_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):
        files.remove_folder(folder)
