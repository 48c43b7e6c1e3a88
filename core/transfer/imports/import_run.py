"""Import an uploaded adapter as a finished run, and install validated runs of any origin: each
becomes a folder of the home folder and a row of the database.

The folder of a run is created atomically and then registered in the database.
"""

import json
import secrets
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pandas as pd

from core.access import Action, require, sanitize_name
from core.config import RunConfig
from core.data.hub import hub_reachable
from core.data.sources import Source, SourceKind
from core.errors import DataError, ModelUnavailable
from core.evaluation.error_analysis import Tag
from core.evaluation.predictions import Predictions
from core.models.catalog import HUB_ID, MODELS, REVISION, ModelLocation, find_model, shape_of
from core.models.model_shape import ModelShape
from core.runs import artifacts
from core.runs.limits import (
    hold_limits,
    list_base_models,
    require_model,
    require_quota,
)
from core.runs.requests import TrainRequest
from core.runs.run import RunResult, SplitScores
from core.settings import Settings
from core.storage import accounts, files
from core.storage.database import Metric
from core.storage.job import RECORD, Job, JobKind, JobState, to_record
from core.storage.resources import MIN_FREE_MB, require_resources
from core.storage.store import Store, date_last
from core.transfer.imports.adapter_config import AdapterConfig, read_config
from core.transfer.imports.archive import AdapterArchive
from core.transfer.imports.metadata import (
    LONGEST_NAME,
    RunMetadata,
    check_tokenizer,
    choose_import_name,
    find_max_tokens,
    read_classes,
    read_metadata,
    read_predictions,
    read_run_config,
    with_revision,
)
from core.transfer.imports.peft_adapter import check_adapter

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
LOCAL = "local/"  # prefix of the identity of a base model from a folder


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
    store: Store,
    archive: AdapterArchive,
    *,
    name: str = "",
    classes: Sequence[str] = (),
    base: str = "",
) -> Job:
    """Create a finished run from ``archive``.

    ``classes`` are the class names, for an archive that has none. ``base`` is the base model as a
    value of ``RunConfig.model``, for an archive that names none of this machine. Raises NotAllowed,
    NotEnoughRoom, ModelUnavailable and DataError.
    """
    require(store.visitor, Action.IMPORT)
    require_quota(store, runs=1, imported_runs=1)
    if base:
        require_model(store, base)
    require_resources(store.settings, MIN_FREE_MB, memory_mb=0)
    config = read_config(archive)
    config = with_revision(config, archive)
    model_id, model = find_base(
        config, store.settings, hub_reachable(store.settings), list_base_models(store), base
    )
    shape = require_shape(model_id, model, "import")
    adapter = check_adapter(archive, config, shape)
    check_tokenizer(archive, model.folder)
    metadata = read_metadata(archive)
    names = read_classes(archive, classes, adapter.classes)
    stored = {"max_tokens": find_max_tokens(archive, model.folder, shape), **metadata.config}
    run_config = read_run_config(stored, adapter, model_id, archive, shape)
    predictions = read_predictions(archive, names)
    job = _create_job(
        store,
        choose_import_name(metadata, name, archive),
        run_config,
        metadata,
        _create_result(archive, metadata, names, predictions).model_copy(
            update={
                "config_known": bool(metadata.config) and adapter.is_uniform,
                "base_known": config.revision == model.revision,
                "base_files": artifacts.record_base_files(model),
            }
        ),
    )
    tables = (
        {}
        if predictions is None
        else {artifacts.predictions_path(Path(), "test").name: predictions}
    )
    peft_files = adapter.files(model.identity, model.revision)
    with hold_limits(store):
        require_quota(store, runs=1, imported_runs=1)
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
    job = Job(
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
    with store.transaction() as db:
        return date_last(db, job)


def install_run(store: Store, run: ValidatedRun) -> None:
    """Build the run's folder, rename it into place, and register the run.

    If the process is killed between the two, the next start registers it. Raises OSError if the
    folder exists.
    """
    folder = store.get_folder(run.job)
    part = files.make_temporary_path(folder, files.IMPORTING)
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


def find_base(
    config: AdapterConfig,
    settings: Settings,
    hub: bool,
    known: Iterable[str],
    chosen: str = "",
) -> tuple[str, ModelLocation]:
    """Return the adapter's base model as a value of ``RunConfig.model``, and its location.

    ``known`` are the base models of existing runs; ``chosen`` overrides the name in the file.
    Raises ModelUnavailable, and DataError for a base model that is unknown or not allowed.
    """
    name, revision = config.base_model_name_or_path, config.revision or ""
    model_id = (
        chosen
        or _match_catalog(name, revision)
        or _match_folder(name, revision, settings, hub, known)
        or _match_hub(name, revision)
    )
    model = find_model(model_id, settings, hub)
    if not model.available:
        raise ModelUnavailable(model.reason, "Then import it again.")
    return model_id, model


def require_shape(model_id: str, model: ModelLocation, action: str) -> ModelShape:
    """Return the shape of the base model. Raises ModelUnavailable if it is not on this machine.

    ``action`` is what the user can do again after a download.
    """
    shape = shape_of(model)
    if shape is None:
        raise ModelUnavailable(
            f"The base model {model_id} has not been downloaded to this machine yet.",
            f"Start a run with it, which downloads it, then {action} again.",
        )
    return shape


def _match_catalog(name: str, revision: str) -> str:
    """Match a model of the catalog; a missing revision, as PEFT often stores, matches too."""
    for model in MODELS.values():
        if name in (model.hub_id, model.hub_id.rpartition("/")[2]):
            if revision not in ("", "main", model.revision):
                message = (
                    f"The adapter was trained for {name} at revision {revision[:40]}, but"
                    f" {model.id} is revision {model.revision[:12]}."
                )
                raise DataError(message, "Train it again on the offered revision.")
            return model.id
    return ""


def _match_folder(
    name: str, revision: str, settings: Settings, hub: bool, known: Iterable[str]
) -> str:
    """Match the folder of a base model of existing runs, by its fingerprint."""
    if not name.startswith(LOCAL):
        return ""
    for candidate in dict.fromkeys([settings.model, *known]):
        if candidate in MODELS or "@" in candidate:
            continue
        model = find_model(candidate, settings, hub)
        if model.available and model.revision == revision:
            return candidate
    folder = f"The base model {name.removeprefix(LOCAL)[:80]!r} came from a folder"
    if not revision:
        raise DataError(
            f"{folder} with fingerprint unknown.", "Choose the base model of the adapter."
        )
    message = f"{folder} with fingerprint {revision[:12]}, which no run on this machine has used."
    raise DataError(
        message, "Copy that folder to this machine, set LORALAB_MODEL to it, and import again."
    )


def _match_hub(name: str, revision: str) -> str:
    """Match a Hub model at a pinned revision."""
    if HUB_ID.fullmatch(name) and REVISION.fullmatch(revision):
        return f"{name}@{revision}"
    if HUB_ID.fullmatch(name):
        message = (
            f"The base model {name!r} is not one of {', '.join(MODELS)}, and adapter_config.json"
            " has no revision for it."
        )
        fix = "Choose the base model, or add its 40 hex digits as revision to adapter_config.json."
        raise DataError(message, fix)
    message = f"The base model in adapter_config.json, {name[:80]!r}, is not the id of a Hub model."
    raise DataError(message, "Choose the base model that the adapter was trained for.")
