"""Validate one run of a backup: its owner and request, and its adapter against the base model.

Scores are computed again from the predictions.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import get_args

import pandas as pd
from pydantic import ValidationError

from core.access import GUEST, Role, Visitor, sanitize_name
from core.access import LONGEST_NAME as LONGEST_PERSON_NAME
from core.config import RunConfig
from core.data.hub import hub_reachable
from core.data.sources import Source, SourceKind
from core.errors import DataError
from core.evaluation.error_analysis import LONGEST_NOTE, TAGS, Tag
from core.evaluation.predictions import Predictions
from core.models.catalog import MODELS, is_pinned
from core.runs.limits import list_base_models
from core.runs.requests import TrainRequest
from core.runs.run import RunResult, SplitScores
from core.storage.job import FailureCause, Job, JobKind, check_types, parse_row
from core.storage.recovery import BUNDLED_OWNERS
from core.storage.store import Store
from core.training.events import EvaluatedSplit
from core.transfer.imports.archive import JSON_BYTES
from core.transfer.imports.backup_zip import AGAIN, PEOPLE, RECORD_BYTES, Backup
from core.transfer.imports.import_run import ValidatedRun
from core.transfer.imports.metadata import (
    LONGEST_CLASS,
    LONGEST_NAME,
    is_amount,
    read_classes,
    read_figures,
    read_metrics,
    read_run_config,
)
from core.transfer.imports.peft_adapter import check_adapter, find_base, read_config, require_shape

OWNER = re.compile(r"[a-z0-9-]{1,40}")
FINGERPRINT = re.compile(r"[0-9a-z|-]{0,64}")
LONGEST_MESSAGE = 500  # characters
MOST_TAGS, MOST_PEOPLE = 20_000, 1000
DAY = 86_400
# fields of a run's result that are copied if their type is right
FLAGS = ("stopped", "early_stopped")
TEXT_FIELDS = ("precision", "device")
EXPECTED = ("seconds", "low_seconds", "high_seconds", "train_seconds", "peak_memory_mb")


def validate_run(store: Store, backup: Backup, run_id: str) -> ValidatedRun:
    """Validate a run for the store's visitor. Raises DataError and ModelUnavailable."""
    content = backup.read_object(f"runs/{run_id}/job.json", RECORD_BYTES)
    metrics = read_metrics(content.pop("metrics", []))
    job = _read_job(content, run_id)
    request = _read_request(job)
    stored = _parse_object(job.result_json)
    classes = _read_classes(stored)
    adapter, config = _read_adapter(store, backup, run_id, request, classes)
    tables = dict(backup.read_tables(run_id, len(classes))) if classes else {}
    result = _copy_result(stored, classes, tables)
    result = _mark_imported(result, store.visitor, stored, backup.name)
    now = store.clock()
    validated = replace(
        job,
        owner=_choose_owner(store.visitor, job.owner),
        name=sanitize_name(job.name, LONGEST_NAME) or run_id,
        created_at=_limit_time(job.created_at, now) or now,
        started_at=_limit_time(job.started_at, now),
        ended_at=_limit_time(job.ended_at, now),
        heartbeat_at=None,
        stop_at=None,
        pid=0,
        phase="",
        cause=job.cause if job.cause in list(FailureCause) else "",
        error_id="",
        done=0,
        total=0,
        version=0,
        message=sanitize_name(job.message, LONGEST_MESSAGE),
        fix=sanitize_name(job.fix, LONGEST_MESSAGE),
        fingerprint=job.fingerprint if FINGERPRINT.fullmatch(job.fingerprint) else "",
        attempt=max(1, min(job.attempt, 1000)),
        request_json=request.model_copy(update={"config": config}).model_dump_json(),
        result_json=json.dumps(result.to_dict(), allow_nan=False),
        proposal_json=_read_proposal(job, config),
    )
    return ValidatedRun(validated, config, adapter, metrics, tables, _read_tags(backup, run_id))


def read_people(backup: Backup) -> list[Visitor]:
    """Read the owners. All become students: a file cannot create a teacher. Raises DataError."""
    if not backup.has(PEOPLE):
        return []
    rows = backup.read_object(PEOPLE, JSON_BYTES).get("people")
    if not isinstance(rows, list) or len(rows) > MOST_PEOPLE:
        raise DataError(f"{PEOPLE} is damaged.", AGAIN)
    people = []
    for row in rows:
        match row:
            case {"id": str(owner), "name": str(name)} if (
                OWNER.fullmatch(owner) and owner not in BUNDLED_OWNERS
            ):
                people.append(
                    Visitor(owner, sanitize_name(name, LONGEST_PERSON_NAME), Role.STUDENT)
                )
    return people


def _read_job(content: Mapping[str, object], run_id: str) -> Job:
    try:
        job = parse_row(content)
        check_types(job)
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"The record of {run_id} does not describe a run.", AGAIN) from error
    if job.id != run_id or job.kind != JobKind.TRAIN or not job.state.is_finished:
        raise DataError(f"The record of {run_id} is not the record of a finished run.", AGAIN)
    return job


def _read_request(job: Job) -> TrainRequest:
    try:
        request = TrainRequest.model_validate_json(job.request_json)
    except (ValidationError, RecursionError) as error:
        message = f"The record of {job.id} contains no valid configuration."
        raise DataError(message, AGAIN) from error
    # other sources exist only on the machine of the backup: their name is all that is kept
    is_public = request.source.kind in (SourceKind.DEMO, SourceKind.HUB)
    name = sanitize_name(request.source.name, LONGEST_NAME) or "unknown data"
    source = Source(request.source.kind if is_public else SourceKind.IMPORTED, name)
    sweep = request.sweep if FINGERPRINT.fullmatch(request.sweep) else ""
    return request.model_copy(
        update={"source": source, "preset": sanitize_name(request.preset, 40), "sweep": sweep}
    )


def _read_classes(result: Mapping[str, object]) -> tuple[str, ...]:
    names = result.get("classes", [])
    if (
        not isinstance(names, list)
        or len(names) > 1000
        or not all(isinstance(name, str) for name in names)
    ):
        raise DataError("The class names of the run are damaged.", AGAIN)
    return tuple(sanitize_name(name, LONGEST_CLASS) for name in names)


def _read_adapter(
    store: Store, backup: Backup, run_id: str, request: TrainRequest, classes: tuple[str, ...]
) -> tuple[Mapping[str, bytes] | None, RunConfig]:
    """Return the adapter's files as PEFT saves them, or None, and the run's configuration.

    The base model in the configuration is one that exists on this machine.
    """
    archive = backup.read_adapter(run_id)
    if archive is None:
        return None, _require_known_base(store, request.config)
    config = read_config(archive)
    known = [request.config.model] if _is_public(request.config.model) else []
    model_id, model = find_base(
        config, store.settings, hub_reachable(store.settings), [*known, *list_base_models(store)]
    )
    shape = require_shape(model_id, model, "restore")
    adapter = check_adapter(archive, config, shape)
    read_classes(archive, classes, adapter.classes)
    stored = request.config.model_dump(mode="json")
    return adapter.files(model.identity, model.revision), read_run_config(
        stored, config, model_id, archive, shape
    )


def _require_known_base(store: Store, config: RunConfig) -> RunConfig:
    """Return ``config``. Raises DataError if its base model is a folder unknown on this machine."""
    if not _is_public(config.model) and config.model not in (
        store.settings.model,
        *list_base_models(store),
    ):
        raise DataError(
            "The base model of the run came from a folder that no run on this machine has used.",
            "Set LORALAB_MODEL to that folder, then restore again.",
        )
    return config


def _is_public(model: str) -> bool:
    return model in MODELS or is_pinned(model)


def _copy_result(
    result: Mapping[str, object], classes: tuple[str, ...], tables: Mapping[str, pd.DataFrame]
) -> RunResult:
    """Copy the known fields of valid types. Measured costs are dropped: they hold for another
    machine.
    """
    fields: dict[str, object] = read_figures(result).to_dict()
    fields |= {name: value for name in FLAGS if isinstance(value := result.get(name), bool)}
    fields |= {
        name: sanitize_name(value, 40)
        for name in TEXT_FIELDS
        if isinstance(value := result.get(name), str)
    }
    if isinstance(data := result.get("data"), str):
        fields["data"] = sanitize_name(data, LONGEST_NAME)
    match result.get("expected"):
        case dict(expected):
            fields["expected"] = {
                **{name: expected[name] for name in EXPECTED if is_amount(expected.get(name))},
                "measured": expected.get("measured") is True,
            }
    match result.get("cost"):
        case {"trained": int(trained)} if is_amount(trained):
            fields["cost"] = {"trained": trained}
    threads = result.get("threads")
    if isinstance(threads, int) and threads is not True and 0 < threads < 10_000:
        fields["threads"] = threads
    if classes:
        fields["classes"] = list(classes)
    for split in get_args(EvaluatedSplit):
        if (table := tables.get(f"predictions-{split}.parquet")) is not None:
            fields[split] = SplitScores.of(Predictions.of(table, len(classes)))
    return RunResult.model_validate(fields)


def _mark_imported(
    result: RunResult, visitor: Visitor, stored: Mapping[str, object], name: str
) -> RunResult:
    """Mark the run as imported, which keeps it out of the leaderboard.

    A run that an admin restores is marked only if it had been imported before.
    """
    if isinstance(imported := stored.get("imported"), str):
        source, known = sanitize_name(imported, LONGEST_NAME), stored.get("config_known")
        return result.model_copy(update={"imported": source, "config_known": known is not False})
    if visitor.is_admin:
        return result
    source = sanitize_name(name, LONGEST_NAME) or "a backup"
    return result.model_copy(update={"imported": source, "config_known": True})


def _choose_owner(visitor: Visitor, owner: str) -> str:
    """Return the stored owner if an admin restores the run, else the visitor."""
    reserved = (*BUNDLED_OWNERS, GUEST.id)
    is_kept = visitor.is_admin and OWNER.fullmatch(owner) and owner not in reserved
    return owner if is_kept else visitor.id


def _read_proposal(job: Job, config: RunConfig) -> str:
    proposed = _parse_object(job.proposal_json)
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


def _read_tags(backup: Backup, run_id: str) -> list[Tag]:
    name = f"runs/{run_id}/tags.json"
    if not backup.has(name):
        return []
    tags = []
    for entry in backup.read_list(name, JSON_BYTES)[:MOST_TAGS]:
        match entry:
            case {
                "row": int(row),
                "tag": str(tag),
                "note": str(note),
                "at": int() | float() as at,
            } if tag in TAGS and is_amount(at):
                tags.append(Tag(row, tag, note[:LONGEST_NOTE], at))
    return tags


def _parse_object(text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError("The record of the run is damaged.", AGAIN) from error
    if not isinstance(value, dict):
        raise DataError("The record of the run is damaged.", AGAIN)
    return value


def _limit_time(at: float | None, now: float) -> float | None:
    """Return ``at``, at most ``now``; None if it is no valid time or over a day in the future."""
    if at is None or not math.isfinite(at) or not 0 < at < now + DAY:
        return None
    return min(float(at), now)
