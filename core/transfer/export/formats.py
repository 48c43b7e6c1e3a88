"""Export formats, the verification of an export, and where a run's finished exports are stored.

jobs/<id of the run>/exports/<format>.zip    the download
jobs/<id of the run>/exports/<format>.json   time, and its verification if it contains a model

Imports no ML library, because pages import it.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.data.hidden_test import read_hidden_test
from core.errors import ArtifactDamaged
from core.evaluation.scores import Proportion
from core.runs import artifacts
from core.runs.limits import EXPORTS
from core.storage import files
from core.storage.job import Job
from core.storage.store import Store


class Format(StrEnum):
    """An export format."""

    ADAPTER = "adapter"
    MERGED = "merged"
    ONNX = "onnx"
    ONNX_INT8 = "onnx-int8"
    TENSORBOARD = "tensorboard"
    SCRIPT = "script"
    BUNDLE = "bundle"


# the formats with a model, whose predictions are verified
MODELS = (Format.ADAPTER, Format.MERGED, Format.ONNX, Format.ONNX_INT8)
TITLES = {
    Format.ADAPTER: "LoRA adapter",
    Format.MERGED: "Merged model",
    Format.ONNX: "ONNX",
    Format.ONNX_INT8: "ONNX, 8 bits",
    Format.TENSORBOARD: "Curves for TensorBoard",
    Format.SCRIPT: "Script and notebook",
    Format.BUNDLE: "Everything in one zip",
}
USES = {
    Format.ADAPTER: "Only the trained weights, for PEFT: small, but needs the base model.",
    Format.MERGED: "One model with the adapter merged into its weights, for transformers.",
    Format.ONNX: (
        "One file for onnxruntime, without torch: for servers, phones and other languages."
    ),
    Format.ONNX_INT8: (
        "ONNX with 8-bit weights: a quarter of the size and faster on many CPUs; a few"
        " predictions differ."
    ),
    Format.TENSORBOARD: "Event files of loss, accuracy, learning rate and speed.",
    Format.SCRIPT: (
        "train.py and a notebook that repeat the training with plain transformers and PEFT."
    ),
    Format.BUNDLE: (
        "Adapter, ONNX, predictions, curves, script, model card, and all other finished exports."
        " Can be imported again."
    ),
}
# largest difference of a probability that counts as equal; 8-bit models are compared by labels
TOLERANCE = 1e-4
MIN_INT8_AGREEMENT = 0.98  # proportion of texts to which an 8-bit model must give the same label


class Verification(BaseModel):
    """Comparison of an export with its run on test texts; the export is loaded from its files.

    ``max_probability_difference`` is between export and run. ``differs_from_base`` is the largest
    difference of a probability from the untrained base model: the export must not be a copy of it.
    ``code_executed``: its code was executed as printed, which earlier versions did not do.
    """

    model_config = ConfigDict(frozen=True)

    format: Format
    texts: int
    labels_equal: int
    max_probability_difference: float
    differs_from_base: float
    bytes: int
    rows_per_second: float
    run_rows_per_second: float
    code_executed: bool = False

    @property
    def equal(self) -> Proportion:
        """Proportion of texts with the same label, with its 95 % interval."""
        return Proportion(self.labels_equal, self.texts)

    @property
    def holds(self) -> bool:
        """Whether the export predicts as the run does, so that it may be downloaded."""
        if not self.texts or self.differs_from_base <= TOLERANCE:
            return False
        if self.format is Format.ONNX_INT8:
            return self.equal.value >= MIN_INT8_AGREEMENT
        return self.labels_equal == self.texts and self.max_probability_difference <= TOLERANCE

    def describe(self) -> dict[str, object]:
        """Return the values that the command line prints."""
        return {
            "texts": self.texts,
            "labels_equal": self.labels_equal == self.texts,
            "labels_equal_share": round(self.equal.value, 4),
            "max_probability_difference": self.max_probability_difference,
            "differs_from_base": self.differs_from_base > TOLERANCE,
            "rows_per_second": round(self.rows_per_second, 1),
            "bytes": self.bytes,
        }


class ExportRequest(BaseModel):
    """Request to export a run in one format."""

    model_config = ConfigDict(frozen=True)

    run: str
    format: Format


@dataclass(frozen=True, slots=True)
class ReadyExport:
    """An export that can be downloaded; ``verification`` is None if it contains no model."""

    path: Path
    bytes: int
    verification: Verification | None


def exports_folder(store: Store, job: Job) -> Path:
    """Return the folder of a run's exports."""
    return store.get_folder(job) / EXPORTS


def read_ready(store: Store, job: Job, target: Format) -> ReadyExport | None:
    """Read an export that can be downloaded; None if there is none.

    While a final test of the class is hidden, an export from before is none: it has its scores.
    """
    folder = exports_folder(store, job)
    path = folder / f"{target}.zip"
    try:
        content = files.read_json(folder / f"{target}.json")
        record = _Record.model_validate(content)
        if _is_hidden(store, job, record.written_at):
            return None
        verification = Verification.model_validate(content) if record.format else None
        return ReadyExport(path, path.stat().st_size, verification)
    except (OSError, ArtifactDamaged, ValidationError):
        return None


def is_hidden(store: Store, job: Job, target: Format) -> bool:
    """Return whether there is an export that must wait for the final test of the class."""
    folder = exports_folder(store, job)
    try:
        record = _Record.model_validate(files.read_json(folder / f"{target}.json"))
        return _is_hidden(store, job, record.written_at)
    except (ArtifactDamaged, ValidationError):
        return False


def write_record(path: Path, verification: Verification | None, written_at: float) -> None:
    """Write the record of an export, which began to read its run at ``written_at``."""
    content = verification.model_dump(mode="json") if verification else {}
    files.write_json(path, {**content, "written_at": written_at})


class _Record(BaseModel):
    """The fields of the record of each export; earlier versions did not write the time."""

    written_at: float = 0.0
    format: Format | None = None


def _is_hidden(store: Store, job: Job, written_at: float) -> bool:
    hidden = read_hidden_test(store.settings)
    folder = store.get_folder(job)
    return hidden.hides(written_at) and not artifacts.hidden_path(folder, hidden).is_file()
