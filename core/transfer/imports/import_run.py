"""Import an uploaded adapter as a finished run, and install validated runs of any origin: each
becomes a folder of the home folder and a row of the database.

The folder of a run is created atomically and then registered in the database.
"""

import json
import secrets
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from core.access import Action, require, sanitize_name
from core.config import RunConfig
from core.data.hub import hub_reachable
from core.data.sources import Source, SourceKind
from core.evaluation.error_analysis import Tag
from core.evaluation.predictions import Predictions
from core.runs import artifacts
from core.runs.limits import list_base_models
from core.runs.requests import TrainRequest
from core.runs.run import RunResult, SplitScores
from core.storage import accounts, files
from core.storage.database import Metric
from core.storage.job import RECORD, Job, JobKind, JobState, to_record
from core.storage.resources import MIN_FREE_MB, require_resources
from core.storage.store import Store
from core.transfer.imports.archive import AdapterArchive
from core.transfer.imports.metadata import (
    LONGEST_NAME,
    RunMetadata,
    choose_import_name,
    read_classes,
    read_metadata,
    read_predictions,
    read_run_config,
    with_revision,
)
from core.transfer.imports.peft_adapter import check_adapter, find_base, read_config, require_shape

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
# suffix of a folder that is being built; not the suffix of files, which a supervisor deletes
IMPORTING = ".importing"
STALE_SECONDS = 3600  # no import takes an hour


@dataclass(frozen=True, eq=False)
class ValidatedRun:
    """A run that can be installed.

    Args:
        job: Its record.
        config: Its configuration, with a base model that exists on this machine.
        adapter: The files that PEFT saves; None for a run without an adapter.
        metrics: The points of its curves.
        tables: Predictions by file name.
        tags: The tags of its texts.
    """

    job: Job
    config: RunConfig
    adapter: Mapping[str, bytes] | None
    metrics: Sequence[Metric] = ()
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    tags: Sequence[Tag] = ()


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
    shape = require_shape(model_id, model, "import")
    adapter = check_adapter(archive, config, shape)
    metadata = read_metadata(archive)
    names = read_classes(archive, classes, adapter.classes)
    run_config = read_run_config(metadata.config or {}, config, model_id, archive, shape)
    predictions = read_predictions(archive, names)
    job = _create_job(
        store,
        choose_import_name(metadata, name, archive),
        run_config,
        metadata,
        _create_result(archive, metadata, names, predictions).model_copy(
            update={"base_files": artifacts.record_base_files(model)}
        ),
    )
    tables = (
        {}
        if predictions is None
        else {artifacts.predictions_path(Path(), "test").name: predictions}
    )
    peft_files = adapter.files(model.identity, model.revision)
    install_run(store, ValidatedRun(job, run_config, peft_files, metadata.metrics, tables))
    accounts.log_action(store, Action.IMPORT, f"{job.id} {job.name}")
    return store.read_job(job.id)


def _create_result(
    archive: AdapterArchive,
    metadata: RunMetadata,
    classes: tuple[str, ...],
    predictions: pd.DataFrame | None,
) -> RunResult:
    fields: dict[str, object] = {
        "classes": classes,
        "imported": sanitize_name(archive.name, LONGEST_NAME),
        "config_known": metadata.config is not None,
        **({"data": metadata.data} if metadata.data else {}),
    }
    if predictions is not None:
        fields["test"] = SplitScores.of(Predictions.of(predictions, len(classes)))
    return metadata.figures.model_copy(update=fields)


def _create_job(
    store: Store,
    name: str,
    config: RunConfig,
    metadata: RunMetadata,
    result: RunResult,
) -> Job:
    source = Source(SourceKind.IMPORTED, metadata.data or "unknown data")
    request = TrainRequest(config=config, source=source).model_dump_json()
    now, owner = store.clock(), store.visitor.id
    return Job(
        secrets.token_hex(4),
        JobKind.TRAIN,
        name,
        JobState.COMPLETED,
        1,
        owner,
        request,
        now,
        ended_at=now,
        fingerprint=metadata.fingerprint,
        result_json=json.dumps(result.to_dict(), allow_nan=False),
    )


def install_run(store: Store, run: ValidatedRun) -> None:
    """Build the run's folder, rename it into place, and register the run.

    After a crash between the two the run is recovered from ``job.json``. Raises OSError if the
    folder exists.
    """
    folder = store.get_folder(run.job)
    _delete_leftovers(folder.parent)
    part = folder.with_name(f".{run.job.id}{IMPORTING}")
    try:
        if run.adapter is not None:
            files.write_folder(part / "adapter", files.add_manifest(run.adapter, {"step": 0}))
        for name, frame in run.tables.items():
            files.write_parquet(part / name, frame)
        files.write_json(part / "config.json", run.config.model_dump(mode="json"))
        if run.tags:
            files.write_json(part / "tags.json", [asdict(tag) for tag in run.tags])
        files.write_json(part / RECORD, to_record(run.job, run.metrics))
        files.disk.rename(part, folder)
    finally:
        if part.exists():
            shutil.rmtree(part, ignore_errors=True)
    files.disk.sync(folder.parent)
    store.insert_from_folder(folder)


def _delete_leftovers(jobs: Path) -> None:
    """Delete the folders of interrupted imports."""
    for leftover in jobs.glob(f".*{IMPORTING}"):
        if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(leftover, ignore_errors=True)
