"""Read and validate a backup: a zip of many runs, as ``python -m core backup`` writes it.

    lora-lab-backup.json               {"format": 1}
    people.json                        id and name of the owners, in a teacher's backup; and which
                                       texts are the hidden final test of the class
    runs/<id>/job.json                 the record and the learning curves
    runs/<id>/adapter/…                adapter_model.safetensors and adapter_config.json
    runs/<id>/predictions-….parquet    as in the run's folder
    runs/<id>/hidden-….parquet         of the hidden final test, in a teacher's backup
    runs/<id>/tags.json

Nothing is unpacked to disk. Only these names are read; other files in the zip are never opened.
Each adapter is validated against its base model, and scores are computed again from predictions.
"""

import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from pydantic import ValidationError

from core.access import GUEST, Role, Visitor, sanitize_name
from core.access import LONGEST_NAME as LONGEST_PERSON_NAME
from core.config import RunConfig
from core.data.hidden_test import HiddenTest
from core.data.hub import hub_reachable
from core.data.sources import Source, SourceKind
from core.data.tables.table import clean
from core.errors import ArtifactDamaged, DataError
from core.evaluation.error_analysis import LONGEST_NOTE, TAGS, Tag
from core.evaluation.predictions import Predictions
from core.models.catalog import MODELS, is_pinned
from core.runs import artifacts
from core.runs.limits import list_base_models
from core.runs.requests import TrainRequest
from core.runs.run import RunResult, SplitScores
from core.storage.job import BUNDLED_OWNERS, FailureCause, Job, JobKind, check_types, parse_row
from core.storage.store import Store
from core.training.events import EvaluatedSplit
from core.transfer.imports.adapter_config import read_config, read_object
from core.transfer.imports.archive import (
    ADAPTER,
    BAD_ZIP,
    CONFIG,
    JSON_BYTES,
    MOST_BYTES,
    AdapterArchive,
    check_entries,
    require_small_directory,
)
from core.transfer.imports.import_run import ValidatedRun, find_base, require_shape
from core.transfer.imports.metadata import (
    LONGEST_CLASS,
    LONGEST_NAME,
    MOST_LINES,
    is_amount,
    read_classes,
    read_figures,
    read_metrics,
    read_run_config,
)
from core.transfer.imports.peft_adapter import check_adapter

KEY_HASH = re.compile(r"[0-9a-f]{64}")
HEADER, PEOPLE, FORMAT = "lora-lab-backup.json", "people.json", 1
RECORD_BYTES, TABLE_BYTES = 100_000_000, 100_000_000
MOST_FILES = 50_000  # for example 500 runs with 100 validations each
MOST_RUNS = 2000
MOST_UNPACKED = 300_000_000  # bytes of one table
LONGEST_TEXT = 100_000  # bytes
RUN = re.compile(r"runs/([0-9a-f]{8})/job\.json")
TABLE = re.compile(r"predictions-(?:test|untrained|validation(?:-[0-9]{8})?)\.parquet")
AGAIN = "Create the backup again, with python -m core backup or on the page Runs."
FAILURES = (*BAD_ZIP, KeyError, ValueError)
OWNER = re.compile(r"[a-z0-9-]{1,40}")
FINGERPRINT = re.compile(r"[0-9a-z|-]{0,64}")
LONGEST_MESSAGE = 500  # characters
MOST_TAGS, MOST_PEOPLE = 20_000, 1000
DAY = 86_400
# fields of a run's result that are copied if their type is right
FLAGS = ("stopped", "early_stopped")
TEXT_FIELDS = ("precision", "validation_precision", "evaluation_precision", "device")
EXPECTED = ("seconds", "low_seconds", "high_seconds", "train_seconds", "peak_memory_mb")


class Backup:
    """An open backup; the names, sizes and types of its entries have been checked."""

    def __init__(self, name: str, archive: zipfile.ZipFile) -> None:
        self.name = name
        self._archive = archive
        entries = archive.infolist()
        check_entries(name, entries, MOST_FILES)
        self._names = {entry.filename for entry in entries}
        if (
            HEADER not in self._names
            or self.read_object(HEADER, JSON_BYTES).get("format") != FORMAT
        ):
            raise DataError(f"{name} is not a backup of runs in a supported format.", AGAIN)

    def list_runs(self) -> list[str]:
        """List the ids of the runs. Raises DataError if there are too many."""
        ids = sorted(match[1] for name in self._names if (match := RUN.fullmatch(name)))
        if len(ids) > MOST_RUNS:
            raise DataError(
                f"{self.name} contains {len(ids):,} runs; the limit is {MOST_RUNS:,}.",
                "Restore several smaller backups.",
            )
        return ids

    def read_object(self, name: str, most: int) -> dict[str, object]:
        """Read a JSON object. Raises DataError."""
        return read_object(self._read(name, most), name)

    def read_list(self, name: str, most: int) -> list[object]:
        """Read a JSON list. Raises DataError."""
        try:
            content = json.loads(self._read(name, most))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name} is not valid JSON ({type(error).__name__}).", AGAIN) from error
        if not isinstance(content, list):
            raise DataError(f"{name} is not a JSON list.", AGAIN)
        return content

    def has(self, name: str) -> bool:
        """Return whether the zip contains a file with that name."""
        return name in self._names

    def read_adapter(self, run: str) -> AdapterArchive | None:
        """Read the adapter of a run, unchecked; None if it has none. Raises DataError."""
        folder = f"runs/{run}/adapter"
        if f"{folder}/{ADAPTER}" not in self._names:
            return None
        return AdapterArchive(
            self.name,
            {
                ADAPTER: self._read(f"{folder}/{ADAPTER}", MOST_BYTES),
                CONFIG: self._read(f"{folder}/{CONFIG}", JSON_BYTES),
            },
        )

    def read_tables(self, run: str, classes: int) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield the file name and the checked predictions of each evaluation of a run.

        Raises DataError.
        """
        for name in sorted(self._names):
            folder, _, file_name = name.rpartition("/")
            if folder == f"runs/{run}" and TABLE.fullmatch(file_name):
                yield file_name, read_table(file_name, self._read(name, TABLE_BYTES), classes)

    def read_table_bytes(self, name: str) -> bytes:
        """Read a table of predictions, as it is. Raises DataError."""
        return self._read(name, TABLE_BYTES)

    def _read(self, name: str, most: int) -> bytes:
        try:
            with self._archive.open(name) as file:
                data = file.read(most + 1)  # the size in the zip's directory may be wrong
        except FAILURES as error:
            raise DataError(
                f"{name[:80]} in {self.name} cannot be read ({type(error).__name__}).", AGAIN
            ) from error
        if len(data) > most:
            raise DataError(
                f"{name[:80]} in {self.name} is larger than {most / 1e6:,.0f} MB.", AGAIN
            )
        return data


@contextmanager
def open_backup(path: Path, name: str = "") -> Iterator[Backup]:
    """Open the backup at ``path``, called ``name`` in messages. Raises DataError."""
    title = name or path.name
    try:
        with path.open("rb") as file:
            require_small_directory(title, file, MOST_FILES)
        archive = zipfile.ZipFile(path)
    except FAILURES as error:
        raise DataError(
            f"{title} is not a readable zip file ({type(error).__name__}).", AGAIN
        ) from error
    with archive:
        yield Backup(title, archive)


def read_table(
    name: str, data: bytes, classes: int, most_unpacked: int = MOST_UNPACKED
) -> pd.DataFrame:
    """Read predictions from Parquet: known columns with valid values only. Raises DataError."""
    import pyarrow as pa  # noqa: PLC0415 - takes half a second to import; only a restore needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    required = ["row", "label", *(f"p{index}" for index in range(classes)), "loss"]
    try:
        texts = ["text"] if "text" in pq.read_schema(pa.BufferReader(data)).names else []
        # as a dictionary, a long text that is repeated a million times is stored once
        file = pq.ParquetFile(pa.BufferReader(data), read_dictionary=texts)
        if file.metadata.num_rows > MOST_LINES:
            raise ValueError(f"{file.metadata.num_rows:,} rows, more than {MOST_LINES:,}")
        columns: dict[str, list[object]] = {column: [] for column in [*required, *texts]}
        unpacked = 0
        for batch in file.iter_batches(1000, columns=[*required, *texts]):
            for column in columns:
                values = _to_list(batch.column(column))
                unpacked += sum(map(len, values)) if column == "text" else 8 * len(values)
                if unpacked > most_unpacked:
                    raise ValueError(f"more than {most_unpacked / 1e6:,.0f} MB")
                columns[column] += values
        return _build_frame(columns, required, classes)
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        OverflowError,
        MemoryError,
        ArtifactDamaged,
    ) as error:
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise DataError(f"{name} is damaged ({reason}).", AGAIN) from error


def _to_list(column: Any) -> list[Any]:
    """Return the values of a column of a batch: numbers, or texts of a limited length.

    Raises ValueError for other types and for a text that is too long.
    """
    import pyarrow as pa  # noqa: PLC0415 - as above
    import pyarrow.compute as pc  # noqa: PLC0415

    if isinstance(column, pa.DictionaryArray):
        # before any text is unpacked
        longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        if longest > LONGEST_TEXT:
            raise ValueError(f"a text of {longest:,} bytes")
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise ValueError(f"a column of type {column.type}")
    return list(column.to_pylist())


def _build_frame(
    columns: dict[str, list[object]], required: Sequence[str], classes: int
) -> pd.DataFrame:
    numbers = {
        column: np.array(
            columns[column], dtype=np.int64 if column in ("row", "label") else np.float32
        )
        for column in required
    }
    frame = pd.DataFrame(numbers)
    if "text" in columns:
        frame["text"] = [clean(str(text)) for text in columns["text"]]
    return Predictions.of(frame, classes).frame


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
    if store.visitor.is_admin:  # it decides what a score leaves out
        tables |= _read_hidden_table(backup, run_id, len(classes))
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


def _read_hidden_table(backup: Backup, run_id: str, classes: int) -> dict[str, pd.DataFrame]:
    name = artifacts.hidden_path(Path(), read_final_test(backup)).name
    path = f"runs/{run_id}/{name}"
    return (
        {name: read_table(name, backup.read_table_bytes(path), classes)} if backup.has(path) else {}
    )


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


def read_keys(backup: Backup) -> dict[str, str]:
    """Read the hashes of the owners' keys by id; nothing but hashes is taken. Raises DataError."""
    if not backup.has(PEOPLE):
        return {}
    rows = backup.read_object(PEOPLE, JSON_BYTES).get("people")
    return {
        row["id"]: row["key"]
        for row in (rows if isinstance(rows, list) else [])
        if isinstance(row, dict)
        and isinstance(row.get("id"), str)
        and isinstance(row.get("key"), str)
        and KEY_HASH.fullmatch(row["key"])
    }


def read_final_test(backup: Backup) -> HiddenTest:
    """Read the hidden final test of the class; one that is off if there is none.

    Raises DataError.
    """
    content = backup.read_object(PEOPLE, JSON_BYTES) if backup.has(PEOPLE) else {}
    try:
        return HiddenTest.model_validate(content.get("final_test", {}))
    except ValidationError as error:
        raise DataError(f"{PEOPLE} is damaged.", AGAIN) from error


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
        stored, adapter, model_id, archive, shape
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
    match result.get("agreement"):
        case {"equal": int(equal), "texts": int(texts)} if 0 <= equal <= texts:
            fields["agreement"] = {"equal": equal, "texts": texts}
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
        known = {name: stored.get(name) is not False for name in ("config_known", "base_known")}
        source = sanitize_name(imported, LONGEST_NAME)
        return result.model_copy(update={"imported": source, **known})
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
