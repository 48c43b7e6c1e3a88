"""Validate one run of a backup: owner, request, adapter against its base model, and recomputed
scores.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import pandas as pd
from pydantic import ValidationError

from core.access import GUEST, LONGEST_NAME, Role, Visitor, sanitize_name
from core.config import RunConfig
from core.data.hub import hub_reachable
from core.data.sources import Source, SourceKind
from core.errors import DataError, ModelUnavailable
from core.evaluation.error_analysis import LONGEST_NOTE, TAGS
from core.evaluation.predictions import Predictions
from core.models.catalog import MODELS, is_pinned, shape_of
from core.runs.model_access import known_bases
from core.runs.requests import TrainRequest
from core.runs.run import SplitScores
from core.storage.job import FailureCause, Job, JobKind
from core.storage.job_record import check_types, job_from_row
from core.storage.recovery import BUNDLED_OWNERS
from core.storage.store import Store
from core.training.events import Split
from core.transfer.imports import metadata as told
from core.transfer.imports.archive import JSON_BYTES
from core.transfer.imports.backup_zip import AGAIN, PEOPLE, RECORD_BYTES, Backup
from core.transfer.imports.peft_adapter import check, find_base, read_config

OWNER = re.compile(r"[a-z0-9-]{1,40}")
MARK = re.compile(r"[0-9a-z|-]{0,64}")
LONGEST = 500  # letters of a message
MOST_TAGS, MOST_PEOPLE = 20_000, 1000
DAY = 86_400
FLAGS, WORDS = ("stopped", "early_stopped"), ("precision", "device")
EXPECTED = ("seconds", "low_seconds", "high_seconds", "train_seconds", "peak_memory_mb")


@dataclass(frozen=True, eq=False)
class ValidatedRun:
    """A run that can be installed; ``record`` is the content of its ``job.json``."""

    job: Job
    record: dict[str, object]
    config: RunConfig
    adapter: Mapping[str, bytes] | None
    tables: Mapping[str, pd.DataFrame]
    beside: Mapping[str, object]


def validate_run(store: Store, backup: Backup, run_id: str) -> ValidatedRun:
    """Validate a run for the store's visitor. Raises DataError with the problem, and
    ModelUnavailable.
    """
    content = backup.object(f"runs/{run_id}/job.json", RECORD_BYTES)
    metrics = told.read_metrics({"metrics": content.pop("metrics", [])})
    job = _read_job(content, run_id)
    request = _read_request(job)
    result = _object(job.result_json)
    classes = _read_classes(result)
    adapter, config = _read_adapter(store, backup, run_id, request, classes)
    tables = dict(backup.tables(run_id, len(classes))) if classes else {}
    kept = _kept_of(result, classes, tables) | _origin(store.visitor, result, backup.name)
    clean = request.model_copy(update={"config": config})
    times = {name: _time(getattr(job, name), store.clock()) for name in ("started_at", "ended_at")}
    proposal = _proposal(job, config)
    values: dict[str, object] = {
        **asdict(job),
        **times,
        **{
            "created_at": _time(job.created_at, store.clock()) or store.clock(),
            "heartbeat_at": None,
            "stop_at": None,
            "pid": 0,
        },
        **{
            "owner": _owner(store.visitor, job.owner),
            "name": sanitize_name(job.name, told.LONGEST_NAME) or run_id,
            "phase": "",
        },
        **{
            "cause": job.cause if job.cause in list(FailureCause) else "",
            "error_id": "",
            "done": 0,
            "total": 0,
            "version": 0,
        },
        **{"message": sanitize_name(job.message, LONGEST), "fix": sanitize_name(job.fix, LONGEST)},
        **{
            "fingerprint": job.fingerprint if MARK.fullmatch(job.fingerprint) else "",
            "attempt": max(1, min(job.attempt, 1000)),
        },
        **{
            "request_json": clean.model_dump_json(),
            "result_json": json.dumps(kept, allow_nan=False),
            "proposal_json": proposal,
        },
    }
    safe = job_from_row(values)
    return ValidatedRun(
        safe,
        {**asdict(safe), "metrics": metrics},
        config,
        adapter,
        tables,
        _read_tags(backup, run_id),
    )


def read_people(backup: Backup) -> list[Visitor]:
    """Read the names of owners. All become students: a file cannot create a teacher. Raises
    DataError.
    """
    if not backup.has(PEOPLE):
        return []
    rows = backup.object(PEOPLE, JSON_BYTES).get("people")
    if not isinstance(rows, list) or len(rows) > MOST_PEOPLE:
        raise DataError(f"{PEOPLE} is damaged.", AGAIN)
    found = []
    for row in rows:
        match row:
            case {"id": str(mark), "name": str(name)} if (
                OWNER.fullmatch(mark) and mark not in BUNDLED_OWNERS
            ):
                found.append(Visitor(mark, sanitize_name(name, LONGEST_NAME), Role.STUDENT))
    return found


def _read_job(content: Mapping[str, Any], run_id: str) -> Job:
    try:
        job = job_from_row(content)
        check_types(job)
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"The record of {run_id} does not describe a run.", AGAIN) from error
    if job.id != run_id or job.kind != JobKind.TRAIN or not job.state.over:
        raise DataError(f"The record of {run_id} is not that of a run that is over.", AGAIN)
    return job


def _read_request(job: Job) -> TrainRequest:
    try:
        request = TrainRequest.model_validate_json(job.request_json)
    except (ValidationError, RecursionError) as error:
        raise DataError(f"The record of {job.id} does not hold a configuration.", AGAIN) from error
    open_to_all = request.source.kind in (
        SourceKind.DEMO,
        SourceKind.HUB,
    )  # of any other only the name means something here
    name = sanitize_name(request.source.name, told.LONGEST_NAME) or "unknown data"
    source = Source(request.source.kind if open_to_all else SourceKind.IMPORTED, name)
    sweep = request.sweep if MARK.fullmatch(request.sweep) else ""
    return request.model_copy(
        update={"source": source, "preset": sanitize_name(request.preset, 40), "sweep": sweep}
    )


def _read_classes(result: Mapping[str, Any]) -> tuple[str, ...]:
    names = result.get("classes", [])
    if (
        not isinstance(names, list)
        or len(names) > 1000
        or not all(isinstance(name, str) for name in names)
    ):
        raise DataError("Its class names are damaged.", AGAIN)
    return tuple(sanitize_name(name, told.LONGEST_CLASS) for name in names)


def _read_adapter(
    store: Store, backup: Backup, run_id: str, request: TrainRequest, classes: tuple[str, ...]
) -> tuple[Mapping[str, bytes] | None, RunConfig]:
    """Return the adapter as PEFT saves it, or None, and the configuration with a base model known
    here.
    """
    parcel = backup.adapter(run_id)
    if parcel is None:
        return None, _known_model(store, request.config)
    config = read_config(parcel)
    known = [request.config.model] if _is_public(request.config.model) else []
    model_id, model = find_base(
        config, store.settings, hub_reachable(store.settings), [*known, *known_bases(store)]
    )
    shape = shape_of(model)
    if shape is None:
        raise ModelUnavailable(
            f"Its base {model_id} is not on this machine yet.",
            "Start a run on it, which fetches it, then restore again.",
        )
    adapter = check(parcel, config, shape)
    told.read_classes(parcel, classes, adapter.classes)
    story = {"config": request.config.model_dump(mode="json")}
    return adapter.files(model.identity, model.revision), told.read_run_config(
        story, config, model_id, parcel, shape
    )


def _known_model(store: Store, config: RunConfig) -> RunConfig:
    if not _is_public(config.model) and config.model not in (
        store.settings.model,
        *known_bases(store),
    ):
        raise DataError(
            "Its base came from a folder that no run here has used.",
            "Set LORALAB_MODEL to that folder, then restore again.",
        )
    return config


def _is_public(model: str) -> bool:
    return model in MODELS or is_pinned(model)


def _kept_of(
    result: Mapping[str, Any], classes: tuple[str, ...], tables: Mapping[str, pd.DataFrame]
) -> dict[str, object]:
    """Copy known fields of valid types. Measured costs are dropped, because they hold for another
    machine.
    """
    kept: dict[str, object] = dict(told.read_figures(result))
    kept |= {name: value for name in FLAGS if isinstance(value := result.get(name), bool)}
    kept |= {
        name: sanitize_name(value, 40)
        for name in WORDS
        if isinstance(value := result.get(name), str)
    }
    if isinstance(data := result.get("data"), str):
        kept["data"] = sanitize_name(data, told.LONGEST_NAME)
    match result.get("expected"):
        case dict(expected):
            kept["expected"] = {
                name: expected[name] for name in EXPECTED if _is_amount(expected.get(name))
            }
            kept["expected"] |= {"measured": expected.get("measured") is True}  # type: ignore[operator]
    match result.get("cost"):
        case {"trained": int(trained)} if _is_amount(trained):
            kept["cost"] = {"trained": trained}
    threads = result.get("threads")
    if isinstance(threads, int) and threads is not True and 0 < threads < 10_000:
        kept["threads"] = threads
    if classes:
        kept["classes"] = list(classes)
    for split in get_args(Split):
        if (table := tables.get(f"predictions-{split}.parquet")) is not None:
            kept[split] = SplitScores.of(Predictions.of(table, len(classes))).model_dump()
    return kept


def _origin(visitor: Visitor, result: Mapping[str, Any], name: str) -> dict[str, object]:
    """Mark the run as imported if it was, or if the visitor is not an admin, so that it is not
    ranked.
    """
    if isinstance(imported := result.get("imported"), str):
        return {
            "imported": sanitize_name(imported, told.LONGEST_NAME),
            "config_known": result.get("config_known") is not False,
        }
    return (
        {}
        if visitor.in_charge
        else {
            "imported": sanitize_name(name, told.LONGEST_NAME) or "a backup",
            "config_known": True,
        }
    )


def _owner(visitor: Visitor, owner: str) -> str:
    theirs = (
        visitor.in_charge and OWNER.fullmatch(owner) and owner not in (*BUNDLED_OWNERS, GUEST.id)
    )
    return owner if theirs else visitor.id


def _proposal(job: Job, config: RunConfig) -> str:
    proposed = _object(job.proposal_json)
    try:
        RunConfig.model_validate({**config.model_dump(), **proposed})
    except ValidationError:
        return "{}"
    return json.dumps(
        {
            name: value
            for name, value in proposed.items()
            if name in RunConfig.model_fields and name != "model"
        }
    )


def _read_tags(backup: Backup, run_id: str) -> dict[str, object]:
    name = f"runs/{run_id}/tags.json"
    if not backup.has(name):
        return {}
    kept = []
    for one in backup.list(name, JSON_BYTES)[:MOST_TAGS]:
        match one:
            case {
                "row": int(row),
                "tag": str(tag),
                "note": str(note),
                "at": int() | float() as at,
            } if tag in TAGS and _is_amount(at):
                kept.append({"row": row, "tag": tag, "note": note[:LONGEST_NOTE], "at": at})
    return {"tags.json": kept}


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError("Its record is damaged.", AGAIN) from error
    if not isinstance(value, dict):
        raise DataError("Its record is damaged.", AGAIN)
    return value


def _time(at: float | None, now: float) -> float | None:
    """Return a time in the past; None for any other."""
    return (
        min(float(at), now) if at is not None and math.isfinite(at) and 0 < at < now + DAY else None
    )


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12
