"""Maps of texts and the index for nearest texts: requests, paths and readers. Free of torch.

<home>/maps/<key>-states.safetensors
    Hidden states (L + 1, 2, n, d) of one model or run on one sample.
<home>/maps/<key>-states.json
    How well each layer separates the classes.
<home>/maps/<key>-<key>-map.parquet
    Row, label, x and y of one projection of the states.
<home>/jobs/<id of the run>/nearest/<key>/states.safetensors
    Half-precision vectors (n, d) of length one: the input of the run's head for each text.
<home>/jobs/<id of the run>/nearest/<key>/texts.parquet
    Row, text and label in the same order, so that they outlive their dataset.
<home>/datasets/<fingerprint>/vectors/<key>.parquet
    Half-precision vectors (d) of the base model of the texts of the Playground.

A key is a hash of everything that the content depends on, so an existing file is never stale.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load, save

from core.data.dataset import Dataset
from core.data.hub import hub_reachable
from core.data.preparation import open_dataset
from core.data.sources import SourceKind, Split, source_key
from core.errors import ArtifactDamaged, DataError
from core.evaluation.embedding_map import Method, Separation
from core.evaluation.scores import Proportion
from core.models.catalog import ModelLocation, find_model
from core.runs import artifacts
from core.runs.requests import read_train_request
from core.runs.run import Run
from core.settings import Settings
from core.storage import files
from core.storage.job import Job
from core.storage.store import Store
from core.translation import mark

Pooling = Literal["first token", "mean of all tokens"]
POOLINGS: tuple[Pooling, ...] = (mark("first token"), mark("mean of all tokens"))
KEPT_STATES = 24  # 2,000 rows of MiniLM take 21 MB
SAMPLE_SEED = 42
AGAIN = "Compute the map again."
ROWS = 8000  # 6 MB of half floats with MiniLM; all rows of a smaller run
BLOCK = 2048  # texts compared at once: half floats become floats on the way
STATES, TEXTS = "states.safetensors", "texts.parquet"
MISSING_TEXTS = "The texts that this run was trained on are no longer on this machine"

States = NDArray[np.float16]


class MapSubject(BaseModel):
    """Source of hidden states: the base ``model`` alone, or with the adapter of ``run``."""

    model_config = ConfigDict(frozen=True)

    model: str
    run: str = ""


class MapRequest(BaseModel):
    """Maps of the same sample by each subject.

    ``layer`` 0 is the input of the first layer, -1 the output of the last.
    """

    model_config = ConfigDict(frozen=True)

    fingerprint: str
    subjects: tuple[MapSubject, ...]
    split: Split = "test"
    rows: int = Field(2000, ge=20, le=10_000)
    max_tokens: int = Field(128, ge=4, le=4096)
    layer: int = -1
    pooling: Pooling = "first token"
    method: Method = "UMAP"
    seed: int = Field(42, ge=0, le=2**32 - 1)

    @property
    def base_models(self) -> tuple[str, ...]:
        """The models that compute the hidden states."""
        return tuple(subject.model for subject in self.subjects)


@dataclass(frozen=True, slots=True)
class MapPath:
    """A subject with its model and the paths of its results."""

    subject: MapSubject
    model: ModelLocation
    adapter: Path | None
    classes: tuple[str, ...]
    states: Path
    scores: Path
    map: Path

    @property
    def done(self) -> bool:
        """Whether the map exists."""
        return self.map.is_file() and self.scores.is_file()


@dataclass(frozen=True, eq=False)
class TextMap:
    """A map with measures of how well the classes are separated.

    Args:
        frame: Row, label, x and y of each text.
        layers: Separation after each layer (L + 1).
        layer: Index of the chosen layer.
        flat: Separation in the two dimensions of the map.
    """

    frame: pd.DataFrame
    layers: Sequence[Separation]
    layer: int
    flat: Separation

    @property
    def full(self) -> Separation:
        """Separation in all d dimensions of the chosen layer."""
        return self.layers[self.layer]


def find_map_paths(store: Store, request: MapRequest, classes: tuple[str, ...]) -> list[MapPath]:
    """Return the model and the result paths of each subject.

    ``classes`` are those of the dataset; the head of a run has the classes of its training.
    Raises JobNotFound, and ArtifactDamaged for a run without an adapter.
    """
    return [_find_paths(store, request, subject, classes) for subject in request.subjects]


def read_map(path: MapPath, request: MapRequest) -> TextMap:
    """Read a map. Raises ArtifactDamaged if it is missing or damaged."""
    frame = files.read_parquet(path.map)
    scores = files.read_json(path.scores)
    try:
        assert isinstance(scores, dict)
        layers = [_make_separation(*values) for values in scores[request.pooling]]
        flat = _make_separation(*frame.attrs["flat"])
        layer = range(len(layers))[request.layer]
    except (KeyError, TypeError, ValueError, IndexError, AssertionError) as error:
        raise ArtifactDamaged("A stored map is damaged.", AGAIN) from error
    return TextMap(frame, layers, layer, flat)


def to_numbers(separation: Separation) -> list[float]:
    """Return hits, rows and silhouette (-2 if undefined) as they are stored."""
    return [
        separation.knn.hits,
        separation.knn.n,
        separation.silhouette if separation.silhouette == separation.silhouette else -2.0,
    ]


def draw_sample(dataset: Dataset, request: MapRequest) -> pd.DataFrame:
    """Draw the rows of the map: row, text, label; stratified by class. Raises ArtifactDamaged."""
    return dataset.draw_sample(request.split, request.rows, SAMPLE_SEED)


def _make_separation(hits: float, rows: float, silhouette: float) -> Separation:
    return Separation(
        Proportion(int(hits), int(rows)), silhouette if silhouette >= -1 else float("nan")
    )


def _find_paths(
    store: Store, request: MapRequest, subject: MapSubject, classes: tuple[str, ...]
) -> MapPath:
    model = find_model(subject.model, store.settings, hub_reachable(store.settings))
    adapter, version = None, ""
    if subject.run:
        run = Run.of(store, store.read_job(subject.run))
        run.require_same_base(model)
        adapter, classes = run.adapter, run.classes
        about = (adapter / "adapter_model.safetensors").stat()
        version = f"{subject.run}:{about.st_mtime_ns}:{about.st_size}"
    states = _make_key(
        model.identity,
        model.revision,
        version,
        request.fingerprint,
        request.split,
        request.rows,
        request.max_tokens,
    )
    drawn = _make_key(request.layer, request.pooling, request.method, request.seed)
    folder = store.settings.home / "maps"
    return MapPath(
        subject,
        model,
        adapter,
        classes,
        folder / f"{states}-states.safetensors",
        folder / f"{states}-states.json",
        folder / f"{states}-{drawn}-map.parquet",
    )


def _make_key(*parts: object) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:12]


class NearestRequest(BaseModel):
    """Encode the training texts of ``run``, or a stratified sample of ``rows`` of them."""

    model_config = ConfigDict(frozen=True)

    run: str
    rows: int = ROWS


@dataclass(frozen=True, eq=False)
class Index:
    """Normalized ``states`` (n, d) of n ``texts`` (row, text, label)."""

    states: States
    texts: pd.DataFrame

    def find_nearest(self, state: NDArray[np.float16], count: int) -> pd.DataFrame:
        """Return the ``count`` texts with the highest cosine similarity to ``state`` (d,).

        The most similar text is first; the column similarity holds the cosine.
        """
        direction = normalize(state[None].astype(np.float32))[0]  # (d,)
        blocks = [
            self.states[start : start + BLOCK].astype(np.float32) @ direction  # (BLOCK,)
            for start in range(0, len(self.states), BLOCK)
        ]
        cosines = np.concatenate(blocks)
        best = np.argsort(-cosines, kind="stable")[:count]
        return (
            self.texts.iloc[best]
            .assign(similarity=np.minimum(cosines[best], 1.0))
            .reset_index(drop=True)
        )


def find_index_folder(store: Store, run: Job) -> Path:
    """Return the folder of the run's index. Raises ArtifactDamaged if the run has no adapter."""
    folder = store.get_folder(run)
    about = (artifacts.find_adapter(folder) / "adapter_model.safetensors").stat()
    config = read_train_request(run).config
    drawn = (run.fingerprint, config.train_rows, config.seed, ROWS, SAMPLE_SEED)
    parts = (*drawn, config.model, config.max_tokens, about.st_mtime_ns, about.st_size)
    return folder / "nearest" / hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:12]


def has_index(folder: Path) -> bool:
    """Return whether the folder holds an index."""
    return (folder / files.MANIFEST).is_file()


def write_index(folder: Path, states: NDArray[np.float32], texts: pd.DataFrame) -> None:
    """Write the states (n, d) of ``texts`` as the only index of the run."""
    halves = normalize(states).astype(np.float16)
    contents = {
        STATES: save({"states": halves}),
        TEXTS: texts[["row", "text", "label"]].to_parquet(index=False),
    }
    files.make_folder(folder.parent)
    files.write_folder(folder, files.add_manifest(contents, {"texts": len(texts)}))
    for other in folder.parent.iterdir():
        if other != folder and other.is_dir():
            files.remove_folder(other)


def read_index(folder: Path) -> Index:
    """Read the run's index. Raises ArtifactDamaged if it is missing or damaged."""
    _, contents = files.read_verified(folder)
    try:
        states: States = load(contents[STATES])["states"]
    except (KeyError, SafetensorError) as error:
        raise ArtifactDamaged(
            "The index of the training texts is damaged.", "Create it again."
        ) from error
    return Index(states, files.read_parquet(folder / TEXTS))


def find_data(settings: Settings, run: Job) -> Dataset | None:
    """Open the uncleaned data of the run's training; None if they have to be prepared again.

    Raises DataError if neither data nor source are on this machine, and for an imported run, even
    if it was scored on data of this machine.
    """
    request = read_train_request(run)
    if request.source.kind is SourceKind.IMPORTED:
        raise DataError(
            f"{run.name} was imported without the texts that it was trained on.",
            "Choose a run trained here.",
        )
    try:
        return open_dataset(
            settings, request.recipe.fingerprint if request.recipe else run.fingerprint
        )
    except ArtifactDamaged:
        pass  # it can be prepared from its source again
    try:
        source_key(request.source)
    except DataError as error:
        # visitors must not read folder names
        raise DataError(
            f"{MISSING_TEXTS}.", f"Restore {request.source.name}, or choose another run."
        ) from error
    return None


def normalize(states: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide each row of (n, d) by its length."""
    lengths = np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
    scaled: NDArray[np.float32] = states / lengths
    return scaled


def write_vectors(path: Path, vectors: Sequence[States]) -> None:
    """Write the vectors (d) of some texts."""
    files.write_parquet(path, pd.DataFrame({"vector": [row.tobytes() for row in vectors]}))


def read_vectors(path: Path, texts: Sequence[str]) -> dict[str, States]:
    """Return the stored vectors of the texts; nothing if they must be computed again."""
    try:
        rows = files.read_parquet(path, ["vector"])["vector"]
        vectors = [np.frombuffer(row, np.float16) for row in rows]
    except (ArtifactDamaged, TypeError, ValueError):  # missing or damaged: it is written again
        return {}
    if len(vectors) != len(texts) or len({len(vector) for vector in vectors}) != 1:
        return {}
    return dict(zip(texts, vectors, strict=True))
