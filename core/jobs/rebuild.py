"""Bring jobs into the database from their folders: the shipped example, and all of them after the database was lost."""

import logging
import os
import shutil
import time
from pathlib import Path

from core.errors import ArtifactDamaged, StoreDamaged
from core.jobs.processes import is_locked
from core.settings import Settings
from core.states import ACTIVE, JobState
from core.store import Store

SHIPPED = Path(__file__).parents[1] / "shipped"  # one folder per shipped run
SHIPPED_OWNER = "shipped"

log = logging.getLogger(__name__)


def open_store(settings: Settings) -> Store:
    """The store of this home folder; a new one starts with the shipped example run. Raises StoreDamaged."""
    store = Store(settings)
    if store.created:
        adopt_folders(store)
        for folder in sorted(path for path in SHIPPED.iterdir() if path.is_dir()) if SHIPPED.is_dir() else ():
            if not (settings.jobs / folder.name).exists():
                shutil.copytree(folder, settings.jobs / folder.name)
                store.adopt(settings.jobs / folder.name)
    return store


def repair(settings: Settings) -> tuple[int, Path | None]:
    """Set a damaged database aside and rebuild it from the runs' folders: (runs found, where the old file is).

    A database that can be read is left alone. Metrics of runs that had not ended are lost.
    """
    try:
        return len(Store(settings).jobs()), None
    except StoreDamaged:
        aside = settings.database.with_name(f"{settings.database.name}.damaged-{int(time.time())}")
        os.replace(settings.database, aside)
        for suffix in ("-wal", "-shm"):
            settings.database.with_name(settings.database.name + suffix).unlink(missing_ok=True)
        return len(open_store(settings).jobs()), aside


def adopt_folders(store: Store) -> None:
    """Insert every job that a folder describes; one that cannot be read is left where it is and logged."""
    for folder in sorted(path for path in store.settings.jobs.iterdir() if path.is_dir()):
        try:
            job = store.adopt(folder)
        except ArtifactDamaged as error:
            log.warning("%s", error)
            continue
        if job.state in ACTIVE and not is_locked(folder / "lock"):
            store.transition(job, JobState.INTERRUPTED, ended_at=store.clock(), message="The database was lost while this ran.")
