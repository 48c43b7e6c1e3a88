"""What a person can do with jobs. Pages and the command line call these and nothing below them.

Save and delete datasets, with regard to who asks and to the runs that use them.
"""

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel

from core.access import Action, Role, require, sanitize_name
from core.config import Precision, RunConfig
from core.data.dataset import Dataset
from core.data.files.build_splits import BuildOptions, BuiltDataset
from core.data.files.table import FileFormat
from core.data.preparation import find_prepared
from core.data.recipe import Recipe, save_recipe
from core.data.saved import delete_saved, save
from core.data.sources import Source, saved_source
from core.errors import ArtifactDamaged, StateConflict
from core.evaluation.tags import remove_tag, write_tag
from core.jobs.processes import ensure_supervisor
from core.jobs.tasks.classify_file import BatchRequest, keep_texts, read_batch_request
from core.jobs.tasks.embed_texts import MapRequest, find_map_jobs
from core.jobs.tasks.export_run import find_export_jobs
from core.jobs.tasks.nearest_texts import NearestRequest, find_nearest_jobs
from core.people import accounts
from core.runs.guests import make_room
from core.runs.limits import require_within
from core.runs.model_access import require_model
from core.runs.requests import (
    CalibrateRequest,
    PrepareRequest,
    QualityRequest,
    TrainRequest,
    read_calibrate_request,
    read_prepare_request,
    read_proposal,
    read_train_request,
)
from core.runs.run import next_name
from core.runs.run_baselines import BaselineRequest, queue_baselines
from core.runs.sweep import Sweep
from core.storage import files
from core.storage.job import ACTIVE, Job, JobKind, JobState
from core.storage.resources import require_resources
from core.storage.store import LONGEST_NAME, Store, remove_job
from core.transfer.export.formats import TITLES, Format
from core.transfer.export.ready_exports import ExportRequest

if TYPE_CHECKING:
    import pandas as pd


def launch_training(
    store: Store,
    config: RunConfig,
    source: Source,
    *,
    key: str = "",
    preset: str = "",
    name: str = "",
    recipe: Recipe | None = None,
    guess: float | None = None,
) -> Job:
    """Queue a run and see to it that somebody runs it. The same ``key`` twice launches once.

    ``recipe`` cleans its training texts; ``guess`` (0 to 1) is the accuracy that somebody expects.
    Raises NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.LAUNCH)
    if made := store.launched(key):  # before the limits, of which it is a part
        return made
    require_model(store, config.model)
    request = TrainRequest(config=config, source=source, preset=preset, recipe=recipe, guess=guess)
    require_within(store, request)
    require_resources(store.settings)
    if store.visitor.role is Role.TASTER:
        name = ""  # everybody would read what a guest writes
        make_room(store)
    title = sanitize_name(name, LONGEST_NAME) or next_name(store, preset or "custom", config.model)
    return _begin(
        store,
        Action.LAUNCH,
        store.create(
            JobKind.TRAIN, title, request.model_dump(mode="json"), key or secrets.token_hex(8)
        ),
    )


def launch_sweep(store: Store, sweep: Sweep) -> list[Job]:
    """Queue the runs of a set in their order, all or none. The same set twice is launched once.
    Raises NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.LAUNCH_SET)
    require_model(store, *(request.config.model for request in sweep.requests))
    before = Job(
        "", JobKind.TRAIN, "", JobState.QUEUED, 1, store.visitor.id, "{}", 0.0
    )  # stands for each run of the set that comes earlier
    for place, request in enumerate(sweep.requests):
        require_within(store, request, [before] * place)
    require_resources(store.settings)
    jobs = [
        store.create(
            JobKind.TRAIN, name, request.model_dump(mode="json"), f"sweep|{sweep.id}|{place}"
        )
        for place, (request, name) in enumerate(zip(sweep.requests, sweep.names, strict=True))
    ]
    return [_begin(store, Action.LAUNCH, job) for job in jobs]


def launch_preparation(store: Store, source: Source) -> Job:
    """Queue the preparation of a dataset, or return the one that is under way for it."""
    require(store.visitor, Action.WORK)
    for job in store.jobs(JobKind.PREPARE, JobState.QUEUED, *ACTIVE):
        if read_prepare_request(job).source == source:
            return _begin(store, Action.WORK, job)
    request = PrepareRequest(source=source).model_dump(mode="json")
    return _begin(
        store,
        Action.WORK,
        store.create(JobKind.PREPARE, f"Prepare {source.name}", request, secrets.token_hex(8)),
    )


def launch_quality_check(store: Store, dataset: Dataset) -> Job:
    """Queue the search for faults in prepared data, or return the one that is under way for it."""
    wanted = QualityRequest(fingerprint=dataset.fingerprint)
    asked = [
        job for job in store.jobs(JobKind.QUALITY) if job.request == wanted.model_dump(mode="json")
    ]
    return _queue_once(store, JobKind.QUALITY, f"Check {dataset.name}", wanted, asked)


def launch_baselines(store: Store, request: BaselineRequest, name: str) -> Job:
    """Queue the baselines of the data called ``name``, or return the job under way for them. Raises
    NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.WORK)
    require_model(store, request.model)
    require_resources(store.settings)
    return _begin(store, Action.WORK, queue_baselines(store, request, name))


def launch_batch(store: Store, run: Job, name: str, frame: "pd.DataFrame") -> Job:
    """Queue a file's texts (columns text and, if there is one, label) for a run. Raises NotAllowed
    and NotEnoughRoom.
    """
    require(store.visitor, Action.WORK)
    require_resources(store.settings)
    needed = [
        read_batch_request(job).key
        for job in store.jobs(JobKind.CLASSIFY, JobState.QUEUED, *ACTIVE)
    ]
    request = BatchRequest(
        run=run.id, key=keep_texts(store.settings, frame, needed), name=name[:120]
    )
    job = store.create(
        JobKind.CLASSIFY,
        f"Classify {request.name}",
        request.model_dump(mode="json"),
        secrets.token_hex(8),
    )
    return _begin(store, Action.WORK, job)


def keep_recipe(store: Store, recipe: Recipe) -> None:
    """Keep the visitor's cleaning recipe in the making for its data; runs have copies of their own.
    Raises NotAllowed.
    """
    require(store.visitor, Action.WORK)
    save_recipe(store.settings, recipe, store.visitor.shelf)
    accounts.note(store, "change a cleaning recipe", recipe.fingerprint)


def launch_calibration(store: Store, model_id: str, precision: Precision = "auto") -> Job:
    """Queue the measurement of what work costs with this model, or return the one that is under way
    for it.
    """
    require(store.visitor, Action.WORK)
    require_model(store, model_id)
    wanted = CalibrateRequest(model=model_id, precision=precision)
    asked = [job for job in store.jobs(JobKind.CALIBRATE) if read_calibrate_request(job) == wanted]
    return _queue_once(store, JobKind.CALIBRATE, f"Measure {model_id}", wanted, asked)


def launch_map(store: Store, request: MapRequest) -> Job:
    """Queue a map of texts, or return the one that is under way for it. Raises NotAllowed and
    NotEnoughRoom.
    """
    require(store.visitor, Action.WORK)
    require_model(store, *(subject.model for subject in request.subjects))
    return _queue_once(
        store, JobKind.EMBED, f"Map by {request.method}", request, find_map_jobs(store, request)
    )


def launch_export(store: Store, job: Job, target: Format) -> Job:
    """Queue an export of the run, or return the one that is under way. Raises NotAllowed and
    NotEnoughRoom.
    """
    wanted = ExportRequest(run=job.id, format=target)
    return _queue_once(
        store,
        JobKind.EXPORT,
        f"{TITLES[target]} of {job.name}",
        wanted,
        find_export_jobs(store, job, target),
    )


def launch_nearest(store: Store, run: Job) -> Job:
    """Queue the encoding of the run's training texts, or return the job under way for it. Raises
    NotAllowed and NotEnoughRoom.
    """
    return _queue_once(
        store,
        JobKind.NEAREST,
        f"Training texts of {run.name}",
        NearestRequest(run=run.id),
        find_nearest_jobs(store, run),
    )


def _queue_once(
    store: Store, kind: JobKind, name: str, request: BaseModel, asked: Sequence[Job]
) -> Job:
    """The one of ``asked`` that is under way, else a new job; two who ask at once get one. Raises
    NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.WORK)
    require_resources(store.settings)
    job = next((one for one in asked if not one.state.over), None)
    if job is None:
        wanted = request.model_dump(mode="json")
        job = store.create(kind, name, wanted, f"{kind}|{sorted(wanted.items())}|{len(asked)}")
    return _begin(store, Action.WORK, job)


def _begin(store: Store, action: Action, job: Job) -> Job:
    """Write down who asked for the job, and see to it that somebody runs it."""
    accounts.note(store, action, f"{job.id} {job.name}")
    ensure_supervisor(store.settings)
    return job


def stop(store: Store, job: Job) -> Job:
    """Take a queued job out of the queue, or ask a working one to stop. Raises NotAllowed, and
    StateConflict if it is over.
    """
    _require(store, Action.STOP, job)
    now = store.clock()
    waiting = store.transition(job, JobState.CANCELLED, JobState.QUEUED, ended_at=now)
    if not waiting and not store.transition(job, JobState.STOPPING, stop_at=now):
        latest = store.job(job.id)
        if latest.state is not JobState.STOPPING:
            raise StateConflict(
                f"{job.name} is already {latest.state}.", "There is nothing to stop."
            )
    ensure_supervisor(store.settings)
    return store.job(job.id)


def resume(store: Store, job: Job) -> Job:
    """Queue a run that ended early once more; it goes on from its last checkpoint. Raises
    NotAllowed, and StateConflict for any other.
    """
    _require(store, Action.RESUME, job)
    if job.state.resumable and job.kind == JobKind.TRAIN and store.visitor.role is Role.STUDENT:
        require_within(store, read_train_request(job))
    if not job.state.resumable or not store.requeue(job):
        state = store.job(job.id).state
        raise StateConflict(
            f"{job.name} is {state}.", "Only a cancelled, failed or interrupted run can be resumed."
        )
    ensure_supervisor(store.settings)
    return store.job(job.id)


def retry(store: Store, job: Job, *, key: str = "") -> Job:
    """Launch a new run like this one, with the change that its failure proposes (``job.proposal``).
    The same ``key`` twice launches once.

    Raises StateConflict where nothing is proposed, NotAllowed and NotEnoughRoom.
    """
    config = read_proposal(job)
    if config is None:
        raise StateConflict(
            f"{job.name} proposes no change.", "Resume it, or clone it into the form."
        )
    request = read_train_request(job)
    return launch_training(
        store, config, request.source, key=key, preset=request.preset, recipe=request.recipe
    )


def delete(store: Store, job: Job) -> None:
    """Remove a run with all its files. Raises NotAllowed, and StateConflict while a worker is at
    it.
    """
    _require(store, Action.DELETE, job)
    remove_job(store, job)


def rename(store: Store, job: Job, name: str) -> None:
    """Give the run another name. Raises NotAllowed, and StateConflict on an empty one."""
    _require(store, Action.RENAME, job)
    store.rename(job, name)


def tag_text(store: Store, job: Job, row: int, tag: str, note: str) -> None:
    """Keep a tag and a note of a test text with the run; no ``tag`` takes it away. Raises
    NotAllowed, StateConflict, ArtifactDamaged.
    """
    _require(store, Action.TAG, job)
    if tag:
        write_tag(store.folder(job), row, tag, note)
    else:
        remove_tag(store.folder(job), row)


def keep_running(store: Store) -> list[Job]:
    """What is queued or under way, newest first. Sees to it that somebody runs it: a supervisor
    that died, or a restart, is noticed.
    """
    at_work = store.jobs(None, JobState.QUEUED, *ACTIVE)
    if at_work:
        ensure_supervisor(store.settings)
    return at_work


def _require(store: Store, action: Action, job: Job) -> None:
    """Ask whether the visitor may, and write down that it was done."""
    require(store.visitor, action, job.owner)
    accounts.note(store, action, f"{job.id} {job.name}")


def runs_on(store: Store, source: Source) -> list[Job]:
    """All runs that were launched on the saved dataset, newest first."""
    found = []
    for job in store.jobs(JobKind.TRAIN):
        try:
            if read_train_request(job).source == source:
                found.append(job)
        except ArtifactDamaged:  # nobody knows any more what it was trained on
            continue
    return found


def keep_dataset(
    store: Store,
    name: str,
    built: BuiltDataset,
    choice: BuildOptions,
    found: Sequence[FileFormat],
    origin: str = "",
) -> Source:
    """Save the dataset under a name that is free; ``origin`` says where its files are from. Raises
    NotAllowed, DataError.
    """
    require(store.visitor, Action.KEEP_DATA)
    source = save(store.settings, name, built, choice, found, origin=origin)
    accounts.note(store, "save a dataset", source.name)
    return source


def delete_dataset(store: Store, name: str) -> int:
    """Delete the dataset with its prepared copy; how many runs were trained on it. They keep their
    results, texts included.

    Raises NotAllowed, DataError if there is none of that name, and StateConflict while a run that
    uses it waits or is under way.
    """
    require(store.visitor, Action.KEEP_DATA)
    source = saved_source(store.settings, name)
    runs = runs_on(store, source) if source else []
    busy = [job for job in runs if not job.state.over]
    if busy:
        raise StateConflict(
            f"The dataset {name!r} is in use by {busy[0].name}.",
            "Stop the run or wait for its end, then delete.",
        )
    prepared = find_prepared(store.settings, source) if source else None
    delete_saved(store.settings, name)
    accounts.note(store, "delete a dataset", name)
    if prepared is not None:
        files.remove_folder(prepared.folder)
    return len(runs)
