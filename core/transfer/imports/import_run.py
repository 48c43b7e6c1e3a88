"""Import an uploaded adapter as a finished run."""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from core.access import Action, require, sanitize_name
from core.config import RunConfig
from core.data.hub import hub_reachable
from core.data.sources import Source, SourceKind
from core.evaluation.predictions import Predictions
from core.runs import artifacts
from core.runs.limits import list_base_models
from core.runs.requests import TrainRequest
from core.runs.run import RunResult, SplitScores
from core.storage import accounts
from core.storage.job import Job, JobKind, JobState
from core.storage.resources import MIN_FREE_MB, require_resources
from core.storage.store import Store
from core.transfer.imports.archive import AdapterArchive
from core.transfer.imports.installation import ValidatedRun, install_run
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
        _create_result(archive, metadata, names, predictions),
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
