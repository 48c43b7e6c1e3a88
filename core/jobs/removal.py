"""A job goes with all its files."""

from core import files
from core.states import Job
from core.store import Store


def remove_job(store: Store, job: Job) -> None:
    """Remove the job from database and disk; asks nobody. Raises StateConflict while a worker is at it."""
    store.delete(job)
    if store.folder(job).exists():
        files.remove_folder(store.folder(job))
