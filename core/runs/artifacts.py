"""Where a run's files lie in its folder, and how they are read back.

    config.json                       the configuration, for people and scripts
    adapter/                          the best adapter in PEFT's format
    checkpoints/00000100/             what a resumed run goes on from: see core.runs.checkpoints
    predictions-test.parquet          of the best adapter; also -validation and -untrained (before training, on a test sample)
    predictions-validation-00000100.parquet   on the fixed subset after that step
    worker.log                        what the worker printed

Final tables carry the text, so a result can be read when its data has gone.

The log of a run, for who may read it: it tells of the machine, with paths and traces.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core.access import Action, require
from core.errors import ArtifactDamaged
from core.storage import files, manifest
from core.storage.job import Job
from core.storage.store import Store
from core.training.events import Split

if TYPE_CHECKING:
    import pandas as pd

TAIL_BYTES = 20_000
AGAIN = "Train it again, or choose another run."


def predictions_path(folder: Path, split: Split, step: int | None = None) -> Path:
    """The table of one evaluation; with ``step`` the validation after that step."""
    return folder / (
        f"predictions-{split}.parquet"
        if step is None
        else f"predictions-{split}-{step:08d}.parquet"
    )


def read_predictions(folder: Path, split: Split, step: int | None = None) -> "pd.DataFrame":
    """One evaluation's table. Raises ArtifactDamaged if it is missing or damaged."""
    return files.read_parquet(predictions_path(folder, split, step))


def validation_steps(folder: Path) -> list[int]:
    """Steps after which the validation predictions were kept, ascending."""
    found = (
        re.fullmatch(r"predictions-validation-([0-9]{8,12})\.parquet", path.name)
        for path in folder.glob("*.parquet")
    )
    return sorted(int(match[1]) for match in found if match)


def has_adapter(folder: Path) -> bool:
    """Whether an adapter is there, as it was written or not."""
    return (folder / "adapter" / "adapter_model.safetensors").is_file()


def adapter_folder(folder: Path) -> Path:
    """Where the best adapter lies. Raises ArtifactDamaged if the run has none, or one that is not
    as it was written.
    """
    adapter = folder / "adapter"
    if not has_adapter(folder):
        raise ArtifactDamaged("This run has no adapter.", AGAIN)
    if (
        adapter / manifest.NAME
    ).exists():  # the shipped example and runs of earlier versions have none
        try:
            manifest.read_sealed(adapter)
        except ArtifactDamaged as error:
            raise ArtifactDamaged(
                f"The adapter of this run is damaged: {error.message}", AGAIN
            ) from error
    return adapter


def save_adapter(folder: Path, step: int, contents: Mapping[str, bytes]) -> None:
    """Keep the best adapter so far, that of ``step``, in the place of an earlier one."""
    files.write_folder(folder / "adapter", manifest.seal(contents, {"step": step}))


def read_log(folder: Path) -> bytes:
    """All that the worker has printed, in every attempt; empty where there is nothing yet."""
    path = folder / "worker.log"
    return path.read_bytes() if path.is_file() else b""


def read_log_tail(folder: Path) -> str:
    """The last lines of the worker's log; empty where there is none yet."""
    path = folder / "worker.log"
    if not path.is_file():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return log.read().decode(errors="replace")


def log_tail(store: Store, job: Job) -> str:
    """Its last lines; empty where there is none yet. Raises NotAllowed."""
    require(store.visitor, Action.READ_LOG, job.owner)
    return read_log_tail(store.folder(job))


def whole_log(store: Store, job: Job) -> bytes:
    """All of it, of every attempt. Raises NotAllowed."""
    require(store.visitor, Action.READ_LOG, job.owner)
    return read_log(store.folder(job))
