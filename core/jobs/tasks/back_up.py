"""All runs of a user in one zip, and the job that makes it. What it looks like inside:
``core.transfer.imports.backup_zip``.

jobs/<id of this job>/runs-1.zip, runs-2.zip, …    what is downloaded; each is a backup by itself, small enough for a page to take it back
"""

import json
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from core.access import Action, Role, require
from core.errors import ArtifactDamaged, JobNotFound, StateConflict, Stopped
from core.jobs.context import JobContext
from core.jobs.launching import find_jobs, launch, read_job_result, read_request
from core.progress import Phase, Progress
from core.runs import artifacts
from core.runs.requests import read_train_request
from core.storage import accounts, files
from core.storage.job import Job, JobKind
from core.storage.recovery import BUNDLED_OWNERS
from core.storage.store import Store, remove_job
from core.transfer.imports.archive import ADAPTER, CONFIG
from core.transfer.imports.backup_zip import FORMAT, HEADER, PEOPLE, TABLE

PART_BYTES = 19_000_000  # an upload has up to 20 MB
POINT_BYTES = 250  # of a record, for one point of its curves
STORED = (".safetensors", ".parquet")  # they hardly shrink


class BackupRequest(BaseModel):
    """Pack these ``runs``, with the names of their owners where ``people`` is set."""

    model_config = ConfigDict(frozen=True)

    runs: tuple[str, ...]
    people: bool = False


@dataclass
class Packed:
    """How many runs are in it, and by id why others are not."""

    runs: int = 0
    left_out: dict[str, str] = field(default_factory=dict)


class BackupResult(BaseModel):
    """How many ``runs`` are in how many zips (``parts``), and by id why others are not."""

    model_config = ConfigDict(frozen=True)

    runs: int
    left_out: dict[str, str] = {}
    parts: int


def own_runs(store: Store) -> list[Job]:
    """The runs that the visitor may take away: their own, or all for who is in charge; those that
    are over, newest first.
    """
    runs = (
        job
        for job in store.jobs(JobKind.TRAIN)
        if job.state.over and job.owner not in BUNDLED_OWNERS
    )
    return [job for job in runs if store.visitor.in_charge or job.owner == store.visitor.id]


def launch_backup(store: Store) -> Job:
    """Queue the zip of the visitor's runs, in the place of an earlier one. Raises NotAllowed,
    NotEnoughRoom, StateConflict without any.
    """
    require(store.visitor, Action.WORK)
    runs = own_runs(store)
    if not runs:
        raise StateConflict("There is no finished run to take away.", "Train one first.")
    request = BackupRequest(runs=tuple(job.id for job in runs), people=store.visitor.in_charge)
    earlier = find_jobs(store, request)
    job = launch(store, request, str(len(runs)))
    for old in earlier:
        if old.state.over and old.id != job.id:
            with suppress(JobNotFound):  # a second click at the same moment has removed it
                remove_job(store, old)
    return job


def find_backups(store: Store) -> list[Job]:
    """The visitor's own backups, newest first."""
    return find_jobs(store, BackupRequest(runs=()))


def run(context: JobContext) -> None:
    """Pack what the request asks for. Raises Stopped, and ArtifactDamaged for a request that is
    none.
    """
    request = read_request(context.job, BackupRequest)
    context.set_running()
    by_id = {job.id: job for job in context.store.jobs(JobKind.TRAIN) if job.state.over}
    runs = [
        by_id[run_id] for run_id in request.runs if run_id in by_id
    ]  # one may have been deleted since
    told, parts = Packed(), split(context.store, runs, PART_BYTES)
    with context.scratch() as place:
        for number, part in enumerate(parts, start=1):
            path = place / f"runs-{number}.zip"
            write_backup(
                context.store,
                part,
                path,
                request.people,
                context.report,
                context.should_stop,
                told,
            )
            files.put(path, context.folder / path.name)
    result = BackupResult(**asdict(told), parts=len(parts))
    context.set_result(**result.model_dump(mode="json"))


def find_parts(store: Store, job: Job) -> list[Path]:
    """The zips of a finished backup, in order."""
    result = read_job_result(job, BackupResult)
    numbers = range(1, result.parts + 1) if result else ()
    return [
        path for number in numbers if (path := store.folder(job) / f"runs-{number}.zip").is_file()
    ]


def split(store: Store, runs: Sequence[Job], most_bytes: int) -> list[list[Job]]:
    """The runs in parts of at most so many bytes; one that is larger stands alone."""
    parts: list[list[Job]] = []
    room = 0
    for job in runs:
        size = sum(path.stat().st_size for path in _files(store.folder(job))) + POINT_BYTES * len(
            store.read_metrics(job.id)
        )
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
    told: Packed,
) -> None:
    """Write the runs into the zip at ``path`` and add to ``told`` what became of them. Raises
    Stopped.

    Checkpoints, logs and exports stay: the first only help to go on training here, the others are
    made again.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(HEADER, json.dumps({"format": FORMAT}))
        if with_people:
            owners = {job.owner for job in runs}
            names = [
                {"id": one.id, "name": one.name}
                for one in accounts.people(store)
                if one.id in owners and one.role is Role.STUDENT
            ]
            archive.writestr(PEOPLE, json.dumps({"people": names}))
        for number, job in enumerate(runs):
            report(Progress(Phase.PACKING, number, len(runs)))
            if should_stop():
                raise Stopped("The backup was stopped.")
            try:
                _write_run(store, job, archive)
            except ArtifactDamaged as error:
                told.left_out[job.id] = error.message
            else:
                told.runs += 1


def _write_run(store: Store, job: Job, archive: zipfile.ZipFile) -> None:
    """All that is told of a run, or nothing of one whose record or adapter is damaged."""
    folder, place = store.folder(job), f"runs/{job.id}"
    request = read_train_request(job)
    source = replace(
        request.source, folder=None, note=""
    )  # a folder of this machine says nothing elsewhere
    told = replace(
        job, request_json=request.model_copy(update={"source": source}).model_dump_json(), pid=0
    )
    metrics = [asdict(metric) for metric in store.read_metrics(job.id)]
    if (folder / "adapter" / ADAPTER).is_file():
        artifacts.find_adapter(folder)  # raises where a byte of it is not right
    archive.writestr(
        f"{place}/job.json", json.dumps({**asdict(told), "metrics": metrics}, allow_nan=False)
    )
    for path in _files(folder):
        kind = zipfile.ZIP_STORED if path.suffix in STORED else zipfile.ZIP_DEFLATED
        archive.write(path, f"{place}/{path.relative_to(folder).as_posix()}", kind)


def _files(folder: Path) -> list[Path]:
    """What is packed beside the record."""
    tables = [
        path for path in sorted(folder.glob("predictions-*.parquet")) if TABLE.fullmatch(path.name)
    ]
    named = [folder / "adapter" / ADAPTER, folder / "adapter" / CONFIG, folder / "tags.json"]
    return [path for path in [*named, *tables] if path.is_file()]
