"""Runs of a backup back in this home, and the job that does it. Each is checked like an import of a
stranger's: ``core.transfer.imports.validate_backup``.
"""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.access import Action, Role, Visitor, require
from core.errors import DataError, ModelUnavailable, Stopped
from core.jobs.context import JobContext
from core.jobs.launching import find_latest, launch, read_request
from core.progress import Phase, Progress
from core.storage import accounts, files
from core.storage.job import Job
from core.storage.resources import MIN_FREE_MB, require_resources
from core.storage.store import Store
from core.transfer.imports.backup_zip import Backup, open_backup
from core.transfer.imports.import_run import install_run
from core.transfer.imports.validate_backup import read_people, validate_run

STALE_SECONDS = 3600
MOST_SAID = 50  # runs of which it is said why they were not restored


class RestoreRequest(BaseModel):
    """Restore the kept uploads ``keys``, which were called ``names``, for this visitor."""

    model_config = ConfigDict(frozen=True)

    keys: tuple[str, ...]
    names: tuple[str, ...]
    owner: str
    in_charge: bool


class RestoreResult(BaseModel):
    """Ids that are back, how many were there before, and by id why others were rejected."""

    model_config = ConfigDict(frozen=True)

    restored: tuple[str, ...]
    already: int
    left_out: dict[str, str]


@dataclass
class Restored:
    """How it went: ids that are back, how many were there before, and by id why others were left
    out.
    """

    restored: list[str] = field(default_factory=list)
    already: int = 0
    left_out: dict[str, str] = field(default_factory=dict)

    def described(self) -> dict[str, object]:
        """As JSON values."""
        return {
            "restored": self.restored,
            "already": self.already,
            "left_out": dict(list(self.left_out.items())[:MOST_SAID]),
        }


def launch_restore(store: Store, uploads: Mapping[str, bytes]) -> Job:
    """Queue the restoration of uploaded backups, by the names that they came under. Raises
    NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.IMPORT)
    require_resources(
        store.settings, MIN_FREE_MB + sum(map(len, uploads.values())) // 2**20, memory_mb=0
    )
    for leftover in _folder(store).glob("*.zip"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            leftover.unlink(missing_ok=True)
    request = RestoreRequest(
        keys=tuple(_upload_key(store, data) for data in uploads.values()),
        names=tuple(name[:120] for name in uploads),
        owner=store.visitor.id,
        in_charge=store.visitor.in_charge,
    )
    current = find_latest(store, request)
    if current is None or current.state.over:  # a worker removes the files before its job is over
        for key, data in zip(request.keys, uploads.values(), strict=True):
            files.write_bytes(_folder(store) / f"{key}.zip", data)
    return launch(store, request, ", ".join(request.names)[:110])


def find_restores(store: Store) -> list[Job]:
    """The visitor's own restorations, newest first."""
    return [job for job in store.jobs("restore") if job.owner == store.visitor.id]


def _upload_key(store: Store, data: bytes) -> str:
    """Equal for the same zip of the same visitor."""
    return hashlib.sha256(store.visitor.id.encode() + b"|" + data).hexdigest()[:16]


def run(context: JobContext) -> None:
    """Do what the request asks for. Raises Stopped, DataError for a zip that is no backup,
    ArtifactDamaged.
    """
    request = read_request(context.job, RestoreRequest)
    context.set_running()
    store, found = context.store, Restored()
    paths = [_folder(store) / f"{key}.zip" for key in request.keys]
    store.visitor = Visitor(request.owner, "", Role.TEACHER if request.in_charge else Role.STUDENT)
    try:
        for path, name in zip(paths, request.names, strict=True):
            with open_backup(path, name) as backup:
                restore(store, backup, context.report, context.should_stop, found)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    context.set_result(**found.described())


def restore(
    store: Store,
    backup: Backup,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    found: Restored,
) -> None:
    """Put back what the backup holds for the store's visitor, and add to ``found`` what became of
    it; what is here is left alone.

    Who is in charge brings runs back to their owners; anybody else becomes the owner, and their
    runs count as imported. Raises Stopped, DataError, NotAllowed, NotEnoughRoom.
    """
    require(store.visitor, Action.IMPORT)
    runs = backup.runs()
    for number, run_id in enumerate(runs):
        report(Progress(Phase.RESTORING, number, len(runs)))
        if should_stop():
            raise Stopped("The restoration was stopped.")
        if _is_here(store, run_id):
            found.already += 1
            continue
        require_resources(store.settings, MIN_FREE_MB, memory_mb=0)
        try:
            one = validate_run(store, backup, run_id)
        except (DataError, ModelUnavailable) as error:
            found.left_out[run_id] = f"{error.message} {error.fix}".strip()
            continue
        install_run(
            store, one.job, one.record, one.config, one.adapter, one.tables, one.extra_files
        )
        found.restored.append(run_id)
    if store.visitor.in_charge:
        accounts.remember(store, read_people(backup))


def _is_here(store: Store, run_id: str) -> bool:
    return (store.settings.jobs / run_id).exists() or any(job.id == run_id for job in store.jobs())


def _folder(store: Store) -> Path:
    """Where uploads wait for the worker."""
    return store.settings.home / "restoring"
