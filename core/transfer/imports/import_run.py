"""Import an uploaded adapter as a finished run, and install validated runs.

The folder of a run is created atomically and then registered in the database.
"""

import json
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from core.access import Action, require, sanitize_name
from core.config import RunConfig
from core.data.hub import hub_reachable
from core.data.sources import Source, SourceKind
from core.errors import ModelUnavailable
from core.evaluation.predictions import Predictions
from core.models.catalog import shape_of
from core.runs import artifacts
from core.runs.model_access import known_bases
from core.runs.requests import TrainRequest
from core.runs.run import RunResult, SplitScores
from core.storage import accounts, files, manifest
from core.storage.job import Job, JobKind, JobState
from core.storage.job_record import RECORD
from core.storage.resources import MIN_FREE_MB, require_resources
from core.storage.store import Store
from core.transfer.imports import metadata as told
from core.transfer.imports.archive import AdapterArchive
from core.transfer.imports.peft_adapter import check, find_base, read_config

KNOWN = (
    "model",
    "max_tokens",
    "rank",
    "alpha",
    "dropout",
    "target_modules",
    "rslora",
    "dora",
)  # of an adapter that tells no more


def import_run(
    store: Store, parcel: AdapterArchive, *, name: str = "", classes: Sequence[str] = ()
) -> Job:
    """Create a finished run from ``parcel``; ``classes`` are the class names if the archive has
    none.

    Raises NotAllowed, NotEnoughRoom, ModelUnavailable, and DataError with the problem.
    """
    require(store.visitor, Action.IMPORT)
    require_resources(store.settings, MIN_FREE_MB, memory_mb=0)
    config = read_config(parcel)
    config = told.with_revision(config, parcel)
    model_id, model = find_base(
        config, store.settings, hub_reachable(store.settings), known_bases(store)
    )
    shape = shape_of(model)
    if shape is None:
        raise ModelUnavailable(
            f"Its base {model_id} is not on this machine yet.",
            "Start a run on it, which fetches it, then import again.",
        )
    adapter = check(parcel, config, shape)
    story = told.read_metadata(parcel)
    names = told.read_classes(parcel, classes, adapter.classes)
    run_config = told.read_run_config(story, config, model_id, parcel, shape)
    predictions = told.read_predictions(parcel, names)
    data, mark = told.read_data(story)
    job = _job(
        store,
        told.read_name(story, name, parcel),
        run_config,
        data,
        mark,
        _result(parcel, story, names, predictions, data),
    )
    record = {**asdict(job), "metrics": told.read_metrics(story)}
    tables = (
        {}
        if predictions is None
        else {artifacts.predictions_path(Path(), "test").name: predictions}
    )
    install_run(
        store, job, record, run_config, adapter.files(model.identity, model.revision), tables
    )
    accounts.note(store, Action.IMPORT, f"{job.id} {job.name}")
    return store.job(job.id)


def _result(
    parcel: AdapterArchive,
    story: dict[str, Any],
    classes: tuple[str, ...],
    predictions: pd.DataFrame | None,
    data: str,
) -> dict[str, object]:
    result = RunResult.model_validate(
        {
            **told.read_figures(story),
            "classes": classes,
            "imported": sanitize_name(parcel.name, told.LONGEST_NAME),
            "config_known": isinstance(story.get("config"), dict),
            **({"data": data} if data else {}),
        }
    )
    if predictions is None:
        return result.to_dict()
    scores = SplitScores.of(Predictions.of(predictions, len(classes)))
    return result.model_copy(update={"test": scores}).to_dict()


def _job(
    store: Store, name: str, config: RunConfig, data: str, mark: str, result: dict[str, object]
) -> Job:
    source = Source(SourceKind.IMPORTED, data or "unknown data")
    request = TrainRequest(config=config, source=source).model_dump_json()
    now, owner = store.clock(), store.visitor.id
    ended = {
        "ended_at": now,
        "fingerprint": mark,
        "result_json": json.dumps(result, allow_nan=False),
    }
    return Job(
        secrets.token_hex(4),
        JobKind.TRAIN,
        name,
        JobState.COMPLETED,
        1,
        owner,
        request,
        now,
        **ended,  # type: ignore[arg-type]
    )


# ends the name of a folder that is being built; another ending than that of files, which a
# supervisor sweeps
UNDER_WAY = ".importing"
STALE_SECONDS = 3600


def install_run(
    store: Store,
    job: Job,
    record: Mapping[str, object],
    config: RunConfig,
    adapter: Mapping[str, bytes] | None,
    tables: Mapping[str, pd.DataFrame],
    beside: Mapping[str, object] | None = None,
) -> None:
    """Build the folder, rename it into place, and register the run; after a crash it is recovered
    from ``job.json``.

    ``tables`` and the JSON files ``beside`` are keyed by file name. Raises OSError if the folder
    exists.
    """
    folder = store.folder(job)
    _clear_away(folder.parent)
    part = folder.with_name(f".{job.id}{UNDER_WAY}")
    try:
        if adapter is not None:
            files.write_folder(part / "adapter", manifest.seal(adapter, {"step": 0}))
        for name, frame in tables.items():
            files.write_parquet(part / name, frame)
        for name, value in {
            "config.json": config.model_dump(mode="json"),
            **(beside or {}),
            RECORD: record,
        }.items():
            files.write_json(part / name, value)
        files.disk.rename(part, folder)
    finally:
        if part.exists():
            shutil.rmtree(part, ignore_errors=True)
    files.disk.sync(folder.parent)
    store.adopt(folder)


def _clear_away(jobs: Path) -> None:
    """Delete the leftovers of interrupted imports."""
    for leftover in jobs.glob(f".*{UNDER_WAY}"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
