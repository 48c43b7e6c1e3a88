"""Queue a job once, find the jobs of a request, and read requests and results: for every kind.

Two launches of one request at the same moment make one job: its key holds the request and the
earlier jobs of that request, and the database takes each key once.
"""

import hashlib
import importlib
import json
import secrets
from typing import Protocol, TypeVar, runtime_checkable

from pydantic import BaseModel, ValidationError

from core.access import require
from core.errors import ArtifactDamaged
from core.jobs import kinds
from core.jobs.kinds import KeyRule, Kind
from core.jobs.processes import ensure_supervisor
from core.runs.limits import require_model
from core.storage import accounts
from core.storage.job import Job
from core.storage.resources import require_resources
from core.storage.store import Store

Model = TypeVar("Model", bound=BaseModel)


@runtime_checkable
class NamesModels(Protocol):
    """A request that uses base models; not every visitor may use every one."""

    @property
    def base_models(self) -> tuple[str, ...]:
        """Identities of the models, or folders."""


def launch(store: Store, request: BaseModel, subject: str, *, run: Job | None = None) -> Job:
    """Queue the request for the visitor and start the queue, or return the job that is queued or
    running for it.

    Args:
        store: Its visitor owns the job.
        request: Its class decides the kind.
        subject: What the job's name says it is about.
        run: The run whose owner must allow it, for kinds that change one.

    Raises:
        NotAllowed: The visitor may not do this, or not with these models.
        NotEnoughRoom: Memory or disk are short.
    """
    kind = kind_for(request)
    require(store.visitor, kind.action, run.owner if run else "")
    if isinstance(request, NamesModels):
        require_model(store, *request.base_models)
    if kind.needs_resources:
        require_resources(store.settings)
    return begin(store, queue(store, request, subject))


def begin(store: Store, job: Job) -> Job:
    """Record in the audit log who asked for the job, and start the queue."""
    kind = kinds.kind_of(job)
    accounts.note(store, kind.audit or kind.action, f"{job.id} {job.name}")
    ensure_supervisor(store.settings)
    return job


def queue(store: Store, request: BaseModel, subject: str, key: str = "") -> Job:
    """Queue the request, or return the job that is queued or running for it.

    Checks no permission and starts no supervisor: the worker of a run calls it too. ``key`` is the
    launch key of a kind whose caller gives it.
    """
    kind = kind_for(request)
    if kind.key is not KeyRule.CALLER:
        earlier = find_jobs(store, request)
        current = next((job for job in earlier if not job.state.over), None)
        if current is not None:
            return current
        key = _launch_key(store, kind, request, earlier)
    title, values = kind.title.format(subject), request.model_dump(mode="json")
    return store.create(kind.name, title, values, key or secrets.token_hex(8))


def find_jobs(store: Store, request: BaseModel) -> list[Job]:
    """The jobs that this request has been queued as, newest first; of kinds with a key per owner
    only the visitor's. Damaged records are left out.
    """
    kind = kind_for(request)
    identity = _identity(kind, request)
    matches: list[Job] = []
    for job in store.jobs(kind.name):
        if kind.key is KeyRule.OWNER and job.owner != store.visitor.id:
            continue
        try:
            if _identity(kind, read_request(job, type(request))) == identity:
                matches.append(job)
        except ArtifactDamaged:  # no page fails by a job that it does not show
            continue
    return matches


def find_latest(store: Store, request: BaseModel) -> Job | None:
    """The newest job of this request."""
    return next(iter(find_jobs(store, request)), None)


def read_request(job: Job, model: type[Model]) -> Model:
    """The request of the job. Raises ArtifactDamaged if the record does not hold one."""
    try:
        return model.model_validate(job.request)
    except ValidationError as error:
        kind = kinds.kind_of(job)
        raise ArtifactDamaged(f"The record of {kind.noun} is damaged.", kind.again) from error


def read_job_result(job: Job, model: type[Model]) -> Model | None:
    """The result of the job; None before it has one, or where the record does not hold one."""
    try:
        return model.model_validate(job.result)
    except (ValidationError, ArtifactDamaged):
        return None


def load(name: str) -> type[BaseModel]:
    """The class that a row names as ``module:Class``."""
    module, _, attribute = name.partition(":")
    model: type[BaseModel] = getattr(importlib.import_module(module), attribute)
    return model


def kind_for(request: BaseModel) -> Kind:
    """The row of the kind that the request belongs to. Raises KeyError for a class of no row."""
    name = f"{type(request).__module__}:{type(request).__qualname__}"
    return {kind.request: kind for kind in kinds.KINDS.values()}[name]


def _identity(kind: Kind, request: BaseModel) -> dict[str, object]:
    """Return the fields in which two requests must agree to count as one.

    The note of a data source says why it was chosen; as in ``Source``, it is not compared.
    """
    fields = None if kind.identity is None else set(kind.identity)
    values = request.model_dump(mode="json", include=fields)
    if isinstance(source := values.get("source"), dict):
        source.pop("note", None)
    return values


def _launch_key(store: Store, kind: Kind, request: BaseModel, earlier: list[Job]) -> str:
    """Equal for all who ask at the same moment, and another one once the job has ended."""
    parts = [
        kind.name,
        json.dumps(_identity(kind, request), sort_keys=True),
        store.visitor.id if kind.key is KeyRule.OWNER else "",
        *sorted(job.id for job in earlier),
    ]
    return f"{kind.name}|{hashlib.sha256('|'.join(parts).encode()).hexdigest()}"
