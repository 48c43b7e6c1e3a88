"""Homes in the states that a page may meet, written straight to the store, and a driver that opens pages through ``Home.py``."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from core import files
from core.config import RunConfig
from core.data import sources
from core.data.indexing import ensure_index
from core.data.prepared import Dataset, find_prepared, prepare
from core.data.sources import Source
from core.evaluation.predictions import Predictions
from core.inference.host import InferenceHost
from core.jobs import artifacts
from core.jobs.rebuild import SHIPPED
from core.jobs.requests import TrainRequest
from core.schema import Metric
from core.settings import Settings
from core.states import Job, JobState, Kind
from core.store import Store
from ui import hosting

HOME = Path(__file__).parents[2] / "Home.py"
CLASSES = ("World", "Sports", "Business", "Sci/Tech")
FINGERPRINT = "0123456789ab"
ADAPTER = SHIPPED / "example" / "adapter"

Open = Callable[..., AppTest]


@pytest.fixture(autouse=True)
def no_example(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fresh home is empty: without the shipped example, unless a test asks for ``with_example``."""
    if "with_example" not in request.fixturenames:
        monkeypatch.setattr("core.jobs.rebuild.SHIPPED", tmp_path / "nothing")


@pytest.fixture
def with_example() -> None:
    """A fresh home starts with the shipped example, as a person's does."""


@pytest.fixture
def open_app(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a page through ``Home.py`` with a query string. No test starts a supervisor: jobs stay as they were put."""
    for launches in ("actions", "fetch"):
        monkeypatch.setattr(f"core.jobs.{launches}.ensure_supervisor", lambda settings: None)
    monkeypatch.setattr(PagesManager, "__init__", _after_first_visit)
    st.cache_data.clear()
    st.cache_resource.clear()

    def open_page(page: str = "pages/home.py", **query: str) -> AppTest:
        app = AppTest.from_file(str(HOME), default_timeout=30)
        for name, value in query.items():
            app.query_params[name] = value
        return app.switch_page(page).run()

    return open_page


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data folder of 200 training and 40 test texts, and a home in which it has been prepared."""
    folder, home = tmp_path_factory.mktemp("small-news"), tmp_path_factory.mktemp("prepared")
    for split, rows in (("train", 200), ("test", 40)):
        named = texts(split, rows).assign(label=lambda frame: [CLASSES[label] for label in frame["label"]])
        named[["text", "label"]].to_csv(folder / f"{split}.csv", index=False)
    done = prepare(Settings(home=home, hub=False), sources.folder_source(folder), lambda progress: None, lambda: False)
    ensure_index(done, lambda progress: None, lambda: False)
    return folder, home


@pytest.fixture
def dataset(prepared: tuple[Path, Path], home: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """The prepared dataset, in use through ``LORALAB_DATA``."""
    folder, elsewhere = prepared
    monkeypatch.setenv("LORALAB_DATA", str(folder))
    shutil.copytree(elsewhere / "data", home / "data")
    found = find_prepared(Settings(), sources.folder_source(folder))
    assert found is not None
    return found


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """A source of runs whose data nobody asks for."""
    return Source(sources.SourceKind.FOLDER, "Small news", tmp_path / "news")


@pytest.fixture
def queued(store: Store, source: Source) -> Job:
    """A run that waits."""
    return make_run(store, source, "waiting-run")


@pytest.fixture
def running(store: Store, source: Source) -> Job:
    """A run after 20 of 50 steps, with two validations."""
    job = start(store, make_run(store, source, "running-run"))
    store.update(job, phase="training", done=20, total=50, heartbeat_at=store.clock(), result_json=json.dumps({"classes": CLASSES}))
    add_curves(store, job, steps=20)
    return store.job(job.id)


@pytest.fixture
def finished(store: Store, source: Source) -> Job:
    """A run with curves, an adapter folder, and 40 test texts of which 34 are right after and 10 before training."""
    return make_finished(store, source, "finished-run")


@pytest.fixture(scope="session")
def one_host() -> Iterator[InferenceHost]:
    """One for all tests: its process takes seconds to load torch."""
    host = InferenceHost(Settings(hub=False))
    yield host
    host.stop()


@pytest.fixture
def host(one_host: InferenceHost, monkeypatch: pytest.MonkeyPatch) -> InferenceHost:
    """The one that the pages ask."""
    monkeypatch.setattr(hosting, "host", lambda: one_host)
    return one_host


@pytest.fixture
def usable(store: Store, finished: Job) -> Job:
    """The finished run with an adapter that is one."""
    shutil.rmtree(store.folder(finished) / "adapter")
    shutil.copytree(ADAPTER, store.folder(finished) / "adapter")
    return finished


@pytest.fixture
def failed(store: Store, source: Source) -> Job:
    """A run that ran out of memory."""
    job = start(store, make_run(store, source, "failed-run"))
    (store.folder(job) / "worker.log").write_text("12:00:00 training\n12:00:05 out of memory\n")
    ending = {"cause": "out of memory", "message": "The machine ran out of memory.", "fix": "Close other programs."}
    ending |= {"proposal_json": '{"batch_size": 8}'}
    store.transition(job, JobState.FAILED, ended_at=store.clock(), **ending)
    return store.job(job.id)


@pytest.fixture
def damaged(store: Store, source: Source) -> Job:
    """A finished run whose record cannot be read."""
    job = make_finished(store, source, "damaged-run")
    with store.transaction() as db:
        db.execute("UPDATE jobs SET request_json = '{', version = version + 1 WHERE id = ?", (job.id,))
    return store.job(job.id)


_new_pages_manager = PagesManager.__init__


def _after_first_visit(manager: PagesManager, *args: object, **options: object) -> None:
    """AppTest starts each run as a new server does, which runs a file of ``pages/`` by itself and drops the click; later visits do not."""
    _new_pages_manager(manager, *args, **options)  # type: ignore[arg-type]
    PagesManager.uses_pages_directory = False


def make_run(store: Store, source: Source, name: str, **fields: object) -> Job:
    """A queued run."""
    request = TrainRequest(config=RunConfig(**{"train_rows": 800, **fields}), source=source, preset="taste")  # type: ignore[arg-type]
    return store.create(Kind.TRAIN, name, request.model_dump(mode="json"), launch_key=name)


def start(store: Store, job: Job) -> Job:
    """The run as its worker has it after loading."""
    now = store.clock()
    store.transition(job, JobState.STARTING, started_at=now - 30, heartbeat_at=now)
    store.transition(job, JobState.RUNNING)
    store.update(job, fingerprint=FINGERPRINT)
    return store.job(job.id)


def make_finished(
    store: Store, source: Source, name: str, rows: int = 40, right: int = 34, classes: Sequence[str] = CLASSES, absent: bool = False
) -> Job:
    """A completed run with all its files; the adapter's content is not an adapter's. ``absent``: its last class is never predicted."""
    job = start(store, make_run(store, source, name))
    folder = store.folder(job)
    result: dict[str, object] = {
        "classes": list(classes),
        "train_seconds": 25.0,
        "rows_per_second": 32.0,
        "trained_rows": 800,
        "peak_memory_mb": 900.0,
    }
    for split, hits in (("test", right), ("validation", right - 1), ("untrained", rows // 4)):
        frame = predictions(rows, hits, len(classes), absent).assign(text=texts("test", rows)["text"])
        files.write_parquet(artifacts.predictions_path(folder, split), frame)  # type: ignore[arg-type]
        scores = Predictions.of(frame, len(classes)).scores
        result[split] = {"accuracy": scores.accuracy.value, "macro_f1": scores.macro_f1, "rows": rows, "hits": hits}
    files.write_folder(folder / "adapter", {"adapter_model.safetensors": b"not really", "adapter_config.json": b"{}"})
    add_curves(store, job, steps=50, rows=rows, classes=len(classes))
    store.update(job, result_json=json.dumps(result))
    store.transition(job, JobState.COMPLETED, ended_at=store.clock(), phase="")
    return store.job(job.id)


def add_curves(store: Store, job: Job, steps: int, rows: int = 40, classes: int = len(CLASSES)) -> None:
    """A metric each step and a validation with its predictions each tenth."""
    now = store.clock()
    for step in range(1, steps + 1):
        metrics = [Metric(step, "train", step / 50, 1.4 - step / 60, now + step / 2, learning_rate=2e-3, rows_per_second=32.0)]
        if step % 10 == 0:
            right = min(rows, 16 + step // 2, 36)
            frame = predictions(rows, right, classes)
            files.write_parquet(artifacts.predictions_path(store.folder(job), "validation", step), frame)
            metrics.append(Metric(step, "validation", step / 50, 1.3 - step / 80, now + step / 2, right / rows, right / rows, best=True))
        store.add_metrics(job, metrics)


def texts(split: str, rows: int) -> pd.DataFrame:
    """Short texts, the classes in turn."""
    labels = np.arange(rows) % len(CLASSES)
    words = [f"{CLASSES[label]} news, item {row} of the {split} split: **bold** <b>tags</b>" for row, label in enumerate(labels)]
    counts = {"characters": [len(text) for text in words], "words": [len(text.split()) for text in words], "tokens": 14}
    return pd.DataFrame({"row": range(rows), "text": words, "label": labels, **counts})


def predictions(rows: int, right: int, classes: int = len(CLASSES), absent: bool = False) -> pd.DataFrame:
    """The first ``right`` texts right with 0.7, the others taken for the next class; ``absent``: the last class for the first one."""
    true = np.arange(rows) % classes
    predicted = np.where(np.arange(rows) < right, true, (true + 1) % classes)
    if absent:
        predicted[predicted == classes - 1] = 0
    shares = np.full((rows, classes), 0.3 / (classes - 1))
    shares[np.arange(rows), predicted] = 0.7
    loss = -np.log(shares[np.arange(rows), true])
    columns: Mapping[str, object] = {f"p{index}": shares[:, index] for index in range(classes)}
    return pd.DataFrame({"row": range(rows), "label": true, **columns, "loss": loss})
