"""What users do with runs and datasets, and with jobs that need more than ``launching.launch``.

Each function checks permission and resources and writes an audit note; pages and the command line
call these and nothing below them.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.access import Action, Role, require, sanitize_name
from core.config import RunConfig
from core.data.files.build_splits import BuildOptions, BuiltDataset
from core.data.files.table import FileFormat
from core.data.preparation import find_prepared
from core.data.recipe import Recipe, save_recipe
from core.data.saved import delete_saved, save
from core.data.sources import Source, saved_source
from core.errors import ArtifactDamaged, StateConflict
from core.evaluation.error_analysis import remove_tag, write_tag
from core.jobs.launching import begin, launch, queue, read_request
from core.jobs.processes import ensure_supervisor
from core.jobs.tasks.classify_file import BatchRequest, keep_texts
from core.runs.limits import remove_old_guest_runs, require_model, require_within
from core.runs.requests import TrainRequest, read_proposal, read_train_request
from core.runs.run import next_name
from core.runs.sweep import Sweep
from core.storage import accounts, files
from core.storage.job import ACTIVE, Job, JobKind, JobState
from core.storage.resources import require_resources
from core.storage.store import LONGEST_NAME, Store, remove_job

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
    """Queue a run and start the queue. The same ``key`` twice launches once.

    ``recipe`` cleans its training texts; ``guess`` (0 to 1) is the accuracy that the user expects.
    Raises NotAllowed and NotEnoughRoom.
    """
    require(store.visitor, Action.LAUNCH)
    if launched := store.launched(key):  # before the limits, which count it
        return launched
    require_model(store, config.model)
    request = TrainRequest(config=config, source=source, preset=preset, recipe=recipe, guess=guess)
    require_within(store, request)
    require_resources(store.settings)
    if store.visitor.role is Role.TASTER:
        name = ""  # every visitor would read what a guest writes
        remove_old_guest_runs(store)
    title = sanitize_name(name, LONGEST_NAME) or next_name(store, preset or "custom", config.model)
    return begin(store, queue(store, request, title, key))


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
        queue(store, request, name, f"sweep|{sweep.id}|{place}")
        for place, (request, name) in enumerate(zip(sweep.requests, sweep.names, strict=True))
    ]
    return [begin(store, job) for job in jobs]


def launch_batch(store: Store, run: Job, name: str, frame: "pd.DataFrame") -> Job:
    """Queue a file's texts (columns text and, if there is one, label) for a run. Raises NotAllowed
    and NotEnoughRoom.
    """
    require(store.visitor, Action.WORK)
    require_resources(store.settings)
    needed = [
        request.key
        for job in store.jobs("classify", JobState.QUEUED, *ACTIVE)
        if (request := _try_read(job))
    ]
    key = keep_texts(store.settings, frame, needed)
    request = BatchRequest(run=run.id, key=key, name=name[:120])
    return launch(store, request, request.name)


def _try_read(job: Job) -> BatchRequest | None:
    """None for a damaged record: no job can read its texts."""
    try:
        return read_request(job, BatchRequest)
    except ArtifactDamaged:
        return None


def keep_recipe(store: Store, recipe: Recipe) -> None:
    """Keep the visitor's cleaning recipe in the making for its data; runs have copies of their own.
    Raises NotAllowed.
    """
    require(store.visitor, Action.WORK)
    save_recipe(store.settings, recipe, store.visitor.shelf)
    accounts.note(store, "change a cleaning recipe", recipe.fingerprint)


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
    """The jobs that are queued or running, newest first. Starts the queue where the supervisor died
    or the machine was restarted.
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
        except ArtifactDamaged:  # its data are unknown
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
