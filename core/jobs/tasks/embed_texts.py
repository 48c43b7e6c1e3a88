"""Maps of texts: what is asked for, where results lie in the home folder, and how they are read
back.

    <home>/maps/<key>-states.safetensors    hidden states (L + 1, 2, n, d) of one model or run on one sample
    <home>/maps/<key>-states.json           how well each layer keeps the classes apart
    <home>/maps/<key>-<key>-map.parquet     row, label, x, y of one projection of them

A key holds all that the content depends on, so a file that is there is right.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from core.data.dataset import Dataset
from core.data.hub import hub_reachable
from core.data.rows import stratified_sample
from core.data.sources import Split
from core.errors import ArtifactDamaged
from core.evaluation.embedding_map import Method, Separation
from core.evaluation.scores import Proportion
from core.models.catalog import ModelLocation, find_model
from core.runs.run import Run
from core.storage import files
from core.storage.store import Store

Pooling = Literal["first token", "mean of all tokens"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
KEPT_STATES = 24  # 2,000 rows of MiniLM take 21 MB
SAMPLE_SEED = 42
AGAIN = "Compute the map again."


class MapSubject(BaseModel):
    """What gives the hidden states: the base ``model`` as it comes, or with the adapter of
    ``run``.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    run: str = ""


class MapRequest(BaseModel):
    """Maps of the same sample by each subject. ``layer`` 0 is before the first layer, -1 the last
    one.
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
        """The models that give the hidden states."""
        return tuple(subject.model for subject in self.subjects)


@dataclass(frozen=True, slots=True)
class MapPath:
    """A subject with what its model is and where its results lie."""

    subject: MapSubject
    model: ModelLocation
    adapter: Path | None
    classes: tuple[str, ...]
    states: Path
    scores: Path
    map: Path

    @property
    def done(self) -> bool:
        """Whether the map is there."""
        return self.map.is_file() and self.scores.is_file()


@dataclass(frozen=True, eq=False)
class TextMap:
    """``frame``: row, label, x, y, a line a text. ``layers`` (L + 1) tell how each layer keeps
    classes apart, the chosen one among them.
    """

    frame: pd.DataFrame
    layers: Sequence[Separation]
    layer: int
    flat: Separation

    @property
    def full(self) -> Separation:
        """In all d dimensions of the chosen layer."""
        return self.layers[self.layer]


def map_paths(store: Store, request: MapRequest, classes: tuple[str, ...]) -> list[MapPath]:
    """Where the results for each subject lie. ``classes`` are the data's; a run's head has those it
    was trained for.

    Raises JobNotFound, and ArtifactDamaged for a run that has no adapter.
    """
    return [_place(store, request, subject, classes) for subject in request.subjects]


def read_map(place: MapPath, request: MapRequest) -> TextMap:
    """The map at ``place``. Raises ArtifactDamaged if it is missing or damaged."""
    frame = files.read_parquet(place.map)
    scores = files.read_json(place.scores)
    try:
        assert isinstance(scores, dict)
        layers = [_separation(*values) for values in scores[request.pooling]]
        flat = _separation(*frame.attrs["flat"])
        layer = range(len(layers))[request.layer]
    except (KeyError, TypeError, ValueError, IndexError, AssertionError) as error:
        raise ArtifactDamaged("A kept map is damaged.", AGAIN) from error
    return TextMap(frame, layers, layer, flat)


def to_numbers(separation: Separation) -> list[float]:
    """Hits, rows and silhouette, as they are kept."""
    return [
        separation.knn.hits,
        separation.knn.n,
        separation.silhouette if separation.silhouette == separation.silhouette else -2.0,
    ]


def sample(dataset: Dataset, request: MapRequest) -> pd.DataFrame:
    """The rows of the map: row, text, label; each class has an equal share. Raises
    ArtifactDamaged.
    """
    return stratified_sample(
        dataset.read(request.split, ["row", "text", "label"]), request.rows, SAMPLE_SEED
    )


def _separation(hits: float, rows: float, silhouette: float) -> Separation:
    return Separation(
        Proportion(int(hits), int(rows)), silhouette if silhouette >= -1 else float("nan")
    )


def _place(
    store: Store, request: MapRequest, subject: MapSubject, classes: tuple[str, ...]
) -> MapPath:
    model = find_model(subject.model, store.settings, hub_reachable(store.settings))
    adapter, version = None, ""
    if subject.run:
        run = Run.of(store, store.job(subject.run))
        adapter, classes = run.adapter, run.classes
        about = (adapter / "adapter_model.safetensors").stat()
        version = f"{subject.run}:{about.st_mtime_ns}:{about.st_size}"
    states = _key(
        model.identity,
        model.revision,
        version,
        request.fingerprint,
        request.split,
        request.rows,
        request.max_tokens,
    )
    drawn = _key(request.layer, request.pooling, request.method, request.seed)
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


def _key(*parts: object) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:12]
