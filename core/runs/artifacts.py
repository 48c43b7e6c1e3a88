"""Files in a run's folder: adapter, checkpoints, predictions and log.

    config.json                       the configuration
    adapter/                          the best adapter in PEFT's format
    checkpoints/00000100/             files of step 100 and their manifest
    predictions-test.parquet          of the best adapter; also -validation
    predictions-untrained.parquet     before training, on a sample of the test split
    predictions-validation-00000100.parquet   on the fixed subset after that step
    hidden-0123456789ab.parquet       of a hidden final test of the class, with its id
    worker.log                        output of the worker

Final tables include the texts, so that a result can be read after its data have been deleted. The
two newest checkpoints are kept, and the one of the best step.
"""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from core.access import Action, require
from core.errors import ArtifactDamaged, ConfigError, DataError, ModelUnavailable
from core.models.catalog import ModelLocation
from core.models.model_shape import weight_files
from core.settings import Settings
from core.storage import files
from core.storage.files import add_manifest, read_verified
from core.storage.job import Job
from core.storage.store import Store
from core.training.events import EvaluatedSplit

if TYPE_CHECKING:
    import pandas as pd

    from core.data.hidden_test import HiddenTest


# of a folder: what decides tokens and predictions, besides the weights
BASE_FILES = (
    "config.json",
    "tokenizer*",
    "vocab*",
    "merges.txt",
    "*.model",
    "special_tokens*.json",
)
TAIL_BYTES = 20_000
AGAIN = "Train it again, or choose another run."
CLONE = "Clone the run and train it from scratch."
KEPT_NEWEST = 2  # if one is unreadable, resuming from the other repeats half a minute of work

log = logging.getLogger(__name__)


def predictions_path(folder: Path, split: EvaluatedSplit, step: int | None = None) -> Path:
    """Return the path of a table of predictions; with ``step`` of the validation after it."""
    return folder / (
        f"predictions-{split}.parquet"
        if step is None
        else f"predictions-{split}-{step:08d}.parquet"
    )


def hidden_path(folder: Path, test: "HiddenTest") -> Path:
    """Return the path of the predictions of a hidden final test of the class.

    A run that has them was trained and scored without the texts of that test.
    """
    return folder / f"hidden-{test.id}.parquet"


def read_predictions(
    folder: Path, split: EvaluatedSplit, step: int | None = None
) -> "pd.DataFrame":
    """Read a table of predictions as ``read_visible_table`` does."""
    return read_visible_table(predictions_path(folder, split, step))


def read_visible_table(path: Path) -> "pd.DataFrame":
    """Read a table of predictions, without the texts of a hidden final test of the class.

    All readers use this function. Raises ArtifactDamaged if the table is missing or damaged.
    """
    # loads pandas, which the supervisor does not need
    from core.data.hidden_test import (  # noqa: PLC0415
        hide_rows,
        is_unprepared,
        read_hidden_test,
    )

    frame, folder = files.read_parquet(path), path.parent
    settings = Settings(home=folder.parent.parent)
    hidden = read_hidden_test(settings)
    if not hidden.is_hiding:
        return frame
    of_test_rows = not path.name.startswith("predictions-validation")
    early = of_test_rows and not hidden_path(folder, hidden).is_file()
    if early and "text" not in frame:
        raise ArtifactDamaged(
            "These predictions have no texts, so the hidden final test cannot be left out.", AGAIN
        )
    if early and is_unprepared(settings):
        raise ArtifactDamaged(
            "The class has a hidden final test, but the data have not been prepared without it.",
            "Prepare the data on the page Explore.",
        )
    return hide_rows(settings, frame)


def list_validation_steps(folder: Path) -> list[int]:
    """List the steps with stored validation predictions, in ascending order."""
    matches = (
        re.fullmatch(r"predictions-validation-([0-9]{8,12})\.parquet", path.name)
        for path in folder.glob("*.parquet")
    )
    return sorted(int(match[1]) for match in matches if match)


def has_adapter(folder: Path) -> bool:
    """Return whether the folder has an adapter, intact or not."""
    return (folder / "adapter" / "adapter_model.safetensors").is_file()


def find_adapter(folder: Path) -> Path:
    """Return the folder of the best adapter. Raises ArtifactDamaged if it is missing or changed."""
    adapter = folder / "adapter"
    if not has_adapter(folder):
        raise ArtifactDamaged("This run has no adapter.", AGAIN)
    # the bundled example and runs of earlier versions have no manifest
    if (adapter / files.MANIFEST).exists():
        try:
            files.read_verified(adapter)
        except ArtifactDamaged as error:
            raise ArtifactDamaged(
                f"The adapter of this run is damaged: {error.message}", AGAIN
            ) from error
    return adapter


def save_adapter(folder: Path, step: int, contents: Mapping[str, bytes]) -> None:
    """Store the best adapter so far, from ``step``, in place of an earlier one."""
    files.write_folder(folder / "adapter", files.add_manifest(contents, {"step": step}))


def read_log(folder: Path) -> bytes:
    """Read the output of the worker in all attempts; empty before there is any."""
    path = folder / "worker.log"
    return path.read_bytes() if path.is_file() else b""


def read_log_tail(folder: Path) -> str:
    """Read the last lines of the worker's log; empty before there is one."""
    path = folder / "worker.log"
    if not path.is_file():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return log.read().decode(errors="replace")


def measure_log(folder: Path) -> int:
    """Return the size of the worker's log in bytes; 0 before there is one."""
    path = folder / "worker.log"
    return path.stat().st_size if path.is_file() else 0


def read_job_log_tail(store: Store, job: Job) -> str:
    """Read the last lines of a job's log, as far as the visitor may. Raises NotAllowed."""
    require(store.visitor, Action.READ_LOG, job.owner)
    return read_log_tail(store.get_folder(job))


def read_job_log(store: Store, job: Job) -> bytes:
    """Read a job's whole log, as far as the visitor may. Raises NotAllowed."""
    require(store.visitor, Action.READ_LOG, job.owner)
    return read_log(store.get_folder(job))


@dataclass(frozen=True)
class TrainingIdentity:
    """The run that a checkpoint belongs to: fingerprints of configuration, data and base model, and
    the versions of libraries.
    """

    config: str
    data: str
    model: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class SavedCheckpoint:
    """An intact checkpoint; step 0 without files is the start. ``skipped`` has the reason for each
    newer one that was not used.
    """

    step: int
    best_step: int
    files: dict[str, bytes]
    skipped: tuple[str, ...]


def save_checkpoint(
    folder: Path,
    step: int,
    contents: Mapping[str, bytes],
    identity: TrainingIdentity,
    best_step: int,
) -> None:
    """Store a checkpoint in the run's ``folder``, and remove those that are neither one of the
    newest two nor the one of the best step.
    """
    facts = {
        "step": step,
        "best_step": best_step,
        "config": identity.config,
        "data": identity.data,
        "model": identity.model,
    }
    files.write_folder(
        _checkpoint_path(folder, step),
        add_manifest(contents, {**facts, "versions": dict(identity.versions)}),
    )
    for old in list_checkpoints(folder)[:-KEPT_NEWEST]:
        if old != best_step:
            files.remove_folder(_checkpoint_path(folder, old))


def list_checkpoints(folder: Path) -> list[int]:
    """List the steps that have a checkpoint, intact or not, in ascending order."""
    return sorted(
        int(path.name)
        for path in (folder / "checkpoints").glob("*")
        if re.fullmatch(r"[0-9]{8,12}", path.name)
    )


def find_checkpoint(folder: Path, identity: TrainingIdentity) -> SavedCheckpoint:
    """Find the newest intact checkpoint, or the start, and remove the damaged ones after it.

    Raises ConfigError, DataError or ModelUnavailable if it belongs to another configuration, other
    data or another base model.
    """
    skipped: list[str] = []
    for step in reversed(list_checkpoints(folder)):
        try:
            facts, contents = read_verified(_checkpoint_path(folder, step))
            best_step = _read_int(facts, "best_step")
            if _read_int(facts, "step") != step:
                raise ArtifactDamaged(f"It belongs to step {facts['step']}.")
        except ArtifactDamaged as error:
            skipped.append(f"The checkpoint of step {step:,} cannot be used: {error.message}")
            log.warning("%s", skipped[-1])
            continue
        _require_same(facts, identity, step)
        _drop_after(folder, step)
        return SavedCheckpoint(step, best_step, contents, tuple(skipped))
    _drop_after(folder, 0)
    return SavedCheckpoint(0, 0, {}, tuple(skipped))


def _require_same(facts: Mapping[str, object], identity: TrainingIdentity, step: int) -> None:
    where = f"The checkpoint of step {step:,} was made with"
    if facts.get("data") != identity.data:
        raise DataError(
            f"{where} other data: fingerprint {facts.get('data')} then, {identity.data} now.",
            CLONE,
        )
    if facts.get("config") != identity.config:
        raise ConfigError(
            f"{where} a configuration that differs from the one this run has now.", CLONE
        )
    if facts.get("model") != identity.model:
        message = f"{where} another base model: {facts.get('model')} then, {identity.model} now."
        raise ModelUnavailable(
            message, "Restore the earlier model, or clone the run and train it from scratch."
        )
    if facts.get("versions") != dict(identity.versions):
        log.warning(
            "%s %s; the versions now are %s: curves may differ slightly",
            where,
            facts.get("versions"),
            dict(identity.versions),
        )


def _drop_after(folder: Path, step: int) -> None:
    for later in list_checkpoints(folder):
        if later > step:
            files.remove_folder(_checkpoint_path(folder, later))


def _read_int(facts: Mapping[str, object], name: str) -> int:
    value = facts.get(name)
    if not isinstance(value, int):
        raise ArtifactDamaged(f"Its manifest has no {name}.")
    return value


def _checkpoint_path(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"{step:08d}"


class BaseFile(BaseModel):
    """A file of a base model: its name, size, times of modification and of the last change of its
    content or status (0 in records of earlier versions), and SHA-256.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    size: int
    modified_ns: int
    changed_ns: int = 0
    sha256: str


def record_base_files(model: ModelLocation) -> tuple[BaseFile, ...]:
    """Record the files that decide what the base model computes; empty before a download.

    A revision of the Hub names the configuration and the tokenizer; only its weights are recorded.
    """
    return tuple(
        BaseFile(
            name=path.name,
            size=path.stat().st_size,
            modified_ns=path.stat().st_mtime_ns,
            changed_ns=path.stat().st_ctime_ns,
            sha256=_hash_file(path),
        )
        for path in _list_base_files(model)
    )


def list_changed_files(recorded: Sequence[BaseFile], folder: Path) -> list[str]:
    """List the recorded files whose content in ``folder`` is now different or missing.

    A file is read only if its size or a time differs from the record, and once per process then.
    """
    return [file.name for file in recorded if _is_changed(file, folder / file.name)]


def read_base_revision(adapter: Path) -> str | None:
    """Read the revision of the base model in the adapter's configuration, if it has one.

    Raises ArtifactDamaged.
    """
    try:
        content = json.loads((adapter / "adapter_config.json").read_bytes())
    except (OSError, ValueError) as error:
        raise ArtifactDamaged("adapter_config.json of the run is damaged.", AGAIN) from error
    revision = content.get("revision") if isinstance(content, dict) else None
    return revision if isinstance(revision, str) else None


def _list_base_files(model: ModelLocation) -> list[Path]:
    if model.folder is None:
        return []
    weights = weight_files(model.folder)
    if model.hub_id:
        return weights
    others = (path for name in BASE_FILES for path in sorted(model.folder.glob(name)))
    return [*weights, *(path for path in others if path.is_file())]


def _is_changed(recorded: BaseFile, path: Path) -> bool:
    try:
        now = path.stat()
        times = (recorded.modified_ns, recorded.changed_ns)
        # archives may give all files the same time of modification, but not of change
        if (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (recorded.size, *times):
            return False
        return now.st_size != recorded.size or _hash_file(path) != recorded.sha256
    except OSError:
        return True


def _hash_file(path: Path) -> str:
    now = path.stat()
    return _hash_content(path, now.st_size, now.st_mtime_ns, now.st_ctime_ns)


@lru_cache(maxsize=256)
def _hash_content(path: Path, size: int, modified_ns: int, changed_ns: int) -> str:
    """Return the SHA-256 of a file; size and times are part of the cache's key."""
    return files.compute_file_checksum(path)
