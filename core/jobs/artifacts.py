"""Where a run's files lie in its folder, and how they are read back.

    config.json                       the configuration, for people and scripts
    adapter/                          the best adapter in PEFT's format
    checkpoints/00000100/             what a resumed run goes on from; the last two are kept
    predictions-test.parquet          of the best adapter; also -validation and -untrained (before training, on a test sample)
    predictions-validation-00000100.parquet   on the fixed subset after that step
    worker.log                        what the worker printed

Final tables carry the text, so a result can be read when its data has gone.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from core import files
from core.errors import ArtifactDamaged
from core.training.events import Split

if TYPE_CHECKING:
    import pandas as pd

KEPT_CHECKPOINTS = 2  # the newest may be the one that a crash left unverifiable
TAIL_BYTES = 20_000


def predictions_path(folder: Path, split: Split, step: int | None = None) -> Path:
    """The table of one evaluation; with ``step`` the validation after that step."""
    return folder / (f"predictions-{split}.parquet" if step is None else f"predictions-{split}-{step:08d}.parquet")


def read_predictions(folder: Path, split: Split, step: int | None = None) -> "pd.DataFrame":
    """One evaluation's table. Raises ArtifactDamaged if it is missing or damaged."""
    return files.read_parquet(predictions_path(folder, split, step))


def validation_steps(folder: Path) -> list[int]:
    """Steps after which the validation predictions were kept, ascending."""
    return sorted(int(path.stem.rsplit("-", 1)[1]) for path in folder.glob("predictions-validation-*.parquet"))


def save_checkpoint(folder: Path, step: int, contents: Mapping[str, bytes]) -> None:
    """Keep a checkpoint and drop all but the newest two, by step."""
    files.write_folder(_checkpoint(folder, step), contents)
    for old in checkpoint_steps(folder)[:-KEPT_CHECKPOINTS]:
        files.remove_folder(_checkpoint(folder, old))


def checkpoint_steps(folder: Path) -> list[int]:
    """Steps of the complete checkpoints, ascending."""
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("[0-9]*"))


def read_checkpoint(folder: Path, step: int) -> dict[str, bytes]:
    """The files of one checkpoint. Raises ArtifactDamaged if there are none."""
    contents = {path.name: path.read_bytes() for path in _checkpoint(folder, step).glob("*")}
    if not contents:
        raise ArtifactDamaged(f"The checkpoint of step {step:,} is empty.")
    return contents


def adapter_folder(folder: Path) -> Path:
    """Where the best adapter lies. Raises ArtifactDamaged if the run has none."""
    adapter = folder / "adapter"
    if not (adapter / "adapter_model.safetensors").is_file():
        raise ArtifactDamaged("This run has no adapter.", "Train it again, or choose another run.")
    return adapter


def read_log_tail(folder: Path) -> str:
    """The last lines of the worker's log; empty where there is none yet."""
    path = folder / "worker.log"
    if not path.is_file():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return log.read().decode(errors="replace")


def _checkpoint(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"{step:08d}"
