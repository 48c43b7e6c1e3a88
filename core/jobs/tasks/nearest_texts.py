"""The training texts nearest to a typed one: what is asked for, where a run's index lies, and how
it is searched. Free of torch.

    jobs/<id of the run>/nearest/<key>/states.safetensors   (n, d) half floats of length one: what the run's head reads of each text
    jobs/<id of the run>/nearest/<key>/texts.parquet        row, text and label in the same order, so that they outlive their data

The key is a hash of all that the content depends on, and the folder is sealed, so what is there is
right.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from safetensors import SafetensorError
from safetensors.numpy import load, save

from core.data.dataset import Dataset
from core.data.preparation import open_dataset
from core.data.sources import SourceKind, source_key
from core.errors import ArtifactDamaged, DataError
from core.runs import artifacts
from core.runs.requests import read_train_request
from core.settings import Settings
from core.storage import files, manifest
from core.storage.job import Job
from core.storage.store import Store

ROWS = 8000  # 6 MB of half floats with MiniLM; a run on fewer rows is there as a whole
SAMPLE_SEED = 42
BLOCK = 2048  # texts compared at once: half floats become floats on the way
STATES, TEXTS = "states.safetensors", "texts.parquet"
GONE = "The texts that this run was trained on are no longer on this machine"

States = NDArray[np.float16]


class NearestRequest(BaseModel):
    """Encode the training texts of ``run``, or a sample of ``rows`` of them with an equal share of
    each class.
    """

    model_config = ConfigDict(frozen=True)

    run: str
    rows: int = ROWS


@dataclass(frozen=True, eq=False)
class Index:
    """``states`` (n, d) have length one; ``texts`` has row, text and label, a line each."""

    states: States
    texts: pd.DataFrame

    def nearest(self, state: NDArray[np.float16], count: int) -> pd.DataFrame:
        """The ``count`` texts with the highest cosine to ``state`` (d,), which is the column
        similarity; the most similar first.
        """
        wanted = normalize(state[None].astype(np.float32))[0]
        blocks = [
            self.states[start : start + BLOCK].astype(np.float32) @ wanted
            for start in range(0, len(self.states), BLOCK)
        ]
        cosines = np.concatenate(blocks)
        best = np.argsort(-cosines, kind="stable")[:count]
        return (
            self.texts.iloc[best]
            .assign(similarity=np.minimum(cosines[best], 1.0))
            .reset_index(drop=True)
        )


def index_folder(store: Store, run: Job) -> Path:
    """Where the run's index lies or will lie. Raises ArtifactDamaged where the run has no
    adapter.
    """
    folder = store.folder(run)
    about = (artifacts.find_adapter(folder) / "adapter_model.safetensors").stat()
    config = read_train_request(run).config
    drawn = (run.fingerprint, config.train_rows, config.seed, ROWS, SAMPLE_SEED)
    parts = (*drawn, config.model, config.max_tokens, about.st_mtime_ns, about.st_size)
    return folder / "nearest" / hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:12]


def is_made(folder: Path) -> bool:
    """Whether there is an index."""
    return (folder / manifest.NAME).is_file()


def write_index(folder: Path, states: NDArray[np.float32], texts: pd.DataFrame) -> None:
    """Keep the states (n, d) of ``texts`` in the place of the run's earlier indexes."""
    halves = normalize(states).astype(np.float16)
    contents = {
        STATES: save({"states": halves}),
        TEXTS: texts[["row", "text", "label"]].to_parquet(index=False),
    }
    files.make_folder(folder.parent)
    files.write_folder(folder, manifest.seal(contents, {"texts": len(texts)}))
    for other in folder.parent.iterdir():
        if other != folder and other.is_dir():
            files.remove_folder(other)


def read_index(folder: Path) -> Index:
    """The run's index. Raises ArtifactDamaged where there is none, or one that is not as it was
    written.
    """
    _, contents = manifest.read_sealed(folder)
    try:
        states: States = load(contents[STATES])["states"]
    except (KeyError, SafetensorError) as error:
        raise ArtifactDamaged(
            "The index of the training texts is damaged.", "Make it again."
        ) from error
    return Index(states, files.read_parquet(folder / TEXTS))


def find_data(settings: Settings, run: Job) -> Dataset | None:
    """The data that the run was trained on, not yet cleaned; None where its source has to be
    prepared again.

    Raises DataError where neither is on this machine. That of an imported run is not, whatever it
    was scored on here.
    """
    request = read_train_request(run)
    if request.source.kind is SourceKind.IMPORTED:
        raise DataError(
            f"{run.name} was imported, and the texts that it was trained on did not come with it.",
            "Choose a run trained here.",
        )
    try:
        return open_dataset(
            settings, request.recipe.fingerprint if request.recipe else run.fingerprint
        )
    except ArtifactDamaged:
        pass  # it may come from its source once more
    try:
        source_key(request.source)
    except DataError as error:
        raise DataError(
            f"{GONE}.", f"Bring back {request.source.name}, or choose another run."
        ) from error  # no folder is named to visitors
    return None


def normalize(states: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, d) with each row divided by its length."""
    lengths = np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
    scaled: NDArray[np.float32] = states / lengths
    return scaled
