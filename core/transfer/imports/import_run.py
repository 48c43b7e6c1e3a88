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
from core.runs.limits import list_base_models
from core.runs.requests import TrainRequest
from core.runs.run import RunResult, SplitScores
from core.storage import accounts, files
from core.storage.job import RECORD, Job, JobKind, JobState
from core.storage.resources import MIN_FREE_MB, require_resources
from core.storage.store import Store
from core.transfer.imports.archive import AdapterArchive
from core.transfer.imports.metadata import (
    LONGEST_NAME,
    read_classes,
    read_data,
    read_figures,
    read_metadata,
    read_metrics,
    read_name,
    read_predictions,
    read_run_config,
    with_revision,
)
from core.transfer.imports.peft_adapter import check_adapter, find_base, read_config

# fields of ``RunConfig`` that the adapter's own files give, without run.json
ADAPTER_FIELDS = (
    "model",
    "max_tokens",
    "rank",
    "alpha",
    "dropout",
    "target_modules",
    "rslora",
    "dora",
)


def import_run(
    store: Store, archive: AdapterArchive, *, name: str = "", classes: Sequence[str] = ()
) -> Job:
    """Create a finished run from ``archive``.

    ``classes`` are the class names, for an archive that has none. Raises NotAllowed, NotEnoughRoom,
    ModelUnavailable and DataError.
    """
    require(store.visitor, Action.IMPORT)
    require_resources(store.settings, MIN_FREE_MB, memory_mb=0)
    config = read_config(archive)
    config = with_revision(config, archive)
    model_id, model = find_base(
        config, store.settings, hub_reachable(store.settings), list_base_models(store)
    )
    shape = shape_of(model)
    if shape is None:
        raise ModelUnavailable(
            f"The base model {model_id} has not been downloaded to this machine yet.",
            "Start a run with it, which downloads it, then import again.",
        )
    adapter = check_adapter(archive, config, shape)
    metadata = read_metadata(archive)
    names = read_classes(archive, classes, adapter.classes)
    run_config = read_run_config(metadata, config, model_id, archive, shape)
    predictions = read_predictions(archive, names)
    data, fingerprint = read_data(metadata)
    job = _create_job(
        store,
        read_name(metadata, name, archive),
        run_config,
        data,
        fingerprint,
        _create_result(archive, metadata, names, predictions, data),
    )
    record = {**asdict(job), "metrics": read_metrics(metadata)}
    tables = (
        {}
        if predictions is None
        else {artifacts.predictions_path(Path(), "test").name: predictions}
    )
    install_run(
        store, job, record, run_config, adapter.files(model.identity, model.revision), tables
    )
    accounts.log_action(store, Action.IMPORT, f"{job.id} {job.name}")
    return store.read_job(job.id)


def _create_result(
    archive: AdapterArchive,
    metadata: dict[str, Any],
    classes: tuple[str, ...],
    predictions: pd.DataFrame | None,
    data: str,
) -> dict[str, object]:
    result = RunResult.model_validate(
        {
            **read_figures(metadata),
            "classes": classes,
            "imported": sanitize_name(archive.name, LONGEST_NAME),
            "config_known": isinstance(metadata.get("config"), dict),
            **({"data": data} if data else {}),
        }
    )
    if predictions is None:
        return result.to_dict()
    scores = SplitScores.of(Predictions.of(predictions, len(classes)))
    return result.model_copy(update={"test": scores}).to_dict()


def _create_job(
    store: Store,
    name: str,
    config: RunConfig,
    data: str,
    fingerprint: str,
    result: dict[str, object],
) -> Job:
    source = Source(SourceKind.IMPORTED, data or "unknown data")
    request = TrainRequest(config=config, source=source).model_dump_json()
    now, owner = store.clock(), store.visitor.id
    ended = {
        "ended_at": now,
        "fingerprint": fingerprint,
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


# suffix of a folder that is being built; not the suffix of files, which a supervisor deletes
IMPORTING = ".importing"
STALE_SECONDS = 3600  # no import takes an hour


def install_run(
    store: Store,
    job: Job,
    record: Mapping[str, object],
    config: RunConfig,
    adapter: Mapping[str, bytes] | None,
    tables: Mapping[str, pd.DataFrame],
    extra_files: Mapping[str, object] | None = None,
) -> None:
    """Build the run's folder, rename it into place, and register the run.

    After a crash between the two the run is recovered from ``job.json``. ``tables`` (Parquet) and
    ``extra_files`` (JSON) are keyed by file name. Raises OSError if the folder exists.
    """
    folder = store.find_folder(job)
    _delete_leftovers(folder.parent)
    part = folder.with_name(f".{job.id}{IMPORTING}")
    try:
        if adapter is not None:
            files.write_folder(part / "adapter", files.seal(adapter, {"step": 0}))
        for name, frame in tables.items():
            files.write_parquet(part / name, frame)
        for name, value in {
            "config.json": config.model_dump(mode="json"),
            **(extra_files or {}),
            RECORD: record,
        }.items():
            files.write_json(part / name, value)
        files.disk.rename(part, folder)
    finally:
        if part.exists():
            shutil.rmtree(part, ignore_errors=True)
    files.disk.sync(folder.parent)
    store.adopt(folder)


def _delete_leftovers(jobs: Path) -> None:
    """Delete the folders of interrupted imports."""
    for leftover in jobs.glob(f".*{IMPORTING}"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
