"""The log of a run, for who may read it: it tells of the machine, with paths and traces."""

from core.access import Action, require
from core.jobs import artifacts
from core.states import Job
from core.store import Store


def log_tail(store: Store, job: Job) -> str:
    """Its last lines; empty where there is none yet. Raises NotAllowed."""
    require(store.visitor, Action.READ_LOG, job.owner)
    return artifacts.read_log_tail(store.folder(job))


def whole_log(store: Store, job: Job) -> bytes:
    """All of it, of every attempt. Raises NotAllowed."""
    require(store.visitor, Action.READ_LOG, job.owner)
    return artifacts.read_log(store.folder(job))
