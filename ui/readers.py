"""What pages read, behind bounded caches. A key holds all that the value depends on; live progress and metrics are never cached."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import streamlit as st

from core.data.hub import hub_reachable
from core.data.prepared import Dataset, find_prepared
from core.data.sources import Source
from core.errors import LoraLabError
from core.evaluation.predictions import Predictions
from core.facts import DataFacts, data_facts
from core.jobs import artifacts
from core.jobs.rebuild import open_store
from core.settings import Settings
from core.store import Store
from core.training.events import Split
from ui import visitors
from ui.data_choice import chosen_source

pa.set_memory_pool(pa.system_memory_pool())  # its own allocator keeps some 30 MB after 36,000 rows were read and searched


@dataclass(frozen=True, slots=True)
class DataStatus:
    """The dataset in use: where from, the prepared copy if there is one, or why there is none."""

    source: Source | None
    dataset: Dataset | None
    problem: LoraLabError | None = None


def open_lab() -> Store:
    """The store of the home folder, for this visitor. Raises StoreDamaged."""
    settings = Settings()
    return open_store(settings, visitors.current(settings))


def data_status(settings: Settings) -> DataStatus:
    """Which data would be used now. A problem with it is a value here: the rest of the page goes on."""
    try:
        source = chosen_source(settings)
        return DataStatus(source, find_prepared(settings, source))
    except LoraLabError as error:
        return DataStatus(None, None, error)


def hub(settings: Settings) -> bool:
    """Whether the Hub answers; asked once and kept for a while by ``core``."""
    return hub_reachable(settings)


def rows(dataset: Dataset, split: str) -> pd.DataFrame:
    """The texts and labels of a split. Shared between sessions: never change it."""
    return _rows(dataset.fingerprint, split, dataset)


def facts(dataset: Dataset) -> DataFacts:
    """Sizes and sorted text lengths of the dataset. Shared: never change it."""
    return _facts(dataset.fingerprint, dataset)


def predictions(folder: Path, version: int, classes: int, split: Split, step: int | None = None) -> Predictions:
    """One evaluation of a run; ``version`` is the job's, ``step`` that of a validation. Shared: never change it."""
    return _predictions(str(folder), version, classes, split, step)


@st.cache_resource(max_entries=6, show_spinner=False)  # three splits of two datasets; 36,000 rows take about 10 MB
def _rows(fingerprint: str, split: str, _dataset: Dataset) -> pd.DataFrame:
    return _dataset.read(split)


@st.cache_resource(max_entries=4, show_spinner=False)  # a number per training text
def _facts(fingerprint: str, _dataset: Dataset) -> DataFacts:
    return data_facts(_dataset)


@st.cache_resource(max_entries=16, show_spinner=False)  # 7,600 rows take about 3 MB with their texts
def _predictions(folder: str, version: int, classes: int, split: Split, step: int | None) -> Predictions:
    return Predictions.of(artifacts.read_predictions(Path(folder), split, step), classes)
