"""The exports of a run that can be downloaded, and where they are stored.

jobs/<id of the run>/exports/<format>.zip    the download
jobs/<id of the run>/exports/<format>.json   its verification; {} for a format without a model
"""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import ArtifactDamaged
from core.storage import files
from core.storage.job import Job
from core.storage.store import Store
from core.transfer.export.formats import Format, Verification


class ExportRequest(BaseModel):
    """Request to export a run in one format."""

    model_config = ConfigDict(frozen=True)

    run: str
    format: Format


@dataclass(frozen=True, slots=True)
class Ready:
    """An export that can be downloaded; without verification if it contains no model."""

    path: Path
    bytes: int
    proof: Verification | None


def exports_folder(store: Store, job: Job) -> Path:
    """Folder of a run's exports."""
    return store.folder(job) / "exports"


def read_ready(store: Store, job: Job, target: Format) -> Ready | None:
    """Find an export that can be downloaded; None if there is none."""
    folder = exports_folder(store, job)
    path = folder / f"{target}.zip"
    try:
        told = files.read_json(folder / f"{target}.json")
        return Ready(path, path.stat().st_size, Verification.model_validate(told) if told else None)
    except (OSError, ArtifactDamaged, ValidationError):
        return None
