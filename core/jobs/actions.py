"""Actions of users on runs, datasets and jobs that need more than ``launching.launch``.

Each function checks permission and resources and writes to the audit log. Pages and the command
line call these and nothing below them.
"""

import secrets
from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from core.access import Action, Role, require, sanitize_name
from core.data.disputed_labels import DisputedLabel, change_disputed
from core.data.preparation import find_whole, remove_prepared
from core.data.recipe import Recipe, save_recipe
from core.data.saved import delete_saved, save
from core.data.sources import Source, saved_source
from core.data.splits.build_splits import BuildOptions, BuiltDataset
from core.data.tables.table import FileFormat
from core.errors import ArtifactDamaged, StateConflict
from core.evaluation.error_analysis import remove_tag, write_tag
from core.jobs.launching import announce_launch, enqueue, find_kind_for, launch, read_request
from core.jobs.supervisor import ensure_supervisor
from core.jobs.tasks.classify_texts import (
    BatchRequest,
    assemble_table,
    request_batch,
    write_classified,
)
from core.jobs.tasks.text_batch import Batch, store_batch
from core.runs.limits import (
    hold_limits,
    remove_old_guest_runs,
    require_model,
    require_quota,
    require_request_allowed,
)
from core.runs.requests import TrainRequest, read_proposal, read_train_request
from core.runs.run import Run, choose_name
from core.runs.sweep import Sweep
from core.storage import accounts
from core.storage.job import UNFINISHED, Job, JobKind, JobState
from core.storage.recovery import remove_job
from core.storage.resources import require_resources
from core.storage.store import LONGEST_NAME, Store, date_last, insert_job


def launch_training(store: Store, request: TrainRequest, *, name: str = "", key: str = "") -> Job:
    """Queue a run and start the queue. A repeated ``key`` returns the run that it launched.

    Raises NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.LAUNCH)
    if launched := store.find_launched(key):  # before the limits, which would count it
        return launched
    require_model(store, request.config.model)
    with hold_limits(store):
        require_quota(store, runs=1)
        require_request_allowed(store, request)
        require_resources(store.settings)
        if store.visitor.role is Role.GUEST_TRAINER:
            name = ""  # every visitor would see the text of a guest
            remove_old_guest_runs(store)
        with store.alone() as current:  # another run that begins now must not get the same name
            title = sanitize_name(name, LONGEST_NAME) or choose_name(
                current, request.preset or "custom", request.config.model
            )
            job = enqueue(current, request, title, key, log=True)
    return announce_launch(store, job)


def launch_sweep(store: Store, sweep: Sweep) -> list[Job]:
    """Queue the runs of a sweep in their order. A repeated sweep is launched once.

    Permission, limits and resources are checked for all runs before the first is queued. A disk
    that fills up in between leaves the runs queued so far; a repeated launch adds the others.
    Raises NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.LAUNCH_SWEEP)
    require_model(store, *(request.config.model for request in sweep.requests))
    # a placeholder for the earlier runs of the sweep
    earlier = Job(
        id="",
        kind=JobKind.TRAIN,
        name="",
        state=JobState.QUEUED,
        attempt=1,
        owner=store.visitor.id,
        request_json="{}",
        created_at=0.0,
    )
    with hold_limits(store):
        require_quota(store, runs=len(sweep.requests))
        for place, request in enumerate(sweep.requests):
            require_request_allowed(store, request, [earlier] * place)
        require_resources(store.settings)
        jobs = [
            enqueue(store, request, name, f"sweep|{sweep.id}|{place}", log=True)
            for place, (request, name) in enumerate(zip(sweep.requests, sweep.names, strict=True))
        ]
    return [announce_launch(store, job) for job in jobs]


def launch_batch(
    store: Store,
    run: Job,
    name: str,
    batch: Batch,
    notes: Sequence[str] = (),
    exact: bool = False,
) -> Job:
    """Queue the rows of a file to be classified by a run, in fp32 if ``exact``.

    ``notes`` say how the file was read. Raises NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.WORK)
    require_resources(store.settings)
    needed = [
        request.key
        for job in store.list_jobs(JobKind.CLASSIFY, states=UNFINISHED)
        if (request := _try_read(job))
    ]
    key = store_batch(store.settings, batch, needed)
    request = request_batch(run, name, batch, notes, key, exact)
    return launch(store, request, request.name)


def classify_at_once(
    store: Store,
    run: Job,
    name: str,
    batch: Batch,
    classify: Callable[[list[str]], NDArray[np.float32]],
    notes: Sequence[str] = (),
) -> Job:
    """Classify the rows of a short file, and store the answers as a job that has completed.

    ``classify`` returns the probabilities (n, C) of n texts. Raises NotAllowed, NotEnoughRoom and
    the errors of ``classify``.
    """
    require(store.visitor, Action.WORK)
    require_resources(store.settings)
    began = store.clock()
    texts, classes = batch.filled, Run.of(store, run).classes
    probabilities = classify(texts) if texts else np.empty((0, len(classes)), dtype=np.float32)
    classified = assemble_table(batch, probabilities, classes)
    request = request_batch(run, name, batch, notes)
    kind, job_id = find_kind_for(request), secrets.token_hex(4)
    result = write_classified(store.settings.jobs / job_id, classified)
    job = Job(
        id=job_id,
        kind=kind.name,
        name=kind.title.format(sanitize_name(request.name, LONGEST_NAME)),
        state=JobState.COMPLETED,
        attempt=1,
        owner=store.visitor.id,
        request_json=request.model_dump_json(),
        created_at=began,
        started_at=began,
        ended_at=store.clock(),
        result_json=result.model_dump_json(),
    )
    with store.transaction() as db:
        insert_job(db, date_last(db, job), f"{kind.name}|{job_id}")
    store.write_record_file(job)
    accounts.log_action(store, kind.action, f"{job_id} {job.name}")
    return store.read_job(job_id)


def _try_read(job: Job) -> BatchRequest | None:
    """Return the request; None for a damaged record, whose texts no job can read."""
    try:
        return read_request(job, BatchRequest)
    except ArtifactDamaged:
        return None


def store_recipe(store: Store, recipe: Recipe) -> None:
    """Save the visitor's unfinished cleaning recipe. Raises NotAllowed.

    Runs have their own copies of recipes.
    """
    require(store.visitor, Action.WORK)
    save_recipe(store.settings, recipe, store.visitor.folder)
    accounts.log_action(store, "change a cleaning recipe", recipe.fingerprint)


def dispute_labels(
    store: Store, fingerprint: str, data: str, labels: Sequence[DisputedLabel]
) -> None:
    """Mark test labels of the dataset called ``data`` as disputed; marks of the same rows are
    replaced.

    Marks of admins count for all visitors, those of a student only for that student. Raises
    NotAllowed, StateConflict, DataError and ArtifactDamaged.
    """
    require(store.visitor, Action.DISPUTE)
    change_disputed(store, fingerprint, data, added=labels)
    accounts.log_action(store, "dispute labels", f"{fingerprint} {len(labels)} {data}")


def undo_disputes(store: Store, fingerprint: str, data: str, rows: Collection[int]) -> None:
    """Remove the visitor's own marks of these test rows.

    Raises NotAllowed, StateConflict, DataError and ArtifactDamaged.
    """
    require(store.visitor, Action.DISPUTE)
    change_disputed(store, fingerprint, data, removed=rows)
    accounts.log_action(store, "undo disputed labels", f"{fingerprint} {len(rows)} {data}")


def stop(store: Store, job: Job) -> Job:
    """Remove a queued job from the queue, or ask a running one to stop.

    Raises NotAllowed, and StateConflict if the job is over.
    """
    _require(store, Action.STOP, job)
    now = store.clock()
    waiting = store.transition(job, JobState.CANCELLED, only_from=JobState.QUEUED, ended_at=now)
    if not waiting and not store.transition(job, JobState.STOPPING, stop_at=now):
        latest = store.read_job(job.id)
        if latest.state is not JobState.STOPPING:
            raise StateConflict(
                "{name} is already {state}.",
                "There is nothing to stop.",
                name=job.name,
                state=latest.state,
            )
    ensure_supervisor(store.settings)
    return store.read_job(job.id)


def resume(store: Store, job: Job) -> Job:
    """Queue a job that ended early again; a run continues from its last checkpoint.

    Raises NotAllowed, and StateConflict if the job did not end early.
    """
    _require(store, Action.RESUME, job)
    with hold_limits(store):
        if job.state.resumable and job.kind == JobKind.TRAIN and store.visitor.role is Role.STUDENT:
            require_request_allowed(store, read_train_request(job))
        is_queued = job.state.resumable and store.requeue(job)
    if not is_queued:
        state = store.read_job(job.id).state
        raise StateConflict(
            "{name} is {state}.",
            "Only a cancelled, failed or interrupted run can be resumed.",
            name=job.name,
            state=state,
        )
    ensure_supervisor(store.settings)
    return store.read_job(job.id)


def retry(store: Store, job: Job, *, key: str = "") -> Job:
    """Launch a copy of this run with the change that its failure proposes (``job.proposal``).

    A repeated ``key`` launches once. Raises StateConflict if nothing is proposed, NotAllowed and
    NotEnoughRoom.
    """
    config = read_proposal(job)
    if config is None:
        raise StateConflict(
            "{name} proposes no change.", "Resume it, or clone it into the form.", name=job.name
        )
    request = read_train_request(job)
    changed = TrainRequest(
        config=config, source=request.source, preset=request.preset, recipe=request.recipe
    )
    return launch_training(store, changed, key=key)


def delete(store: Store, job: Job) -> None:
    """Remove a run with all its files, also those classified with it.

    Raises NotAllowed, and StateConflict while it is running or used by a job.
    """
    _require(store, Action.DELETE, job)
    remove_job(store, job)


def rename(store: Store, job: Job, name: str) -> None:
    """Rename a run. Raises NotAllowed, and StateConflict on an empty name."""
    _require(store, Action.RENAME, job)
    store.rename(job, name)


def tag_text(store: Store, job: Job, row: int, tag: str, note: str) -> None:
    """Write a tag and a note of a test text into the run; an empty ``tag`` removes both.

    Raises NotAllowed, StateConflict and ArtifactDamaged.
    """
    _require(store, Action.TAG, job)
    if tag:
        write_tag(store.get_folder(job), row, tag, note)
    else:
        remove_tag(store.get_folder(job), row)


def resume_queue(store: Store) -> list[Job]:
    """Start the queue if jobs are queued or active; return these jobs, newest first.

    The queue has stopped if the supervisor died or the machine was restarted.
    """
    unfinished = store.list_jobs(states=UNFINISHED)
    if unfinished:
        ensure_supervisor(store.settings)
    return unfinished


def _require(store: Store, action: Action, job: Job) -> None:
    """Check the permission for an action on a job and log the action."""
    require(store.visitor, action, job.owner)
    accounts.log_action(store, action, f"{job.id} {job.name}")


def list_runs_on(store: Store, source: Source) -> list[Job]:
    """List the runs that were launched on the saved dataset, newest first."""
    runs = []
    for job in store.list_jobs(JobKind.TRAIN):
        try:
            if read_train_request(job).source == source:
                runs.append(job)
        except ArtifactDamaged:  # its data are unknown
            continue
    return runs


def store_dataset(
    store: Store,
    name: str,
    built: BuiltDataset,
    options: BuildOptions,
    formats: Sequence[FileFormat],
    origin: str = "",
) -> Source:
    """Save a dataset under an unused name; ``origin`` says where its files come from.

    Raises NotAllowed and DataError.
    """
    require(store.visitor, Action.MANAGE_DATASETS)
    source = save(store.settings, name, built, options, formats, origin=origin)
    accounts.log_action(store, "save a dataset", source.name)
    return source


def delete_dataset(store: Store, name: str) -> int:
    """Delete a dataset with its prepared copy, and return how many runs were trained on it.

    The runs keep their results, including texts. Raises NotAllowed, DataError if there is no such
    dataset, and StateConflict while a run that uses it is queued or running.
    """
    require(store.visitor, Action.MANAGE_DATASETS)
    source = saved_source(store.settings, name)
    runs = list_runs_on(store, source) if source else []
    busy = [job for job in runs if not job.state.is_finished]
    if busy:
        raise StateConflict(
            "The dataset {name!r} is in use by {run}.",
            "Stop the run or wait for its end, then delete.",
            name=name,
            run=busy[0].name,
        )
    prepared = find_whole(store.settings, source) if source else None
    delete_saved(store.settings, name)
    accounts.log_action(store, "delete a dataset", name)
    if prepared is not None:
        remove_prepared(store.settings, prepared)
    return len(runs)
