"""Launch jobs of every kind, find the jobs of a request, and read requests and results.

Two launches of one request at the same moment create one job: its key holds the request and the
earlier jobs of that request, and the database accepts each key once.
"""

import hashlib
import json
import secrets
from typing import Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ValidationError

from core.access import require
from core.errors import ArtifactDamaged, NotAllowed
from core.jobs import kinds
from core.jobs.kinds import KeyRule, Kind
from core.jobs.supervisor import ensure_supervisor
from core.runs.limits import hold_limits, remove_old_exports, require_model, require_quota
from core.storage import accounts
from core.storage.accounts import Standing
from core.storage.job import Job, JobState
from core.storage.resources import require_resources
from core.storage.store import Store
from core.transfer.export.formats import ExportRequest

Model = TypeVar("Model", bound=BaseModel)


@runtime_checkable
class UsesBaseModels(Protocol):
    """A request that uses base models, for which the visitor may lack the permission."""

    @property
    def base_models(self) -> tuple[str, ...]:
        """Identities of the models, or folders."""


def launch(store: Store, request: BaseModel, subject: str, *, run: Job | None = None) -> Job:
    """Queue the request and start the queue, or return the job that is queued or running for it.

    Args:
        store: Its visitor becomes the owner of the job.
        request: Its class decides the kind.
        subject: Subject in the name of the job.
        run: The run that a job of this kind changes, whose owner decides the permission.

    Raises:
        NotAllowed: The visitor lacks the permission, or may not use these models.
        NotEnoughRoom: Memory or disk are short.
    """
    kind = find_kind_for(request)
    require(store.visitor, kind.action, run.owner if run else "")
    if isinstance(request, UsesBaseModels):
        require_model(store, *request.base_models)
    with hold_limits(store):
        if isinstance(request, ExportRequest):
            remove_old_exports(store)
            require_quota(store, exports=1)
        if kind.needs_resources:
            require_resources(store.settings)
        job = enqueue(store, request, subject, log=True)
    return announce_launch(store, job)


def announce_launch(store: Store, job: Job) -> Job:
    """Start the queue.

    Raises NotAllowed, and cancels the job, if the visitor was removed while they launched it.
    """
    if accounts.find_standing(store, store.visitor) in (Standing.REMOVED, Standing.BLOCKED):
        if job.owner == store.visitor.id:
            store.transition(
                job, JobState.CANCELLED, only_from=JobState.QUEUED, ended_at=store.clock()
            )
        raise NotAllowed("You are no longer in this class.", "Join it again, or ask your teacher.")
    ensure_supervisor(store.settings)
    return job


def enqueue(
    store: Store, request: BaseModel, subject: str, key: str = "", *, log: bool = False
) -> Job:
    """Queue the request, or return the job that is queued or running for it.

    Checks no permission and starts no supervisor, because the worker of a run also calls it.
    ``key`` is the launch key, for kinds with ``KeyRule.CALLER``. ``log`` adds the launch of a user
    to the audit log, in the same transaction.
    """
    kind = find_kind_for(request)

    def record(job: Job) -> None:
        if log:
            accounts.log_action(store, kind.audit_action or kind.action, f"{job.id} {job.name}")

    if kind.key is not KeyRule.CALLER:
        earlier = find_jobs(store, request)
        current = next((job for job in earlier if not job.state.is_finished), None)
        if current is not None:
            record(current)
            return current
        key = _make_launch_key(store, kind, request, earlier)
    title, values = kind.title.format(subject), request.model_dump(mode="json")
    return store.create(kind.name, title, values, key or secrets.token_hex(8), record=record)


def find_jobs(store: Store, request: BaseModel) -> list[Job]:
    """List the jobs of this request, newest first, without damaged records.

    For kinds with ``KeyRule.OWNER`` only those of the visitor.
    """
    kind = find_kind_for(request)
    identity = _select_identity(kind, request)
    matches: list[Job] = []
    for job in store.list_jobs(kind.name):
        if kind.key is KeyRule.OWNER and job.owner != store.visitor.id:
            continue
        try:
            if _select_identity(kind, read_request(job, type(request))) == identity:
                matches.append(job)
        except ArtifactDamaged:  # it must not break a page that does not show it
            continue
    return matches


def find_latest(store: Store, request: BaseModel) -> Job | None:
    """Return the newest job of this request; None if there is none."""
    return next(iter(find_jobs(store, request)), None)


def read_request(job: Job, model: type[Model]) -> Model:
    """Read the request of the job. Raises ArtifactDamaged if the record does not hold one."""
    try:
        return model.model_validate(job.request)
    except ValidationError as error:
        kind = kinds.find_kind(job)
        raise ArtifactDamaged(f"The record of {kind.description} is damaged.", kind.fix) from error


def read_job_result(job: Job, model: type[Model]) -> Model | None:
    """Read the result of the job; None if there is none yet, or it is damaged."""
    try:
        return model.model_validate(job.result)
    except (ValidationError, ArtifactDamaged):
        return None


def find_kind_for(request: BaseModel) -> Kind:
    """Return the kind of the request. Raises KeyError for a class that no row names."""
    name = f"{type(request).__module__}:{type(request).__qualname__}"
    return {kind.request: kind for kind in kinds.KINDS.values()}[name]


def _select_identity(kind: Kind, request: BaseModel) -> dict[str, object]:
    """Return the fields in which two requests must agree to count as one.

    The note of a data source says why it was chosen; as in ``Source``, it is not compared.
    """
    fields = None if kind.identity is None else set(kind.identity)
    values = request.model_dump(mode="json", include=fields)
    if isinstance(source := values.get("source"), dict):
        source.pop("note", None)
    return values


def _make_launch_key(store: Store, kind: Kind, request: BaseModel, earlier: list[Job]) -> str:
    """Return a key that launches at the same moment share, and that changes when the job ends."""
    parts = [
        kind.name,
        json.dumps(_select_identity(kind, request), sort_keys=True),
        store.visitor.id if kind.key is KeyRule.OWNER else "",
        *sorted(job.id for job in earlier),
    ]
    return f"{kind.name}|{hashlib.sha256('|'.join(parts).encode()).hexdigest()}"
