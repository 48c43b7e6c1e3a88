"""Bounded caches of what pages read, and the server's inference process.

A key holds all inputs of its value. Live progress is never cached; simultaneous viewers share live
metrics (``ui.runs.learning_curves``).
"""

import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Generic, TypeVar

import pandas as pd
import streamlit as st
from streamlit import runtime

from core.access import Mode
from core.data.dataset import Dataset
from core.data.hidden_test import read_stored_rules
from core.data.hub import hub_reachable
from core.data.preparation import find_prepared
from core.data.recipe import Recipe, trained_fingerprint
from core.data.saved import list_saved
from core.data.sources import Source
from core.data.tokenizer import UnknownTokens
from core.errors import LoraLabError, StoreDamaged
from core.estimate.inputs import DataFacts, data_facts, measure_unknown
from core.evaluation import class_scores
from core.evaluation.calibration import fit_temperature
from core.evaluation.class_scores import CurveKind, F1Intervals, RankingCurves, bootstrap_f1
from core.evaluation.dynamics import Dynamics, choose_steps
from core.evaluation.error_analysis import Slice, find_slices
from core.evaluation.predictions import Predictions
from core.inference.messages import ClassifyRequest
from core.inference.process import IDLE_SECONDS, InferenceProcess
from core.models.catalog import find_model
from core.presets import DataSize
from core.runs import artifacts
from core.runs.limits import limit_size
from core.settings import Settings, read_available_memory_mb
from core.storage import files
from core.storage.recovery import finish_changes, open_store
from core.storage.snapshot import open_snapshot
from core.storage.store import Store
from core.training.events import EvaluatedSplit
from core.translation import translate
from ui.session import visitors
from ui.session.data_picker import find_chosen_source, read_choice
from ui.session.error_boundary import give_way, read_once, read_settings

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
SHARED_SECONDS = 1.0
# the inference process stays for the rest of a lesson where a training has room next to it
CLASS_IDLE_SECONDS, AMPLE_MB = 3600, 4000
WARMING_TOKENS = 64


class BoundedCache(Generic[K, V]):
    """Dictionary of at most ``size`` values, shared by sessions; the least recently used value is
    dropped first.

    ``st.cache_data`` copies a value at each call and ``lru_cache`` computes one value at a time; a
    list of runs looks up hundreds of values at each rerun and computes the missing ones at once.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._values)

    def clear(self) -> None:
        """Drop all values."""
        with self._lock:
            self._values.clear()

    def get(self, key: K) -> V | None:
        """Return the value of ``key``, or None."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: K, value: V) -> V:
        """Store a value and return it."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            if len(self._values) > self._size:
                self._values.popitem(last=False)
        return value

    def get_or_make(self, key: K, make: Callable[[], V]) -> V:
        """Return the value of ``key``; a missing one is made and stored, perhaps by several threads
        at once. It must not be None.
        """
        value = self.get(key)
        return self.put(key, make()) if value is None else value


@dataclass(frozen=True, slots=True)
class DataStatus:
    """The dataset in use: its source, its prepared copy if any, or the problem."""

    source: Source | None
    dataset: Dataset | None
    problem: LoraLabError | None = None


def open_lab() -> Store:
    """Open the store of the home folder for this visitor, once within a boundary.

    Raises StoreDamaged.
    """
    return read_once("store", _open_lab)


def _open_lab() -> Store:
    settings = read_settings()
    _tidy(settings)
    return open_store(settings, visitors.find_current(settings), settings.snapshot)


@lru_cache(maxsize=8)
def _tidy(settings: Settings) -> None:
    """Finish what killed processes have left in the home folder, once per start of the server."""
    files.remove_orphans(settings.home)
    finish_changes(open_store(settings))


def read_data_status(settings: Settings) -> DataStatus:
    """Return the data in use; a problem is returned as a value, so that the page continues."""
    return read_status_of(settings, read_choice())


def read_status_of(settings: Settings, chosen: str) -> DataStatus:
    """Return the data that a visitor with this choice uses; it needs no session."""
    return _share_by_folders(
        settings, ("data in use", chosen), lambda: _read_data_status(settings, chosen)
    )


def list_saved_names(settings: Settings) -> list[str]:
    """Return the names of the saved datasets, newest first."""
    return _share_by_folders(
        settings, "saved datasets", lambda: [card.name for card in list_saved(settings)]
    )


def read_usual_name(settings: Settings) -> str:
    """Return the name of the data that are used unless others are chosen."""
    status = _share_by_folders(
        settings, ("data in use", ""), lambda: _read_data_status(settings, "")
    )
    return translate("Data folder") if status.source is None else status.source.name


def _share_by_folders(settings: Settings, key: Hashable, read: Callable[[], V]) -> V:
    """Share what ``read`` returns between visitors until the rules of the class, which choose the
    hidden texts, or an entry of a folder with data changes, and for at most a second, as a file can
    be changed in place.
    """
    if not settings.snapshot:
        return read()
    try:
        rules = read_stored_rules(settings, shared=True)
    except StoreDamaged:  # what is read then says so
        return read()
    folders = (settings.data, settings.datasets, settings.prepared, settings.prepared / "sources")
    stamp = tuple(_read_change_time(folder) for folder in folders)
    snapshot = open_snapshot(settings.database, settings.busy_seconds)
    return snapshot.compute((key, settings.data, settings.hub, rules, stamp), SHARED_SECONDS, read)


def _read_change_time(folder: Path | None) -> int | None:
    try:
        return os.stat(folder).st_mtime_ns if folder else None
    except OSError:
        return None


def _read_data_status(settings: Settings, chosen: str) -> DataStatus:
    try:
        source = find_chosen_source(settings, chosen)
        return DataStatus(source, find_prepared(settings, source))
    except LoraLabError as error:
        return DataStatus(None, None, error)


def is_hub_reachable(settings: Settings) -> bool:
    """Return whether the Hub is reachable; ``core`` caches the answer for a while."""
    return hub_reachable(settings)


def read_facts(dataset: Dataset, recipe: Recipe | None = None) -> DataFacts:
    """Return sizes and sorted text lengths of the dataset without the rows that ``recipe`` drops.

    Shared: never change it.
    """
    return _read_facts(trained_fingerprint(dataset.fingerprint, recipe), dataset, recipe)


def read_unknown(dataset: Dataset, folder: Path | None) -> UnknownTokens | None:
    """Return what the tokenizer in ``folder`` does not know of the training texts; None if it is
    not known, as before a download.
    """
    path = folder / "tokenizer.json" if folder else None
    if folder is None or path is None or not path.is_file():
        return None
    stamp = (path.stat().st_mtime_ns, path.stat().st_size)
    return _read_unknown(dataset.fingerprint, str(folder), stamp, dataset)


def read_size(store: Store, status: DataStatus) -> DataSize | None:
    """Return the sizes that the visitor's presets are fitted to; None if the data are not prepared
    yet.
    """
    if status.dataset is None:
        return None
    return limit_size(store, read_facts(status.dataset).size, store.visitor)


def read_predictions(
    folder: Path, version: int, classes: int, split: EvaluatedSplit, step: int | None = None
) -> Predictions:
    """Return one evaluation of a run; with ``step``, the validation after this step.

    ``version`` is the job's. Shared: never change it.
    """
    return _read_predictions(str(folder), version, classes, split, step)


@st.cache_data(max_entries=32, show_spinner=False)  # the bootstrap for 50 classes takes 0.3 s
def compute_f1_intervals(
    folder: Path, version: int, classes: int, split: EvaluatedSplit
) -> F1Intervals:
    """Return the 95 % intervals of an evaluation's F1."""
    return bootstrap_f1(read_predictions(folder, version, classes, split).scores)


@st.cache_data(max_entries=32, show_spinner=False)
def compute_class_intervals(
    folder: Path, version: int, classes: tuple[str, ...], split: EvaluatedSplit
) -> pd.DataFrame:
    """Return the scores of each class of an evaluation with their intervals."""
    intervals = compute_f1_intervals(folder, version, len(classes), split)
    return class_scores.compute_class_intervals(
        read_predictions(folder, version, len(classes), split).scores, classes, intervals
    )


@st.cache_resource(max_entries=16, show_spinner=False)  # at most 200 points per class
def compute_ranking_curves(
    folder: Path, version: int, classes: tuple[str, ...], split: EvaluatedSplit, kind: CurveKind
) -> RankingCurves:
    """Return the ROC or precision-recall curve of each class. Shared: never change it."""
    return class_scores.compute_ranking_curves(
        read_predictions(folder, version, len(classes), split), classes, kind
    )


@st.cache_data(max_entries=32, show_spinner=False)  # a few hundred passes over the validation texts
def read_temperature(folder: Path, version: int, classes: int) -> float | None:
    """Fit the temperature to a run's validation predictions."""
    return fit_temperature(read_predictions(folder, version, classes, "validation"))


# one mask per slice: 30 slices of 7,600 rows take 0.2 MB
@st.cache_resource(max_entries=8, show_spinner=False)
def find_run_slices(
    folder: Path, version: int, classes: tuple[str, ...], max_tokens: int
) -> list[Slice]:
    """Return the slices of a run's test texts. Shared: never change it."""
    return find_slices(read_predictions(folder, version, len(classes), "test"), classes, max_tokens)


def read_dynamics(folder: Path, version: int, classes: int) -> Dynamics:
    """Return a run's predictions after up to 100 validations. Shared: never change it."""
    return _read_dynamics(
        str(folder), version, classes, tuple(choose_steps(artifacts.list_validation_steps(folder)))
    )


@st.cache_data(max_entries=64, show_spinner=False)
def _read_unknown(
    fingerprint: str, folder: str, stamp: tuple[int, int], _dataset: Dataset
) -> UnknownTokens | None:
    return measure_unknown(_dataset, Path(folder))


@st.cache_resource(max_entries=4, show_spinner=False)  # one number per training text
def _read_facts(fingerprint: str, _dataset: Dataset, _recipe: Recipe | None) -> DataFacts:
    return data_facts(_dataset, _recipe)


# 100 validations of 500 texts and 4 classes take 2 MB
@st.cache_resource(max_entries=4, show_spinner=False)
def _read_dynamics(folder: str, version: int, classes: int, steps: tuple[int, ...]) -> Dynamics:
    frames = [artifacts.read_predictions(Path(folder), "validation", step) for step in steps]
    return Dynamics.of(steps, [Predictions.of(frame, classes) for frame in frames])


# 7,600 rows take about 3 MB with their texts
@st.cache_resource(max_entries=16, show_spinner=False)
def _read_predictions(
    folder: str, version: int, classes: int, split: EvaluatedSplit, step: int | None
) -> Predictions:
    return Predictions.of(artifacts.read_predictions(Path(folder), split, step), classes)


def get_host() -> InferenceProcess:
    """Return the inference process, which starts on first use; shared by all sessions."""
    with _host_lock:
        return _make_host()


def warm_up(requests: Sequence[ClassifyRequest]) -> None:
    """Start the inference process before it is asked, with the models of ``requests``.

    Only on a server: the pages of a test start no process.
    """
    if requests and runtime.exists():
        get_host().warm_up(requests)


def warm_up_base(store: Store) -> None:
    """Start the inference process with the usual base model for the classes of the data in use."""
    dataset = read_data_status(store.settings).dataset
    if dataset is None or not runtime.exists() or get_host().warm:
        return
    model = find_model(store.settings.model, store.settings, is_hub_reachable(store.settings))
    if model.available:
        warm_up([ClassifyRequest(None, model, None, dataset.classes, WARMING_TOKENS)])


# not ``st.cache_resource``: clearing the cache would start a second process next to the first
@lru_cache(maxsize=1)
def _make_host() -> InferenceProcess:
    settings = Settings()
    is_class = settings.mode == Mode.CLASSROOM and read_available_memory_mb() >= AMPLE_MB
    return InferenceProcess(
        settings,
        is_hub_reachable(settings),
        CLASS_IDLE_SECONDS if is_class else IDLE_SECONDS,
        on_wait=give_way,
    )


_host_lock = Lock()
