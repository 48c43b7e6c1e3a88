"""Jobs that pack the runs of a user into zips and restore such zips.

``core.transfer.imports.backup_zip`` describes the content of a zip, and checks each restored run
like an import from an untrusted source.

<home>/jobs/<id of the job>/runs-1.zip, runs-2.zip, …
    The download. Each zip is a backup on its own, small enough to be uploaded on the page.
<home>/restoring/<key>.zip
    An upload until its job has ended.
"""

import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.access import Action, Role, Visitor, require
from core.data.hidden_test import HiddenTest, read_hidden_test
from core.errors import (
    ArtifactDamaged,
    DataError,
    JobNotFound,
    ModelUnavailable,
    NotAllowed,
    StateConflict,
    Stopped,
)
from core.jobs.context import JobContext
from core.jobs.launching import find_jobs, find_latest, launch, read_job_result, read_request
from core.people.classroom import restore_hidden_test
from core.progress import Phase, Progress
from core.runs import artifacts
from core.runs.limits import hold_limits, require_quota
from core.runs.requests import read_train_request
from core.runs.run import Run
from core.storage import accounts, files
from core.storage.job import BUNDLED_OWNERS, Job, JobKind, to_record
from core.storage.recovery import remove_job
from core.storage.resources import MIN_FREE_MB, require_resources
from core.storage.store import Store
from core.transfer.imports.archive import ADAPTER, CONFIG
from core.transfer.imports.backup_zip import (
    FORMAT,
    HEADER,
    PEOPLE,
    TABLE,
    Backup,
    open_backup,
    read_final_test,
    read_keys,
    read_people,
    validate_run,
)
from core.transfer.imports.import_run import install_run
from core.translation import mark

PART_BYTES = 19_000_000  # an upload has up to 20 MB
POINT_BYTES = 250  # of a record, for one point of its curves
STORED = (".safetensors", ".parquet")  # compression hardly shrinks them
STALE_SECONDS = 3600  # age at which an upload without a job is removed
FINAL_TEST_RESTORED = mark(
    "The hidden final test of the backup is now that of the class: prepare the data, then reveal it"
    " on the page Class."
)
FINAL_TEST = set(HiddenTest.model_fields)
MOST_REASONS = 50  # runs for which the result says why they were not restored


class BackupRequest(BaseModel):
    """Pack these ``runs``, with the names of their owners if ``people`` is set."""

    model_config = ConfigDict(frozen=True)

    runs: tuple[str, ...]
    people: bool = False


@dataclass
class PackedRuns:
    """Number of packed runs, and why others were left out, by id."""

    runs: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


class BackupResult(BaseModel):
    """Number of packed ``runs`` and of zips (``parts``), and why others were left out, by id."""

    model_config = ConfigDict(frozen=True)

    runs: int
    left_out: dict[str, str] = {}
    parts: int


def list_own_runs(store: Store) -> list[Job]:
    """List the runs that are over and that the visitor may back up, newest first.

    These are their own runs, or all runs for an admin.
    """
    runs = (
        job
        for job in store.list_jobs(JobKind.TRAIN)
        if job.state.is_finished and job.owner not in BUNDLED_OWNERS
    )
    return [job for job in runs if store.visitor.is_admin or job.owner == store.visitor.id]


def launch_backup(store: Store) -> Job:
    """Queue a backup of the visitor's runs, which replaces an earlier one.

    Raises NotAllowed, NotEnoughRoom, and StateConflict if there is no run to back up.
    """
    require(store.visitor, Action.WORK)
    runs = list_own_runs(store)
    if not runs:
        raise StateConflict("There is no finished run to back up.", "Train one first.")
    request = BackupRequest(runs=tuple(job.id for job in runs), people=store.visitor.is_admin)
    earlier = find_jobs(store, request)
    job = launch(store, request, str(len(runs)))
    for old in earlier:
        if old.state.is_finished and old.id != job.id:
            with suppress(JobNotFound):  # a second click at the same moment has removed it
                remove_job(store, old)
    return job


def find_backups(store: Store) -> list[Job]:
    """List the visitor's own backups, newest first."""
    return find_jobs(store, BackupRequest(runs=()))


def run_backup(context: JobContext, part_bytes: int = PART_BYTES) -> None:
    """Pack the runs of the request into zips of at most ``part_bytes``.

    Raises Stopped and ArtifactDamaged.
    """
    request = read_request(context.job, BackupRequest)
    by_id = {job.id: job for job in context.store.list_jobs(JobKind.TRAIN) if job.state.is_finished}
    # one may have been deleted since
    runs = [by_id[run_id] for run_id in request.runs if run_id in by_id]
    packed, parts = PackedRuns(), split_runs(context.store, runs, part_bytes)
    with context.scratch() as folder:
        for number, part in enumerate(parts, start=1):
            path = folder / f"runs-{number}.zip"
            write_backup(
                context.store,
                part,
                path,
                request.people,
                context.report,
                context.should_stop,
                packed,
            )
            files.replace_file(path, context.folder / path.name)
    context.update_result(
        BackupResult(runs=packed.runs, left_out=packed.left_out, parts=len(parts))
    )


def find_parts(store: Store, job: Job) -> list[Path]:
    """List the zips of a finished backup, in order.

    None for a student while a final test of the class is hidden that the backup may contain.
    """
    if is_hidden(store, job):
        return []
    result = read_job_result(job, BackupResult)
    numbers = range(1, result.parts + 1) if result else ()
    return [
        path
        for number in numbers
        if (path := store.get_folder(job) / f"runs-{number}.zip").is_file()
    ]


def is_hidden(store: Store, job: Job) -> bool:
    """Return whether the visitor must not read a backup, because it may contain a hidden final test
    of the class.
    """
    began_at = job.started_at or job.created_at
    return not store.visitor.is_admin and read_hidden_test(store.settings).hides(began_at)


def split_runs(store: Store, runs: Sequence[Job], most_bytes: int) -> list[list[Job]]:
    """Split runs into parts of at most ``most_bytes``; a larger run is a part on its own."""
    parts: list[list[Job]] = []
    room = 0
    for job in runs:
        size = sum(
            path.stat().st_size for path in _list_files(store.get_folder(job))
        ) + POINT_BYTES * len(store.read_metrics(job.id))
        if size > room or not parts:
            parts.append([])
            room = most_bytes
        parts[-1].append(job)
        room -= size
    return parts


def write_backup(
    store: Store,
    runs: Sequence[Job],
    path: Path,
    with_people: bool,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    packed: PackedRuns,
) -> None:
    """Write the runs into the zip at ``path`` and record the outcome in ``packed``. Raises Stopped.

    Checkpoints, logs and exports are left out: checkpoints only serve to resume a run on this
    machine, and exports can be written again.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(HEADER, json.dumps({"format": FORMAT}))
        if with_people:
            owners, keys = {job.owner for job in runs}, accounts.read_keys(store)
            names = [
                {"id": person.id, "name": person.name}
                | ({"key": keys[person.id]} if person.id in keys else {})
                for person in accounts.list_people(store)
                if person.id in owners | keys.keys() and person.role is Role.STUDENT
            ]
            final_test = read_hidden_test(store.settings).model_dump(include=FINAL_TEST)
            archive.writestr(PEOPLE, json.dumps({"people": names, "final_test": final_test}))
        for number, job in enumerate(runs):
            report(Progress(Phase.PACKING, number, len(runs)))
            if should_stop():
                raise Stopped("The backup was stopped.")
            try:
                _write_run(store, job, archive, with_hidden=with_people)
            except ArtifactDamaged as error:
                packed.left_out[job.id] = error.message
            else:
                packed.runs += 1


def _write_run(store: Store, job: Job, archive: zipfile.ZipFile, *, with_hidden: bool) -> None:
    """Write the record and files of a run. Raises ArtifactDamaged before anything is written.

    Only an admin gets the texts ``with_hidden`` final test of the class.
    """
    folder, prefix = store.get_folder(job), f"runs/{job.id}"
    request = read_train_request(job)
    # a folder of this machine says nothing elsewhere
    source = replace(request.source, folder=None, note="")
    portable = replace(
        job, request_json=request.model_copy(update={"source": source}).model_dump_json(), pid=0
    )
    if (folder / "adapter" / ADAPTER).is_file():
        artifacts.find_adapter(folder)  # raises if a byte of it is wrong
    test = read_hidden_test(store.settings)
    hiding = not with_hidden and test.is_hiding
    if hiding:
        scored = json.dumps(Run.of(store, job).result.to_dict(), allow_nan=False)
        portable = replace(portable, result_json=scored)
    paths = _list_files(folder)
    if with_hidden and (path := artifacts.hidden_path(folder, test)).is_file():
        paths.append(path)
    visible = {
        path: artifacts.read_visible_table(path).to_parquet(index=False)
        for path in paths
        if hiding and path.suffix == ".parquet"
    }
    record = to_record(portable, store.read_metrics(job.id))
    archive.writestr(f"{prefix}/job.json", json.dumps(record, allow_nan=False))
    for path in paths:
        name = f"{prefix}/{path.relative_to(folder).as_posix()}"
        if path in visible:
            archive.writestr(name, visible[path])
            continue
        kind = zipfile.ZIP_STORED if path.suffix in STORED else zipfile.ZIP_DEFLATED
        archive.write(path, name, kind)


def _list_files(folder: Path) -> list[Path]:
    """List the files that are packed in addition to the record."""
    tables = [
        path for path in sorted(folder.glob("predictions-*.parquet")) if TABLE.fullmatch(path.name)
    ]
    named = [folder / "adapter" / ADAPTER, folder / "adapter" / CONFIG, folder / "tags.json"]
    return [path for path in [*named, *tables] if path.is_file()]


class RestoreRequest(BaseModel):
    """Restore the uploads ``keys``, with the file names ``names``, for the visitor ``owner``."""

    model_config = ConfigDict(frozen=True)

    keys: tuple[str, ...]
    names: tuple[str, ...]
    owner: str
    in_charge: bool


class RestoreResult(BaseModel):
    """Ids of restored runs, number of runs that existed, and why others were rejected, by id."""

    model_config = ConfigDict(frozen=True)

    restored: tuple[str, ...]
    already: int
    left_out: dict[str, str]
    final_test: bool = False


@dataclass
class RestoredRuns:
    """Ids of restored runs, number of runs that existed, and why others were left out, by id.

    ``final_test``: whether the hidden final test of the backup is now that of the class.
    """

    restored: list[str] = field(default_factory=list)
    already: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    final_test: bool = False

    def to_result(self) -> RestoreResult:
        """Return the outcome with at most ``MOST_REASONS`` reasons."""
        return RestoreResult(
            restored=tuple(self.restored),
            already=self.already,
            left_out=dict(list(self.left_out.items())[:MOST_REASONS]),
            final_test=self.final_test,
        )


def launch_restore(store: Store, uploads: Mapping[str, bytes]) -> Job:
    """Queue the restoration of ``uploads``: content by file name.

    Raises NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.IMPORT)
    require_resources(
        store.settings, MIN_FREE_MB + sum(map(len, uploads.values())) // 2**20, memory_mb=0
    )
    for leftover in _find_uploads_folder(store).glob("*.zip"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            leftover.unlink(missing_ok=True)
    request = RestoreRequest(
        keys=tuple(_make_upload_key(store, data) for data in uploads.values()),
        names=tuple(name[:120] for name in uploads),
        owner=store.visitor.id,
        in_charge=store.visitor.is_admin,
    )
    current = find_latest(store, request)
    # a worker removes the files before its job has ended
    if current is None or current.state.is_finished:
        for key, data in zip(request.keys, uploads.values(), strict=True):
            files.write_bytes(_find_uploads_folder(store) / f"{key}.zip", data)
    return launch(store, request, ", ".join(request.names)[:110])


def find_restores(store: Store) -> list[Job]:
    """List the visitor's own restorations, newest first."""
    return [job for job in store.list_jobs("restore") if job.owner == store.visitor.id]


def _make_upload_key(store: Store, data: bytes) -> str:
    """Return a key that is equal for the same content and visitor."""
    return hashlib.sha256(store.visitor.id.encode() + b"|" + data).hexdigest()[:16]


def run_restore(context: JobContext) -> None:
    """Restore the uploads of the request.

    Raises Stopped, DataError for a zip that is no backup, and ArtifactDamaged.
    """
    request = read_request(context.job, RestoreRequest)
    restored = RestoredRuns()
    role = Role.TEACHER if request.in_charge else Role.STUDENT
    store = context.store.for_visitor(Visitor(request.owner, "", role))
    paths = [_find_uploads_folder(store) / f"{key}.zip" for key in request.keys]
    try:
        for path, name in zip(paths, request.names, strict=True):
            with open_backup(path, name) as backup:
                restore(store, backup, context.report, context.should_stop, restored)
    finally:
        for path in paths:
            path.unlink(missing_ok=True)
    context.update_result(restored.to_result())


def restore(
    store: Store,
    backup: Backup,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
    restored: RestoredRuns,
) -> None:
    """Restore the runs of a backup for the store's visitor; record the outcome in ``restored``.

    Existing runs are not changed. For an admin the runs keep their owners; any other visitor
    becomes the owner, and the runs count as imported. Raises Stopped, DataError, NotAllowed and
    NotEnoughRoom.
    """
    require(store.visitor, Action.IMPORT)
    runs = backup.list_runs()
    if store.visitor.is_admin:  # before a run can be read with the texts
        restored.final_test |= restore_hidden_test(store, read_final_test(backup))
    for number, run_id in enumerate(runs):
        report(Progress(Phase.RESTORING, number, len(runs)))
        if should_stop():
            raise Stopped("The restoration was stopped.")
        if _exists(store, run_id):
            restored.already += 1
            continue
        require_resources(store.settings, MIN_FREE_MB, memory_mb=0)
        try:
            require_quota(store, runs=1, imported_runs=1)  # before what takes a second
            run = validate_run(store, backup, run_id)
            with hold_limits(store):
                require_quota(store, runs=1, imported_runs=1)
                install_run(store, run)
        except (DataError, ModelUnavailable, NotAllowed) as error:
            restored.left_out[run_id] = f"{error.message} {error.fix}".strip()
            continue
        restored.restored.append(run_id)
    if store.visitor.is_admin:
        accounts.add_restored(store, read_people(backup), read_keys(backup))


def _exists(store: Store, run_id: str) -> bool:
    return (store.settings.jobs / run_id).exists() or any(
        job.id == run_id for job in store.list_jobs()
    )


def _find_uploads_folder(store: Store) -> Path:
    """Return the folder of uploads that wait for the worker."""
    return store.settings.home / "restoring"
