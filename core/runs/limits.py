"""Limits of a visitor's runs: base models, the rules of a class, and the limits for guests.

A student's run must stay within the teacher's rules and the places in the queue. On a public page
whose owner allows it, guests start the preset Taste without changes, and only the newest of their
runs are kept. Only an admin may name a folder of the machine as the base model.
"""

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

from core.access import GUEST_PREFIX, Action, Role, Visitor, require
from core.config import RunConfig
from core.data.disputed_labels import MOST_OF_A_STUDENT
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared
from core.data.sources import Source
from core.errors import ArtifactDamaged, DataError, JobNotFound, NotAllowed, StateConflict
from core.estimate.estimate import Estimate
from core.estimate.inputs import data_facts
from core.models.catalog import MODELS, ModelLocation, find_model, is_pinned
from core.people import classroom
from core.people.allowances import list_allowances
from core.people.classroom import RUNNING_PER_STUDENT, Rules
from core.presets import DataSize, Limits, Preset, make_config
from core.runs.local_estimate import estimate_request
from core.runs.requests import TrainRequest, read_train_request
from core.runs.run import read_result
from core.settings import find_readable
from core.storage import accounts
from core.storage.job import UNFINISHED, Job, JobKind
from core.storage.locks import hold_lock
from core.storage.recovery import remove_job
from core.storage.store import Store
from core.translation import mark, translate

BOUNDED = frozenset({Role.STUDENT, Role.GUEST_TRAINER})
DAY_SECONDS = 86_400
MAX_GUEST_RUNS = 3  # queued or running: a few minutes of waiting at most
KEPT_GUEST_RUNS = 20  # finished ones; each takes 6 MB


@dataclass(frozen=True, slots=True)
class Quota:
    """How much one student may have stored on the server; admins are not limited."""

    runs: int = 100
    imported_runs: int = 20  # of these runs, those that were imported or restored
    exports: int = 30
    export_mb: int = 500
    export_days: int = 7  # after which an export is removed


QUOTA = Quota()
# students share few files; an estimate takes a tenth of a second
COUNTING_LOCKS, COUNTING_SECONDS = 16, 20.0
EXPORTS = "exports"  # folder of a run with its exports


@contextmanager
def hold_limits(store: Store) -> Iterator[None]:
    """Let the visitor count what they have, and add to it, without another request of theirs in
    between: requests at once would all see the same number.

    Guests of a public page share their limit. Raises StateConflict.
    """
    if store.visitor.role not in BOUNDED:
        yield
        return
    owner = store.visitor.id if store.visitor.role is Role.STUDENT else GUEST_PREFIX
    number = crc32(owner.encode()) % COUNTING_LOCKS
    path = store.settings.home / f"counting-{number}.lock"
    with hold_lock(path, COUNTING_SECONDS) as held:
        if not held:
            raise StateConflict("You have launched much at once.", "Try again in a moment.")
        yield


def list_limits(quota: Quota = QUOTA) -> list[tuple[str, str]]:
    """List everything that is limited for students and guests, and how much, for tables."""
    return [
        ("runs of one student", f"{quota.runs:,}"),
        ("of these, imported or restored", f"{quota.imported_runs:,}"),
        ("exports of one student", f"{quota.exports:,}, {quota.export_mb:,} MB"),
        ("an export is removed after", f"{quota.export_days} days"),
        ("disputed labels of one student", f"{MOST_OF_A_STUDENT:,}"),
        ("runs of guests that wait or train", f"{MAX_GUEST_RUNS}, one of each visit"),
        ("finished runs of guests that are kept", f"{KEPT_GUEST_RUNS}"),
        *list_allowances(),
    ]


@dataclass(frozen=True, slots=True)
class Usage:
    """Runs and exports of a visitor on the server, in the units of ``Quota``."""

    runs: int
    imported_runs: int
    exports: int
    export_mb: int


def measure_usage(store: Store) -> Usage:
    """Count what belongs to the store's visitor, and the exports that they have started."""
    visitor = store.visitor.id
    mine = [job for job in store.list_jobs(JobKind.TRAIN) if job.owner == visitor]
    sizes = [path.stat().st_size for path in _list_exports(store, {visitor})]
    return Usage(len(mine), sum(map(_is_imported, mine)), len(sizes), sum(sizes) // 10**6)


def _list_exports(store: Store, owners: set[str]) -> list[Path]:
    """List the existing exports that these owners have started."""
    requests = [job.request for job in store.list_jobs(JobKind.EXPORT) if job.owner in owners]
    paths = {
        store.settings.jobs / str(request.get("run")) / EXPORTS / f"{request.get('format')}.zip"
        for request in requests
    }
    return sorted(path for path in paths if path.is_file())


def _is_imported(job: Job) -> bool:
    try:
        return read_result(job).imported is not None
    except ArtifactDamaged:
        return False


def require_quota(
    store: Store, *, runs: int = 0, imported_runs: int = 0, exports: int = 0, quota: Quota = QUOTA
) -> None:
    """Raise NotAllowed if a student would have more than the quota with these in addition."""
    if store.visitor.role is not Role.STUDENT:
        return
    usage = measure_usage(store)
    for name, used, most, fix in (
        (mark("runs"), usage.runs + runs if runs else 0, quota.runs, mark("runs")),
        (
            mark("imported runs"),
            usage.imported_runs + imported_runs if imported_runs else 0,
            quota.imported_runs,
            mark("imported runs"),
        ),
        (
            mark("exports"),
            usage.exports + exports if exports else 0,
            quota.exports,
            mark("runs with exports"),
        ),
        (
            mark("MB of exports"),
            usage.export_mb if exports else 0,
            quota.export_mb,
            mark("runs with exports"),
        ),
    ):
        if used > most:
            raise NotAllowed(
                "A student may have {most:,} {things} on this server.",
                "Delete {runs} that you no longer need, or ask your teacher.",
                most=most,
                things=translate(name),
                runs=translate(fix),
            )


def remove_old_exports(store: Store, quota: Quota = QUOTA) -> None:
    """Remove exports of students' runs after ``export_days``; they can be exported again."""
    students = {person.id for person in accounts.list_people(store) if person.role is Role.STUDENT}
    oldest = time.time() - quota.export_days * DAY_SECONDS
    for path in _list_exports(store, students):
        if path.stat().st_mtime < oldest:
            path.with_suffix(".json").unlink(missing_ok=True)
            path.unlink()


def require_request_allowed(
    store: Store, request: TrainRequest, additional_jobs: Sequence[Job] = ()
) -> None:
    """Raise NotAllowed if a student requests more than the class allows, or a guest more than the
    preset Taste.

    ``additional_jobs`` are runs that are about to be queued. Without prepared data there is no
    estimate, and only rows, tokens and batch size are limited.
    """
    if store.visitor.role is Role.GUEST_TRAINER and request.recipe is not None:
        raise NotAllowed(
            "A cleaning recipe is not available on this page.", "Launch the run without it."
        )
    if store.visitor.role in BOUNDED:
        expected, size = estimate_request(store, request), _find_size(store, request.source)
        require_config_allowed(store, request.config, expected, additional_jobs, size)


def _find_size(store: Store, source: Source) -> DataSize | None:
    """Return the size of the prepared data; None if they are not prepared, or not here."""
    try:
        dataset = find_prepared(store.settings, source)
    except DataError:  # the launch reports it
        return None
    return limit_size(store, data_facts(dataset).size, store.visitor) if dataset else None


def limit_size(store: Store, size: DataSize, visitor: Visitor) -> DataSize:
    """Return the sizes that a preset is fitted to, for a student with the limits of the class."""
    if visitor.role is not Role.STUDENT:
        return size
    rules = classroom.read_rules(store)
    return replace(size, limits=Limits(rules.rows, rules.max_tokens, rules.batch_size))


def require_config_allowed(
    store: Store,
    config: RunConfig,
    expected: Estimate | None,
    additional_jobs: Sequence[Job] = (),
    size: DataSize | None = None,
) -> None:
    """Raise NotAllowed like ``require_request_allowed``, for a configuration with a known estimate.

    ``size`` is that of the data.
    """
    if store.visitor.role not in BOUNDED:
        return
    unfinished = [*store.list_jobs(JobKind.TRAIN, states=UNFINISHED), *additional_jobs]
    if store.visitor.role is Role.GUEST_TRAINER:
        require_guest_preset(store, config, unfinished, size)
        return
    classroom.require_student_limits(store, unfinished, config, size.train_rows if size else 0)
    if expected is not None:
        require_estimate_allowed(classroom.read_rules(store), expected)


def require_estimate_allowed(rules: Rules, expected: Estimate) -> None:
    """Raise NotAllowed for a run that would take more than the class allows."""
    minutes = expected.likely_seconds / 60
    if minutes > rules.minutes:
        raise NotAllowed(
            "The run would take about {minutes:,.0f} minutes; this class allows {most:,}.",
            "Train on fewer rows or tokens.",
            minutes=minutes,
            most=rules.minutes,
        )
    if expected.memory_mb > rules.memory_mb:
        raise NotAllowed(
            "The run would take {needed:,} MB of memory; this class allows {most:,}.",
            "Choose a smaller batch, fewer tokens or a smaller model.",
            needed=expected.memory_mb,
            most=rules.memory_mb,
        )
    if expected.disk_mb > rules.disk_mb:
        raise NotAllowed(
            "The run would take {needed:,} MB of disk; this class allows {most:,}.",
            "Choose a lower rank or fewer validations.",
            needed=expected.disk_mb,
            most=rules.disk_mb,
        )


def describe_limits(rules: Rules) -> str:
    """Describe the limits of a class in two sentences: size and number of runs."""
    return translate(
        "In this class a run may take up to {minutes:,} minutes, {rows:,} rows × epochs, {tokens}"
        " tokens a text, batches of {batch}, {memory:,} MB of memory and {disk:,} MB of disk. Each"
        " student may have {running} run running and {waiting} waiting.",
        minutes=rules.minutes,
        rows=rules.rows,
        tokens=rules.max_tokens,
        batch=rules.batch_size,
        memory=rules.memory_mb,
        disk=rules.disk_mb,
        running=RUNNING_PER_STUDENT,
        waiting=rules.waiting,
    )


def make_guest_trainer() -> Visitor:
    """Create a guest trainer with an id that is unique to this visit."""
    return Visitor(GUEST_PREFIX + secrets.token_hex(6), "", Role.GUEST_TRAINER)


def require_guest_preset(
    store: Store, config: RunConfig, unfinished: Sequence[Job], size: DataSize | None = None
) -> None:
    """Raise NotAllowed for anything but the preset Taste on the page's own model, or for too many
    runs.

    ``unfinished`` are the queued and running ones. Guests who launch at the same moment may exceed
    the limit by one.
    """
    if config != make_config(Preset.TASTE, {"model": store.settings.model}, size):
        raise NotAllowed(
            "This public page runs only the preset Taste, without changes, on {model}.",
            "Choose Taste, or install LoRA Lab on your own machine.",
            model=store.settings.model,
        )
    theirs = [job.owner for job in unfinished if job.owner.startswith(GUEST_PREFIX)]
    if store.visitor.id in theirs:
        raise NotAllowed(
            "You already have a run that is queued or running.", "Watch it, or stop it first."
        )
    if len(theirs) >= MAX_GUEST_RUNS:
        raise NotAllowed(
            "{runs} runs of guests are queued or running, the limit of this page.",
            "Try again in a few minutes.",
            runs=MAX_GUEST_RUNS,
        )


def remove_old_guest_runs(store: Store) -> None:
    """Remove the oldest finished runs of guests."""
    finished = [
        job
        for job in store.list_jobs(JobKind.TRAIN)
        if job.owner.startswith(GUEST_PREFIX) and job.state.is_finished
    ]
    for job in finished[KEPT_GUEST_RUNS:]:
        try:
            remove_job(store, job)
        except (JobNotFound, StateConflict):  # another guest removed or resumed it
            continue
        accounts.log_action(store, "make room for a guest's run", f"{job.id} {job.name}")


def require_model(store: Store, *model_ids: str) -> None:
    """Raise NotAllowed for a folder that the visitor may not name; the folder is not read.

    On the command line every folder may be named, elsewhere those of ``readable_folders``, those of
    existing runs, and the configured one.
    """
    folders = [
        model
        for model in model_ids
        if model not in (store.settings.model, *MODELS) and not is_pinned(model)
    ]
    if not folders or store.visitor.on_command_line:
        return
    for folder in set(folders) - set(list_base_models(store)):
        require(store.visitor, Action.NAME_FOLDER)
        _require_readable_folder(store, folder)


def _require_readable_folder(store: Store, folder: str) -> None:
    try:
        find_readable(store.settings, folder)
    except ValueError as error:
        raise NotAllowed("{folder!r} is not a path.", "Check the path.", folder=folder) from error


def find_allowed_model(store: Store, model_id: str) -> ModelLocation:
    """Find the model that a visitor names; its reason says why it is unavailable."""
    try:
        require_model(store, model_id)
    except NotAllowed as error:
        return ModelLocation(model_id, False, str(error))
    return find_model(model_id, store.settings, hub_reachable(store.settings))


def list_base_models(store: Store) -> list[str]:
    """List the base models of the runs in this home folder."""
    models = []
    for job in store.list_jobs(JobKind.TRAIN):
        try:
            models.append(read_train_request(job).config.model)
        except ArtifactDamaged:  # a damaged record names no model
            continue
    return models
